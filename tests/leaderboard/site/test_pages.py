"""Pages as a parser sees them: whole, closed to whatever others wrote, and saying what each number stands on."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from lagbench.leaderboard.board import Board, Row
from lagbench.leaderboard.site import pages, text
from lagbench.leaderboard.submission import Statement
from lagbench.scoring import table

VOID = {"meta", "link", "input", "br", "img", "source"}
SUITE = "TESTING"
KEYS = (
    "ppo.baseline",
    "vaco.baseline",
    "ppo-kl.baseline",
    "geppo.baseline",
    "mine",
    "other",
    "claimed",
    "long-" + "x" * 59,
)


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


@pytest.fixture(scope="module")
def shown(site: Path) -> dict[str, Page]:
    return {path.relative_to(site).as_posix(): Page(path.read_bytes()) for path in sorted(site.rglob("*.html"))}


def page(shown: dict[str, Page], key: str) -> Page:
    return shown[f"{SUITE}/{key}/index.html"]


def row(boards: list[Board], key: str) -> Row:
    (found,) = [one for one in boards[0].rows if one.method.key == key]
    return found


def test_there_is_a_page_for_all_and_one_for_each(shown: dict[str, Page]) -> None:
    assert set(shown) == {"index.html", *(f"{SUITE}/{key}/index.html" for key in KEYS)}


def test_every_link_leads_somewhere(shown: dict[str, Page], site: Path) -> None:
    for name, one in shown.items():
        for link in one.values("href") + one.values("src") + one.values("srcset"):
            if link.startswith(("https://", "data:")):
                continue
            path, _, anchor = link.partition("#")
            target = (site / name).parent.joinpath(path).resolve() if path else site / name
            assert target.is_file(), f"{name}: {link}"
            assert target.is_relative_to(site)
            assert not anchor or anchor in shown[target.relative_to(site).as_posix()].values("id"), f"{name}: {link}"
        assert len(one.values("id")) == len(set(one.values("id")))


def test_nothing_runs_or_is_styled_but_from_files(shown: dict[str, Page]) -> None:
    for one in shown.values():
        (policy,) = [a["content"] for t, a in one.tags if a.get("http-equiv") == "Content-Security-Policy"]
        assert policy is not None
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert "unsafe" not in policy
        assert [a for t, a in one.tags if t == "script"] == [{"src": one.values("src")[0], "defer": None}]
        assert not [a for _, a in one.tags if any(name == "style" or name.startswith("on") for name in a)]
        assert not [t for t, _ in one.tags if t in {"style", "iframe", "object", "embed", "base", "svg"}]


def test_links_to_elsewhere_vouch_for_nothing(shown: dict[str, Page]) -> None:
    outward = [a for one in shown.values() for t, a in one.tags if t == "a" and "://" in (a["href"] or "")]
    assert len(outward) == 4
    assert all((a["rel"] or "").split()[:2] == ["nofollow", "noopener"] for a in outward)


HOSTILE = (
    "</bdi></title></script><script>alert(1)</script><img src=x onerror=alert(1)>\"'><!--]]>&lt;{{ 7*7 }}{% raw %}"
    "\u202egnp\u2066\x00\x1b[2J\ufeff" + "A" * 3_000
)


def test_no_text_of_others_becomes_markup(boards: list[Board]) -> None:
    """Pages with a hostile text in every field have the tags and attributes of those with plain ones."""

    def made(words: str, address: str) -> dict[str, Page]:
        before = row(boards, "claimed")
        assert before.method.submission is not None
        manifest = msgspec.structs.replace(
            before.method.submission.manifest,
            name=words,
            authors=(words,),
            url=address,
            license=words,
            config={words: words, "y": words},
            statement=Statement(tuning=words, discarded=words),
        )
        submission = dataclasses.replace(before.method.submission, manifest=manifest)
        method = dataclasses.replace(
            before.method, name=words, algorithm=words, source={words: words}, submission=submission
        )
        changed = dataclasses.replace(boards[0], ranked=(), claims=(dataclasses.replace(before, method=method),))
        files = pages.files([changed]).items()
        return {path: Page(content) for path, content in files if path.endswith(".html")}

    plain, hostile = made("x", "see the paper"), made(HOSTILE, f"javascript:{HOSTILE}")
    for path, found in hostile.items():
        assert found.shape() == plain[path].shape()
        everything = found.text + "".join(v or "" for _, attributes in found.tags for v in attributes.values())
        assert not set(everything) & set("\u202e\u2066\x00\x1b\ufeff")
        assert "{{ 7*7 }}" in found.text
        assert "⟨U+202E⟩gnp" in found.text
    assert hostile[f"{SUITE}/claimed/index.html"].text.count("<script>alert(1)</script>") >= 10


def test_the_index_has_the_numbers(boards: list[Board], shown: dict[str, Page]) -> None:
    index = shown["index.html"]
    for one in boards[0].rows:
        kind = one.results.kind
        for found in (one.line.lag_score, *(point.final.iqm for point in one.line.points if point.final)):
            assert text.interval_estimate(found, kind) in index.text
    assert "Nothing is ranked on mujoco-mini-v1 yet: neither baselines nor submissions have been trained on it." in (
        index.text
    )
    headings = [a for t, a in index.tags if t == "th" and "data-sort" in a]
    assert [a["data-sort"] for a in headings][:7] == ["rank", "text", *["number"] * 4, "text"]
    ranked = [a["data-key"] for t, a in index.tags if "data-key" in a]
    assert ranked[-1] == "claimed"
    assert ranked[:2] == ["vaco.baseline", "mine"]


def test_what_is_claimed_is_apart_and_has_no_rank(shown: dict[str, Page]) -> None:
    index = shown["index.html"]
    labels = [a.get("aria-label") for t, a in index.tags if t == "table"]
    assert labels[0] == SUITE
    assert f"{SUITE}, claims" in labels
    assert "Reported by their authors and not verified." in index.text
    assert "1e+97" in index.text
    assert "0000000" not in index.text
    claimed = page(shown, "claimed").text
    assert "state claimed rank – algorithm" in claimed
    assert "0000000" not in claimed.replace("0" * 64, "")


def test_warnings_are_seen(shown: dict[str, Page]) -> None:
    lag = "lag may be switched off: TV(π_T, β) far below the others’ at lag 2"
    claim = "differs from its claim by more than the spread over seeds explains"
    for one in (shown["index.html"], page(shown, "mine")):
        assert one.text.count(lag) == 1
        assert claim in one.text
    for key in ("other", "ppo.baseline"):
        assert lag not in page(shown, key).text
        assert claim not in page(shown, key).text
    assert "the same method as mine, whose rank it shares" in page(shown, "other").text


def test_a_claim_stands_beside_its_rerun(boards: list[Board], shown: dict[str, Page]) -> None:
    mine = row(boards, "mine")
    assert mine.agreement is not None
    found = page(shown, "mine").text
    for cell in mine.agreement.cells:
        numbers = f"{text.number(cell.claimed)} {text.number(cell.found)} {cell.p:.2g}"
        assert f"{cell.task}, lag {cell.value} {numbers}".replace("e-", "e-") in found
    for line in mine.results.lines:
        assert text.interval_estimate(line.lag_score, "score") in found


def test_measured_lag_stands_beside_each_lag(boards: list[Board], shown: dict[str, Page]) -> None:
    for one in boards[0].ranked:
        for value, tv in one.tv.items():
            assert f"lag {value} {text.number(tv)}" in page(shown, one.method.key).text
    assert "0.02 to 0.02" in page(shown, "mine").text


def test_a_page_has_settings_statement_source_and_where_it_is_from(boards: list[Board], shown: dict[str, Page]) -> None:
    mine = row(boards, "mine")
    assert mine.method.submission is not None
    for word in (
        "Ada Lovelace , Karen Spärck Jones",
        "learning_rate 0.001 updates null",
        "Four settings.",
        "mine.py , 7 lines",
        "scale = 2.0 # by hand",
        "def helper(x):",
        mine.method.submission.sha256,
        "2026-01-01, lagbench 0.1.0 , in the sandbox bubblewrap",
        "1000, 1007 from the submission and drand round 1",
    ):
        assert word in page(shown, "mine").text
    assert "without a sandbox (trusted source)" in page(shown, "other").text
    assert "class PPO(Algorithm)" in page(shown, "ppo.baseline").text
    assert "A baseline of lagbench." in page(shown, "ppo.baseline").text


def test_states_say_what_they_do_not_prove(shown: dict[str, Page]) -> None:
    for one in shown.values():
        for word in ("baseline", "rerun", "claimed", "does not prove", "that the results are real"):
            assert word in one.text


def test_charts_say_what_they_are_and_have_tables(shown: dict[str, Page]) -> None:
    for name, one in shown.items():
        (image,) = [a for t, a in one.tags if t == "img"]
        assert (image["alt"] or "").endswith("All numbers are in the table below."), name
        assert [a["media"] for t, a in one.tags if t == "source"] == ["(max-width: 46rem)"]
        assert "The same as a table" in one.text


def test_numbers_for_machines(boards: list[Board], site: Path) -> None:
    """As JSON, CSV and Arrow, of a board and of each method."""
    document = json.loads((site / SUITE / "results.json").read_text())
    assert [one["key"] for one in document["rows"]] == [one.method.key for one in boards[0].rows]
    assert [one["state"] for one in document["rows"] if one["rank"] is None] == ["claim"]
    for one in boards[0].rows:
        place = site / SUITE / one.method.key
        numbers = json.loads((place / "results.json").read_text())["results"]
        assert numbers == json.loads(json.dumps(one.results.to_json()))
        lines = list(csv.DictReader(io.StringIO((place / "results.csv").read_text())))
        (score,) = [x for x in lines if x["quantity"] == "lag_score" and x["label"] == one.line.label]
        assert one.line.lag_score is not None
        assert float(score["value"]) == one.line.lag_score.value
        if one.is_claim:
            assert pa.ipc.open_file(place / "runs.arrow").read_all().num_rows == 8
        else:
            assert table.from_file(place / "runs.arrow").equals(one.method.runs)


def test_ranks_that_are_shared_and_runs_that_diverged(boards: list[Board]) -> None:
    first, second, *_ = boards[0].ranked

    def changed(of: Row, **changes: Any) -> Row:
        lines = (dataclasses.replace(of.line, **changes), *of.results.lines[1:])
        return dataclasses.replace(of, rank=1, results=dataclasses.replace(of.results, lines=lines))

    both = (changed(first, undefined="IQM at lag 0 is low", tolerance=None), changed(second, diverged=2))
    found = pages.files([dataclasses.replace(boards[0], ranked=both, claims=())])
    index = Page(found["index.html"])
    assert "1= vaco" in index.text
    assert "1= Mine" in index.text
    cells = [a for t, a in index.tags if t == "td" and a.get("class") == "number tolerance"]
    assert [one["data-value"] == "" for one in cells] == [True, False]
    assert (
        "retention and tolerance are undefined: IQM at lag 0 is low"
        in Page(found[f"{SUITE}/{first.method.key}/index.html"]).text
    )
    assert "2 of 8 runs diverged" in Page(found[f"{SUITE}/{second.method.key}/index.html"]).text


def test_an_empty_site() -> None:
    assert set(pages.files([])) == {"index.html"}
