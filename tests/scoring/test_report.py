"""A report needs no network, shows names as they are, and takes the place of nothing but a report."""

from __future__ import annotations

import html.parser
import json
import re
from pathlib import Path

import pytest

from lagbench.errors import UsageError
from lagbench.scoring import details, plots, report, score
from lagbench.scoring.details import Details
from lagbench.scoring.results import Results
from lagbench.scoring.sheets import sheets
from tests.scoring import synthetic

DRAWN = ("lag", "area")
HOSTILE = "<script>alert('x')</script>"


class Page(html.parser.HTMLParser):
    """What a page refers to, and what it says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.alternatives: list[str] = []
        self.text = ""
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "data", "action", "srcset")]
        self.alternatives += [value or "" for name, value in attrs if name == "alt"]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def found() -> tuple[Results, Details]:
    scores = synthetic.scores(synthetic.noisy({"ppo": {0: 1.0, 8: 0.5}, HOSTILE: {0: 0.9, 8: 0.8}}, seeds=2))
    return score.score_grid(scores, replications=30), details.details(scores, replications=30)


@pytest.fixture(scope="module")
def content(found: tuple[Results, Details]) -> dict[str, bytes]:
    with pytest.MonkeyPatch.context() as patch:
        # All figures are looked at in test_plots.py.
        patch.setattr(report, "pictures", lambda *of: (p for p in plots.pictures(*of) if p.name in DRAWN))
        return report.files(*found, "lagbench report 'a b' -o out")


@pytest.fixture(scope="module")
def page(content: dict[str, bytes]) -> Page:
    return Page(content["index.html"].decode())


def test_every_figure_in_every_format(content: dict[str, bytes], page: Page) -> None:
    assert sorted(content) == sorted([f"{n}.{form}" for n in DRAWN for form in ("pdf", "svg", "png")] + ["index.html"])
    for name, data in content.items():
        start = {"pdf": b"%PDF", "svg": b"<?xml", "png": b"\x89PNG", "html": b"<!doctype html>"}
        assert data.lstrip().startswith(start[name.rpartition(".")[2]])
    assert set(DRAWN) <= set(page.ids)


def test_the_page_needs_no_network(content: dict[str, bytes], page: Page) -> None:
    assert not {"script", "link", "iframe", "object", "base"} & set(page.tags)
    for link in page.links:
        assert link.startswith(("data:image/svg+xml;base64,", "#")) or link in content
    for link in page.links:
        assert not link.startswith("#") or link[1:] in page.ids
    text = content["index.html"].decode()
    assert not re.search(r"url\(|@import|https?:", text)
    assert "default-src 'none'" in text
    for name, data in content.items():
        if name.endswith(".svg"):
            assert not re.search(rb"""(href|src)=["'](?!#)""", data)


def test_names_are_text(content: dict[str, bytes], page: Page) -> None:
    assert HOSTILE in page.text
    assert "<script" not in content["index.html"].decode()
    assert b"<script" not in content["lag.svg"]


def test_the_page_says_everything(found: tuple[Results, Details], page: Page) -> None:
    results, _ = found
    for sheet in sheets(results):
        assert sheet.title in page.text
        for cell in (cell for row in sheet.rows for cell in row):
            assert cell in page.text
        for note in sheet.notes:
            assert note in page.text
    # Once for all, and under each table but that of returns, which has standard errors and no intervals.
    assert page.text.count("Measured coverage") == len(sheets(results))
    assert all(note in page.text for note in results.notes)
    assert "lagbench report 'a b' -o out" in page.text
    for name, version in report.versions().items():
        assert f"{name} {version}" in page.text
    assert "Diagnostics against lag, Score against divergence: diagnostics are missing" in page.text
    assert all(len(text) > 30 for text in page.alternatives)


def test_it_takes_the_place_of_nothing_but_a_report(tmp_path: Path) -> None:
    report.write(tmp_path / "out", {"index.html": b"x"}, "lagbench report a")
    document = json.loads((tmp_path / "out/report.json").read_text())
    assert (document["command"], document["versions"]) == ("lagbench report a", report.versions())
    (tmp_path / "out/index.html").write_text("mine")
    with pytest.raises(UsageError, match=r"index\.html has changed since lagbench wrote it"):
        report.write(tmp_path / "out", {"index.html": b"x"}, "lagbench report a")
