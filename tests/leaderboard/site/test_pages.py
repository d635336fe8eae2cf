"""Pages as a parser sees them: whole, closed to whatever others wrote, and saying what each number stands on."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from lagbench import scoring
from lagbench.leaderboard.board import Board
from lagbench.leaderboard.findings import CHECKS
from lagbench.leaderboard.site import pages, text
from lagbench.leaderboard.site.pages import Archive
from lagbench.scoring.results import Tolerance
from tests.leaderboard.rows import cut_short, suite_rows
from tests.leaderboard.site.boards import NONCE, SUITE, Fake, board
from tests.scoring import synthetic

VOID = {"meta", "link", "input", "br", "path", "circle"}
ARCHIVE = Archive(1_234_567, "c0ffee" * 10 + "abcd")


class Page(HTMLParser):
    """Tags with their attributes in order, text by the tag it stands in; tags that do not match are an error."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(content.decode())
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute twice: {attrs}"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        """Which tags there are with which attributes, of whatever value."""
        return [(tag, tuple(attributes)) for tag, attributes in self.tags]

    def values(self, attribute: str) -> list[str]:
        return [value for _, attributes in self.tags if (value := attributes.get(attribute)) is not None]


def rendered(*boards: Board) -> dict[str, Page]:
    archives = {(one.suite.name, entry.slug): ARCHIVE for one in boards for entry in one.entries}
    found = pages.pages(boards, archives)
    return {path: Page(content) for path, content in found.items() if path.endswith(".html")}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Board:
    """VACO on fresh episodes, each of whose claims is too high, and PPO on its own."""
    fakes = [Fake("vaco", name="VACO", shift=-200.0), Fake("ppo", name="PPO", fresh=False)]
    return board(fakes, tmp_path_factory.mktemp("submissions"))


@pytest.fixture(scope="module")
def site(both: Board) -> dict[str, Page]:
    return rendered(both)


def test_there_is_a_page_for_all_and_one_for_each(site: dict[str, Page]) -> None:
    assert sorted(site) == ["index.html", f"{SUITE}/ppo.html", f"{SUITE}/vaco.html"]


def test_every_link_leads_somewhere(site: dict[str, Page]) -> None:
    files = {*site, "static/board.css", "static/board.js", f"{SUITE}/board.json"}
    files |= {f"{SUITE}/{slug}.zip" for slug in ("ppo", "vaco")}
    for name, page in site.items():
        for link in page.values("href") + page.values("src"):
            if link.startswith(("https://", "data:")):
                continue
            path, _, anchor = link.partition("#")
            parts = Path(name).parent.joinpath(path).parts if path else Path(name).parts
            target = "/".join(part for i, part in enumerate(parts) if part != ".." and parts[i + 1 : i + 2] != ("..",))
            assert target in files, f"{name}: {link}"
            assert not anchor or anchor in site[target].values("id"), f"{name}: {link}"
        assert len(page.values("id")) == len(set(page.values("id")))


def test_nothing_runs_or_is_styled_but_from_files(site: dict[str, Page]) -> None:
    for page in site.values():
        (policy,) = [a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
        assert policy is not None
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert "unsafe" not in policy
        assert [a for t, a in page.tags if t == "script"] == [
            {"src": page.values("src")[0], "defer": None},
        ]
        assert not [a for _, a in page.tags if any(name == "style" or name.startswith("on") for name in a)]
        assert not [t for t, _ in page.tags if t in {"style", "iframe", "object", "embed", "base", "img"}]


def test_links_to_elsewhere_vouch_for_nothing(site: dict[str, Page]) -> None:
    outward = [a for page in site.values() for t, a in page.tags if t == "a" and "://" in (a["href"] or "")]
    assert [a["href"] for a in outward] == ["https://example.org/method"] * 2
    assert all((a["rel"] or "").split()[:2] == ["nofollow", "noopener"] for a in outward)


HOSTILE = (
    "</bdi></title></script><script>alert(1)</script><img src=x onerror=alert(1)>\"'><!--]]>&lt;{{ 7*7 }}{% raw %}"
    "\u202egnp\u2066\x00\x1b[2J\ufeff" + "A" * 3_000
)


def test_no_text_of_others_becomes_markup(tmp_path: Path) -> None:
    """Pages with a hostile text in every field have the tags and attributes of those with plain ones."""
    plain = Fake("vaco", name="x", url="see the paper", config={"x": "x", "y": 1})
    hostile = Fake(
        "vaco",
        name=HOSTILE,
        authors=(HOSTILE,),
        url=f"javascript:{HOSTILE}",
        license=HOSTILE,
        tuning=HOSTILE,
        discarded=HOSTILE,
        source=HOSTILE.replace("\x00", ""),
        config={HOSTILE: HOSTILE, "y": [HOSTILE]},
        lagbench=HOSTILE,
    )
    before, after = (rendered(board([one, Fake("ppo")], tmp_path / str(i))) for i, one in enumerate((plain, hostile)))
    for name, page in before.items():
        assert page.shape() == after[name].shape()
    page = after[f"{SUITE}/vaco.html"]
    assert page.text.count("<script>alert(1)</script>") >= 8
    assert "{{ 7*7 }}" in page.text
    for one in after.values():
        everything = one.text + "".join(v or "" for _, attributes in one.tags for v in attributes.values())
        assert not set(everything) & set("\u202e\u2066\x00\x1b\ufeff")
    assert "⟨U+202E⟩gnp" in page.text


def test_the_index_has_the_numbers(both: Board, site: dict[str, Page]) -> None:
    shown = site["index.html"].text
    for entry in both.entries:
        line = entry.line
        assert line.points[0].final is not None
        for found in (line.lag_score, line.points[0].final.iqm):
            assert text.estimate(found, both.results.kind) in shown
        assert scoring.sheets.tolerance(line.tolerance, "undefined") in shown
    headings = [a for t, a in site["index.html"].tags if t == "th" and "data-sort" in a]
    assert [a["data-sort"] for a in headings] == ["rank", "text", *["number"] * 5]
    assert [a.get("aria-sort") for a in headings] == ["ascending", *[None] * 6]


def test_accuracies_have_a_digit_more(both: Board) -> None:
    """As in a report: with two, what differs between two algorithms would be hidden."""
    found = rendered(dataclasses.replace(both, results=dataclasses.replace(both.results, kind="accuracy")))
    for entry in both.entries:
        shown = text.estimate(entry.line.lag_score, "accuracy")
        assert re.match(r"−?\d\.\d{3} \[", shown)
        assert shown in found["index.html"].text
        assert shown in found[f"{SUITE}/{entry.slug}.html"].text


def test_each_number_says_what_it_stands_on(both: Board, site: dict[str, Page]) -> None:
    index, fresh, claimed = (site[name] for name in ("index.html", f"{SUITE}/vaco.html", f"{SUITE}/ppo.html"))
    assert "re-evaluated on 2 fresh episodes a run" in index.text
    assert "rescored on the episodes submitted" in index.text
    assert "Area under the curve, reported returns" in index.text
    assert "2 fresh episodes a run, played by the submitted policies on seeds drawn after" in fresh.text
    assert "Areas stand on reported returns" in fresh.text
    assert "Final scores stand on the episodes that were submitted, areas on reported returns." in claimed.text
    # What was submitted stands beside what was found.
    (vaco,) = [entry for entry in both.entries if entry.slug == "vaco"]
    assert vaco.line.lag_score is not None
    assert vaco.line.lag_score.value != vaco.submitted.lag_score
    both_ = f"lag score {text.estimate(vaco.line.lag_score, 'score')} {text.score(vaco.submitted.lag_score, 'score')}"
    assert both_ in fresh.text
    area = vaco.line.points[0].area
    assert area is not None
    assert f"area, lag 0 of reported returns – {text.estimate(area.iqm, 'score')}" in fresh.text


def test_states_say_what_they_do_not_prove(site: dict[str, Page]) -> None:
    for page in site.values():
        for word in ("claimed", "rescored", "replayed", "re-evaluated", "reproduced", "does not prove"):
            assert word in page.text
        assert "that the episodes happened" in page.text
    assert "not replayed: there is no report on it" in site[f"{SUITE}/ppo.html"].text


def test_every_check_is_there_with_its_outcome(site: dict[str, Page]) -> None:
    fresh, claimed = (site[f"{SUITE}/{slug}.html"].text for slug in ("vaco", "ppo"))
    for check in CHECKS:
        assert f"{check.name} ✓ ok {check.about} {check.state}" in fresh
        assert f"{check.name} ✓ ok {check.about} {check.state}" in claimed
    for name in ("rewards", "policy", "re-evaluation"):
        assert f"{name} ✓ ok 12 of 12 runs 10 of 10 episodes (" in fresh
    assert (
        f"bit for bit; then each policy played 2 fresh ones. Whoever gives this nonce draws the same seeds: {NONCE}"
        in (fresh)
    )
    assert "There is no report on it." in claimed


def test_a_check_that_failed_is_seen(both: Board) -> None:
    (entry,) = [one for one in both.entries if one.slug == "vaco"]
    assert entry.verification is not None
    first, *rest = entry.verification.checks
    failed = dataclasses.replace(first, outcome="failed", message="step 3 earns 1.0, not 2.0")
    report = dataclasses.replace(entry.verification, checks=(failed, *rest))
    found = rendered(dataclasses.replace(both, entries=(dataclasses.replace(entry, verification=report),)))
    assert "rewards ✗ failed 1 of 12 runs step 3 earns 1.0, not 2.0 (" in found[f"{SUITE}/vaco.html"].text


def test_flagged_cells(both: Board, site: dict[str, Page]) -> None:
    page = site[f"{SUITE}/vaco.html"].text
    assert "Flagged: 12 of 12 re-evaluated cells lie more than 3 standard errors from what was submitted." in page
    assert "Flagged" not in site[f"{SUITE}/ppo.html"].text
    # 200 lower, of two episodes with a standard deviation of 10, and ten of the same: 200 / √(100/2 + 100/10).
    assert page.count("+25.8") == 24


def test_every_run_is_there_with_its_returns(both: Board, site: dict[str, Page]) -> None:
    for entry in both.entries:
        page = site[f"{SUITE}/{entry.slug}.html"].text
        assert len(entry.rows) == 12
        for row in entry.rows:
            assert f"{row.task}, lag {row.value}, seed {row.seed}" in page
            assert all(text.number(y) in page for y in row.returns)


def test_a_page_has_configuration_statement_source_and_hash(both: Board, site: dict[str, Page]) -> None:
    page = site[f"{SUITE}/ppo.html"].text
    for word in (
        "learning_rate 0.001",
        "updates null",
        "Four configurations on one task.",
        "class Method:",
        "0123456789abcdef" * 4,
        "1.2 MB, 2 files",
        ARCHIVE.sha256,
        "clipped fraction",
        "Total variation",
    ):
        assert word in page


def test_numbers_for_machines(both: Board) -> None:
    data = json.loads(pages.document(both))
    assert [entry["slug"] for entry in data["entries"]] == [entry.slug for entry in both.entries]
    states = {entry["slug"]: entry["state"]["name"] for entry in data["entries"]}
    assert states == {"vaco": "re-evaluated", "ppo": "rescored"}
    assert scoring.results.Results.from_json(data["results"]) == scoring.results.Results.from_json(
        json.loads(json.dumps(both.results.to_json()))
    )


def test_the_same_board_gives_the_same_pages(both: Board) -> None:
    archives = {(SUITE, entry.slug): ARCHIVE for entry in both.entries}
    assert pages.pages([both], archives) == pages.pages([both], archives)
    assert pages.colours([both]) == pages.colours([both])


def test_shared_ranks_tolerance_that_is_censored_and_that_is_undefined(both: Board, tmp_path: Path) -> None:
    def changed(i: int, **changes: Any) -> Any:
        return dataclasses.replace(both.entries[i], line=dataclasses.replace(both.entries[i].line, **changes))

    entries = (
        changed(0, rank=1, tolerance=Tolerance(16.0, 2.5, 16.0, 16.0)),
        changed(1, rank=1, tolerance=None, undefined="IQM at lag 0 is not surely above 0.2"),
    )
    index = rendered(dataclasses.replace(both, entries=entries))["index.html"]
    ranks = [a for t, a in index.tags if t == "td" and a.get("class") == "rank"]
    assert [a["data-value"] for a in ranks] == ["1", "1"]
    assert index.text.count("1=") == 2
    assert "≥ 16 [2.5, ≥ 16]" in index.text
    assert "undefined IQM at lag 0 is not surely above 0.2" in index.text
    assert [a["data-value"] for t, a in index.tags if a.get("data-label") == "tolerance"] == ["16.0", ""]


def test_a_suite_without_references_has_returns_and_no_scores(tmp_path: Path) -> None:
    table = synthetic.table(suite_rows({"ppo": 100.0, "vaco": 50.0}))
    found = rendered(board([Fake("ppo"), Fake("vaco", fresh=False)], tmp_path, table=table, suite="TESTING"))
    assert "has no references, so that returns are not normalised" in found["index.html"].text
    assert "mean final return" in found["TESTING/ppo.html"].text
    assert "mean final score" not in found["TESTING/ppo.html"].text


def test_a_run_that_diverged(tmp_path: Path) -> None:
    rows = suite_rows({"ppo": 100.0})
    rows[3] = cut_short(rows[3])
    found = rendered(board([Fake("ppo")], tmp_path, table=synthetic.table(rows), suite="TESTING"))
    page = found["TESTING/ppo.html"].text
    assert "1 of 8 runs diverged" in page
    assert re.search(r"seed \d diverged – – – ", page)


def test_an_empty_board() -> None:
    assert "No submissions yet." in rendered()["index.html"].text
