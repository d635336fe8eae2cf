"""Results of before are found again only where nothing that they follow from has changed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lagbench.scoring import cache, score
from lagbench.scoring.results import Results
from tests.scoring.synthetic import even, lags, scores


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def found() -> Results:
    return score.score_grid(scores(lags({"a": {0: even(1.0), 8: even(0.5)}})), replications=20)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    for name in ("evaluations", "phases", "trajectories"):
        (path / name).mkdir(parents=True)
        (path / name / "data.arrow").write_text(name)
    for name in ("spec.json", "result.json", "environment.json"):
        (path / name).write_text(name)
    return path


def test_there_and_back(found: Results) -> None:
    assert cache.load("x") is None
    cache.save("x", found)
    assert cache.load("x") == found


def test_a_damaged_entry_is_none(found: Results, place: Path) -> None:
    cache.save("x", found)
    (file,) = place.glob("*.json")
    text = file.read_text()
    for damage in (text[:-10], text.replace("0.75", "0.76"), "[]", "{}", ""):
        assert damage != text
        file.write_text(damage)
        assert cache.load("x") is None


def test_only_the_newest_are_kept(found: Results, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "KEPT", 2)
    for age, name in enumerate("abc"):
        cache.save(name, found)
        os.utime(place / f"{name}.json", (1000 + age, 1000 + age))
    cache.load("b")  # it was asked for: it is new again
    cache.save("d", found)
    assert sorted(file.stem for file in place.iterdir()) == ["b", "d"]


def test_a_place_that_cannot_be_written_is_no_error(found: Results, place: Path) -> None:
    place.write_text("a file")
    cache.save("x", found)
    assert cache.load("x") is None


def test_every_byte_counts(run: Path) -> None:
    seen = {cache.key([run], [], {})}
    for name in ("spec.json", "result.json", "environment.json", "evaluations/data.arrow", "phases/data.arrow"):
        (run / name).write_text("another")
        seen.add(cache.key([run], [], {}))
        (run / name).unlink()
        seen.add(cache.key([run], [], {}))
    assert len(seen) == 11


def test_what_is_not_read_does_not_count(run: Path) -> None:
    before = cache.key([run], [], {})
    (run / "trajectories/data.arrow").write_text("another")
    assert cache.key([run], [], {}) == before


def test_parameters_tables_and_versions_count(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "table.arrow"
    table.write_text("one")
    seen = {cache.key([run], [], {}), cache.key([run], [], {"by": ("clip",)}), cache.key([], [], {})}
    seen.add(cache.key([run], [table], {}))
    table.write_text("two")
    seen.add(cache.key([run], [table], {}))
    monkeypatch.setattr(cache, "version", lambda package: "0")
    seen.add(cache.key([run], [], {}))
    monkeypatch.setattr(cache, "_source", lambda: "changed")
    seen.add(cache.key([run], [], {}))
    assert len(seen) == 7


def test_where_they_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache.directory().name == "cache"
    monkeypatch.delenv(cache.VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache.directory() == Path("/x/lagbench/scores")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.directory() == Path.home() / ".cache/lagbench/scores"


def test_an_entry_is_json(found: Results, place: Path) -> None:
    cache.save("x", found)
    assert json.loads((place / "x.json").read_text())["format_version"] == 1
