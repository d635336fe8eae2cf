"""The real pages in headless Chromium, as somebody uses them: mouse, keyboard, a narrow screen, without scripts.

Of every page that is opened here it is held that nothing is complained of on the console, and that no request leaves
the machine.
"""

from __future__ import annotations

import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from lagbench.leaderboard.serve import Server
from lagbench.leaderboard.site import build
from tests.leaderboard.rows import suite_rows
from tests.leaderboard.site.boards import SUITE, Fake, board
from tests.leaderboard.site.test_colour import contrast
from tests.scoring import synthetic

LONG = "Wörter" * 40
PAGES = ("", f"{SUITE}/vaco.html", f"{SUITE}/long.html", "TESTING/ppo.html")
Open = Callable[..., Page]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two suites, a submission that is not verified, one whose claims are too high, and one with endless words."""
    root = tmp_path_factory.mktemp("submissions")
    fakes = [
        Fake("vaco", name="VACO", authors=("Ada Lovelace", "Karen Spärck Jones"), shift=-200.0),
        Fake("ppo", name="PPO", fresh=False),
        Fake("ppo-kl", name="PPO-KL", authors=("Grace Hopper",)),
        Fake(
            "impala",
            slug="long",
            name=LONG,
            authors=(LONG,) * 9,
            url=f"https://example.org/{'path' * 60}",
            license=LONG,
            tuning=f"{LONG}\n\n" * 5,
            source=f"{LONG}\n" * 50,
            config={LONG: LONG, "x": 1},
        ),
    ]
    plain = synthetic.table(suite_rows({"ppo": 100.0, "vaco": 90.0}))
    boards = [
        board(fakes, root),
        board([Fake("ppo", name="PPO, small")], root, table=plain, suite="TESTING"),
    ]
    out = tmp_path_factory.mktemp("site")
    build.build(boards, out)
    return out


@pytest.fixture(scope="session")
def url(site: Path) -> Iterator[str]:
    with Server(site, 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def opened(browser: Browser, url: str) -> Iterator[Open]:
    """Opens a page of the site; options are those of a browser's context."""
    contexts, complaints, asked = [], [], []

    def open_page(path: str = "", width: int = 1280, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, accept_downloads=True, **options)
        context.set_default_timeout(15_000)
        contexts.append(context)
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path if "://" in path else url + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints
    assert asked
    assert [one for one in asked if not one.startswith((url, "data:", "file:///"))] == []


def table(page: Page, suite: str = SUITE) -> Locator:
    return page.get_by_role("table", name=suite, exact=True)


def column(page: Page, label: str) -> list[str]:
    return [cell.get_attribute("data-value") or "" for cell in table(page).locator(f'[data-label="{label}"]').all()]


def heading(page: Page, name: str) -> Locator:
    return table(page).get_by_role("columnheader").filter(has=page.get_by_role("button", name=name, exact=True))


def shown(page: Page) -> list[str]:
    """The submissions that are seen, of all suites."""
    return [row.get_attribute("data-key") or "" for row in page.locator("tr[data-key]:visible").all()]


def numbers(values: list[str]) -> list[float]:
    return [float(value) for value in values]


def test_it_is_sorted_by_rank_and_by_whatever_is_asked_for(opened: Open) -> None:
    page = opened()
    ranks = numbers(column(page, "rank"))
    assert ranks == sorted(ranks)
    expect(heading(page, "rank")).to_have_attribute("aria-sort", "ascending")
    for label in ("lag score", "IQM, lag 0", "IQM, lag 16", "tolerance", "state"):
        heading(page, label).get_by_role("button").click()
        expect(heading(page, label)).to_have_attribute("aria-sort", "descending")
        found = numbers(column(page, label))
        assert found == sorted(found, reverse=True)
        assert len(set(found)) > 1
        heading(page, label).get_by_role("button").click()
        expect(heading(page, label)).to_have_attribute("aria-sort", "ascending")
        assert numbers(column(page, label)) == sorted(found)
        assert table(page).locator("[aria-sort]").count() == 1
    heading(page, "submission").get_by_role("button").click()
    assert column(page, "submission") == ["PPO", "PPO-KL", "VACO", LONG]


def test_what_has_no_number_is_last_either_way(opened: Open) -> None:
    page = opened()
    first = table(page).locator('td[data-label="tolerance"]').first
    first.evaluate("cell => { cell.dataset.value = ''; }")
    key = first.locator("xpath=..").get_attribute("data-key")
    for _ in range(2):
        heading(page, "tolerance").get_by_role("button").click()
        assert shown(page)[: len(column(page, "tolerance"))][-1] == key


def test_it_is_sorted_with_the_keyboard(opened: Open) -> None:
    page = opened()
    heading(page, "rank").get_by_role("button").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(heading(page, "lag score")).to_have_attribute("aria-sort", "descending")
    page.keyboard.press("Space")
    expect(heading(page, "lag score")).to_have_attribute("aria-sort", "ascending")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_it_is_filtered_by_suite_state_and_text(opened: Open) -> None:
    page = opened()
    suite, state = (page.get_by_role("combobox", name=name, exact=True) for name in ("Suite", "State, at least"))
    find, count = page.get_by_role("searchbox", name="Find", exact=True), page.locator("[data-count]")
    everybody = {"vaco", "ppo", "ppo-kl", "long"}
    assert set(shown(page)) == everybody
    expect(count).to_have_text("5 of 5 submissions")

    suite.select_option("TESTING")
    assert shown(page) == ["ppo"]
    expect(page.get_by_role("heading", name=SUITE)).to_be_hidden()
    expect(count).to_have_text("1 of 5 submissions")
    suite.select_option(SUITE)
    assert set(shown(page)) == everybody

    state.select_option("re-evaluated")
    assert set(shown(page)) == everybody - {"ppo"}
    state.select_option("reproduced")
    assert shown(page) == []
    expect(page.locator(f"#{SUITE} [data-none]")).to_be_visible()
    state.select_option("rescored")
    assert set(shown(page)) == everybody

    for words, fits in {
        "grace": ["ppo-kl"],
        "  SPÄRCK ada": ["vaco"],
        "ppo": ["ppo-kl", "ppo"],
        "ppo re-evaluated": ["ppo-kl"],
        "nobody": [],
        "": [*everybody],
    }.items():
        find.fill(words)
        assert sorted(shown(page)) == sorted(fits)
        # The lines of the others are gone from the chart, too.
        lines = {line.get_attribute("data-key") for line in page.locator(f"#{SUITE} svg .line[data-key]:visible").all()}
        assert lines == set(fits)
    find.press("Enter")
    assert page.url.endswith("/")


def test_a_submission_is_opened_and_its_data_downloaded(opened: Open, site: Path, tmp_path: Path) -> None:
    page = opened()
    table(page).get_by_role("link", name="VACO").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("VACO")
    assert page.url.endswith(f"/{SUITE}/vaco.html")
    expect(page.get_by_text("Flagged: 12 of 12 re-evaluated cells")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="vaco.zip").first.click()
    download.value.save_as(tmp_path / "vaco.zip")
    assert (tmp_path / "vaco.zip").read_bytes() == (site / SUITE / "vaco.zip").read_bytes()
    assert zipfile.ZipFile(tmp_path / "vaco.zip").namelist() == ["vaco/algorithm.txt", "vaco/submission.json"]
    page.get_by_role("link", name="lagbench leaderboard").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Leaderboard")


def test_a_submission_is_reached_with_the_keyboard(opened: Open) -> None:
    page = opened()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "PPO-KL":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("PPO-KL")


def test_a_chart_says_its_numbers_under_the_mouse(opened: Open) -> None:
    page = opened()
    stage = page.locator(f"#{SUITE} [data-stage]").first
    tip = stage.locator(".tip")
    dot = stage.locator('.line[data-key="vaco"] circle').last
    said = dot.get_attribute("data-tip") or ""
    assert re.fullmatch(r"VACO, lag 16: 0\.\d\d \[0\.\d\d, 0\.\d\d\]", said)
    expect(tip).to_be_hidden()
    dot.hover(force=True)
    expect(tip).to_have_text(said)
    chart = page.locator(f"#{SUITE} [data-chart]")
    expect(chart.locator(".line.chosen")).to_have_count(2)  # in both panels
    # The same numbers are in the table.
    chart.locator("summary").click()
    row = chart.get_by_role("row").filter(has=page.get_by_role("rowheader", name="VACO"))
    expect(row).to_contain_text(said.partition(": ")[2])
    page.mouse.move(0, 0)
    expect(tip).to_be_hidden()
    expect(chart.locator(".chosen")).to_have_count(0)
    chart.locator('.legend [data-key="ppo"]').hover()
    expect(chart.locator('.line.chosen[data-key="ppo"]')).to_have_count(2)


def test_a_chart_says_its_numbers_with_the_keyboard(opened: Open) -> None:
    page = opened()
    stage = page.locator(f"#{SUITE} [data-stage]").first
    tip = stage.get_by_role("status")
    stage.focus()
    expect(tip).to_be_hidden()
    page.keyboard.press("ArrowRight")
    expect(tip).to_contain_text("lag 0: ")
    first = tip.text_content()
    page.keyboard.press("ArrowRight")
    expect(tip).to_contain_text("lag 16: ")
    page.keyboard.press("ArrowRight")
    expect(tip).to_contain_text("lag 16: ")
    # From the highest number at this lag to the lowest, each once.
    for _ in range(5):
        page.keyboard.press("ArrowUp")
    heard = [tip.text_content() or ""]
    for _ in range(5):
        page.keyboard.press("ArrowDown")
        heard += [tip.text_content() or ""] * (tip.text_content() != heard[-1])
    values = [float(re.search(r": (\S+)", one)[1].replace("−", "-")) for one in heard]  # type: ignore[index]
    assert len(values) == 4
    assert values == sorted(values, reverse=True)
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    page.keyboard.press("ArrowLeft")
    expect(tip).to_have_text(first or "")
    page.keyboard.press("Tab")
    expect(tip).to_be_hidden()


def test_tips_stay_in_the_page(opened: Open) -> None:
    page = opened(f"{SUITE}/long.html", 360)
    for stage in page.locator("[data-stage]").all()[:3]:
        stage.scroll_into_view_if_needed()
        for dot in (stage.locator("circle").first, stage.locator("circle").last):
            dot.hover(force=True)
            box = stage.locator(".tip").bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 360


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("scripts", [True, False])
def test_nothing_scrolls_sideways(opened: Open, path: str, scripts: bool) -> None:
    page = opened(path, java_script_enabled=scripts)
    # Playwright's own scripts run where the page's may not.
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    for width in (320, 360, 768, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") == width
        # Nor does anything stick out, or scroll within the page.
        wide = page.evaluate(
            """[...document.querySelectorAll("body, body *")]
                .filter(e => e.getBoundingClientRect().right > innerWidth + 0.5
                    || (e.scrollWidth > e.clientWidth + 1 && /auto|scroll/.test(getComputedStyle(e).overflowX)))
                .map(e => e.outerHTML.slice(0, 80))"""
        )
        assert wide == []


def test_it_is_read_without_scripts(opened: Open) -> None:
    page = opened(java_script_enabled=False)
    assert set(shown(page)) == {"vaco", "ppo", "ppo-kl", "long"}
    expect(page.get_by_role("search")).to_be_hidden()
    expect(page.get_by_role("button")).to_have_count(0)
    expect(table(page).get_by_role("columnheader", name="lag score")).to_be_visible()
    page.get_by_text("The same as a table").first.click()
    expect(page.get_by_role("table", name="The same as a table").first).to_be_visible()
    table(page).get_by_role("link", name="VACO").click()
    expect(page.get_by_role("table", name="Runs").get_by_role("row")).to_have_count(13)
    expect(page.locator("svg .stroke").first).to_be_visible()


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_light_and_dark(opened: Open, scheme: str, width: int) -> None:
    for path in PAGES[:2]:
        page = opened(path, width, color_scheme=scheme)

        def colour(selector: str, name: str, page: Page = page) -> str:
            found = page.locator(selector).first.evaluate(f"e => getComputedStyle(e).{name}")
            return "#" + "".join(f"{int(x):02x}" for x in re.findall(r"\d+", found)[:3])

        paper = colour("body", "backgroundColor")
        assert (paper == "#ffffff") == (scheme == "light")
        for selector in ("body", ".faint", ".note", "main a", "summary", "figcaption"):
            assert contrast(colour(selector, "color"), paper) >= 4.5, selector
        assert contrast(colour(".grid text", "fill"), paper) >= 4.5
        assert contrast(colour(".steps i.on", "backgroundColor"), paper) >= 3
        lines = page.locator("svg .line[data-key]").all()
        looks = {line.evaluate("e => getComputedStyle(e).color") for line in lines}
        assert len(looks) >= (4 if path == "" else 1)


def test_a_narrow_board_says_of_each_number_what_it_is(opened: Open) -> None:
    page = opened(width=360)
    cell = table(page).locator('td[data-label="lag score"]').first
    assert cell.evaluate("e => getComputedStyle(e, '::before').content") == '"lag score"'
    assert cell.evaluate("e => getComputedStyle(e, '::before').display") != "none"
    heading(page, "lag score").get_by_role("button").click()
    found = numbers(column(page, "lag score"))
    assert found == sorted(found, reverse=True)


def test_it_prints(opened: Open) -> None:
    page = opened(color_scheme="dark")
    page.emulate_media(media="print")
    expect(page.get_by_role("search")).to_be_hidden()
    expect(table(page)).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert len(page.pdf()) > 10_000


def test_it_works_as_files_too(opened: Open, site: Path) -> None:
    page = opened((site / "index.html").as_uri())
    heading(page, "lag score").get_by_role("button").click()
    expect(heading(page, "lag score")).to_have_attribute("aria-sort", "descending")
    table(page).get_by_role("link", name="VACO").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("VACO")
    assert page.locator("body").evaluate("e => getComputedStyle(e).maxWidth") == "1216px"


def test_what_gets_into_a_page_does_not_run(browser: Browser, url: str) -> None:
    """The policy holds: no script or style from within the page, nothing from elsewhere."""
    page = browser.new_page()
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    for path in ("", f"{SUITE}/vaco.html"):
        refused.clear()
        page.goto(url + path)
        page.evaluate(
            """() => {
                const html = `<img src=x onerror="window.ran = 1"><p style="color: red">`;
                document.body.insertAdjacentHTML("beforeend", html);
                const script = document.createElement("script");
                script.textContent = "window.ran = 2";
                document.body.append(script);
                const far = document.createElement("script");
                far.src = "https://example.org/x.js";
                document.body.append(far);
            }"""
        )
        page.wait_for_timeout(100)
        assert page.evaluate("window.ran") is None
        assert sum("Content Security Policy" in one for one in refused) >= 4
    page.close()
