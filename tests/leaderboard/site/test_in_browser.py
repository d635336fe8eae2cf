"""The real pages in headless Chromium, as somebody uses them: mouse, keyboard, a narrow screen, without scripts.

Of every page that is opened here it is held that nothing is complained of on the console, and that no request leaves
the machine.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from lagbench.leaderboard.serve import Server
from tests.leaderboard.site.conftest import LONG

SUITE = "TESTING"
BASELINES = ("vaco", "ppo", "ppo-kl", "geppo")
LONGEST = "long-" + "x" * 59
RANKED = {*(f"{name}.baseline" for name in BASELINES), "mine", "other", LONGEST}
PAGES = ("", f"{SUITE}/mine/index.html", f"{SUITE}/{LONGEST}/index.html")
Open = Callable[..., Page]


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
    """With the mouse, and with the keyboard; what has no number is last either way."""
    page = opened()
    ranks = numbers(column(page, "rank"))
    assert ranks == sorted(ranks)
    expect(heading(page, "rank")).to_have_attribute("aria-sort", "ascending")
    for label in ("lag score", "IQM, lag 0", "IQM, lag 2"):
        heading(page, label).get_by_role("button").click()
        expect(heading(page, label)).to_have_attribute("aria-sort", "descending")
        found = numbers(column(page, label))
        assert found == sorted(found, reverse=True)
        assert len(set(found)) > 1
        assert table(page).locator("[aria-sort]").count() == 1
    heading(page, "method").get_by_role("button").click()
    assert column(page, "method") == sorted(column(page, "method"), key=str.lower)
    heading(page, "rank").get_by_role("button").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(heading(page, "lag score")).to_have_attribute("aria-sort", "descending")
    page.keyboard.press("Space")
    expect(heading(page, "lag score")).to_have_attribute("aria-sort", "ascending")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    first = table(page).locator('td[data-label="tolerance"]').first
    first.evaluate("cell => { cell.dataset.value = ''; }")
    key = first.locator("xpath=..").get_attribute("data-key")
    for _ in range(2):
        heading(page, "tolerance").get_by_role("button").click()
        assert shown(page)[: len(column(page, "tolerance"))][-1] == key


def test_it_is_filtered_by_suite_state_and_text(opened: Open) -> None:
    page = opened()
    suite, state = (page.get_by_role("combobox", name=name, exact=True) for name in ("Suite", "State"))
    find, count = page.get_by_role("searchbox", name="Find", exact=True), page.locator("[data-count]")
    assert set(shown(page)) == {*RANKED, "claimed"}
    expect(count).to_have_text("8 of 8 rows")
    suite.select_option("mujoco-mini-v1")
    assert shown(page) == []
    expect(page.get_by_role("heading", name=SUITE)).to_be_hidden()
    suite.select_option(SUITE)
    for chosen, fits in {
        "claimed": {"claimed"},
        "baseline": {f"{name}.baseline" for name in BASELINES},
        "rerun": {"mine", "other", LONGEST},
        "": {*RANKED, "claimed"},
    }.items():
        state.select_option(chosen)
        assert set(shown(page)) == fits
    for words, fits in {
        "grace": {"claimed"},
        "  SPÄRCK ada": {"mine"},
        "ppo baseline": {"ppo.baseline", "ppo-kl.baseline", "geppo.baseline"},
        "nobody": set(),
    }.items():
        find.fill(words)
        assert set(shown(page)) == fits
    expect(page.locator(f"#{SUITE} [data-none]")).to_be_visible()
    find.press("Enter")
    assert page.url.endswith("/")


def test_a_method_is_reached_with_the_keyboard_and_its_data_downloaded(
    opened: Open, site: Path, tmp_path: Path
) -> None:
    page = opened()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Mine":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Mine")
    assert page.url.endswith(f"/{SUITE}/mine/index.html")
    expect(page.get_by_text("lag may be switched off: TV")).to_be_visible()
    for name, file in (("CSV", "results.csv"), ("JSON", "results.json"), ("Arrow", "runs.arrow")):
        with page.expect_download() as download:
            page.get_by_role("link", name=name, exact=True).click()
        download.value.save_as(tmp_path / file)
        assert (tmp_path / file).read_bytes() == (site / SUITE / "mine" / file).read_bytes()
    page.get_by_role("link", name="lagbench leaderboard").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Leaderboard")


@pytest.mark.parametrize("path", PAGES)
def test_nothing_scrolls_sideways_and_axe_finds_nothing(opened: Open, path: str) -> None:
    """With everything unfolded; wide and narrow, light and dark, and without scripts, where axe does not run."""
    for scheme, scripts, axe in (("light", True, 1280), ("dark", True, 360), ("light", False, None)):
        page = opened(path, java_script_enabled=scripts, color_scheme=scheme)
        # Playwright's own scripts run where the page's may not.
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        for width in (320, 360, 768, 1280) if axe else (360, 1280):
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
            if width == axe:
                found = Axe().run(page).response["violations"]
                assert found == [], json.dumps(found, indent=1)[:4000]


def test_charts_are_seen(opened: Open) -> None:
    """In the colours that they were drawn with, which the policy might forbid; on a narrow page another one."""
    for width, name in ((1280, "board.svg"), (360, "board.narrow.svg")):
        page = opened(width=width, color_scheme="dark")
        image = page.locator(f"#{SUITE} figure img")
        image.scroll_into_view_if_needed()
        assert image.evaluate("e => e.currentSrc").endswith(f"/{SUITE}/{name}")
        colours = image.evaluate(
            """async e => {
                await e.decode();
                const canvas = document.createElement("canvas");
                [canvas.width, canvas.height] = [e.naturalWidth, e.naturalHeight];
                const context = canvas.getContext("2d");
                context.drawImage(e, 0, 0);
                const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
                const found = new Set();
                for (let i = 0; i < data.length; i += 4) found.add([...data.slice(i, i + 3)].join(" "));
                return [...found];
            }"""
        )
        for colour in ("255 255 255", "0 114 178", "213 94 0"):  # paper, PPO, VACO
            assert colour in colours
        box = image.bounding_box()
        assert box is not None
        assert box["width"] > width * 0.6


def test_it_is_read_without_scripts(opened: Open) -> None:
    page = opened(java_script_enabled=False)
    assert set(shown(page)) == {*RANKED, "claimed"}
    expect(page.get_by_role("search")).to_be_hidden()
    expect(page.get_by_role("button")).to_have_count(0)
    expect(table(page).get_by_role("columnheader", name="lag score")).to_be_visible()
    page.get_by_text("The same as a table").first.click()
    expect(page.get_by_role("table", name="The same as a table").first).to_be_visible()
    table(page).get_by_role("link", name="Mine").click()
    expect(page.get_by_role("table", name="Claim against rerun").get_by_role("row")).to_have_count(6)


def test_a_narrow_board_says_of_each_number_what_it_is(opened: Open) -> None:
    page = opened(width=360)
    cell = table(page).locator('td[data-label="lag score"]').first
    assert cell.evaluate("e => getComputedStyle(e, '::before').content") == '"lag score"'
    assert cell.evaluate("e => getComputedStyle(e, '::before').display") != "none"
    heading(page, "lag score").get_by_role("button").click()
    found = numbers(column(page, "lag score"))
    assert found == sorted(found, reverse=True)


def test_it_prints_and_works_as_files_too(opened: Open, site: Path) -> None:
    page = opened((site / "index.html").as_uri(), color_scheme="dark")
    heading(page, "lag score").get_by_role("button").click()
    expect(heading(page, "lag score")).to_have_attribute("aria-sort", "descending")
    page.emulate_media(media="print")
    expect(page.get_by_role("search")).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert len(page.pdf()) > 10_000
    page.emulate_media(media="screen")
    table(page).get_by_role("link", name="Mine").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Mine")
    assert page.locator("body").evaluate("e => getComputedStyle(e).maxWidth") == "1216px"


def test_endless_words_are_whole(opened: Open) -> None:
    page = opened(f"{SUITE}/{LONGEST}/index.html", 360)
    expect(page.get_by_role("heading", level=1)).to_have_text(LONG)


def test_what_gets_into_a_page_does_not_run(browser: Browser, url: str) -> None:
    """The policy holds: no script or style from within the page, nothing from elsewhere."""
    page = browser.new_page()
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    for path in ("", f"{SUITE}/mine/index.html"):
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
