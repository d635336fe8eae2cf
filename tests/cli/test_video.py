"""``lagbench video``: what it says on either stream, and its refusals."""

from pathlib import Path

import pytest

from tests.cli.run_here import lagbench


def test_a_film(finished: Path, tmp_path: Path) -> None:
    done = lagbench("video", finished, "-o", tmp_path / "film.gif")
    assert (done.code, done.out, done.err) == (0, f"{tmp_path / 'film.gif'}\n", "")
    assert (tmp_path / "film.gif").read_bytes().startswith(b"GIF89a")


def test_of_another_evaluation_as_json(finished: Path, tmp_path: Path) -> None:
    done = lagbench("video", finished, "--evaluation", "0", "--episode", "0", "--out", tmp_path / "film.gif", "--json")
    assert (done.code, done.json, done.err) == (0, {"path": str(tmp_path / "film.gif")}, "")


def test_refusals(finished: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = lagbench("video", finished, "--episode", "7", "-o", "film.gif")
    assert (refused.code, refused.sentence.split("; ")[1]) == (2, "it has 0 to 0")
    assert lagbench("video", finished, "-o", "film.avi").code == 2
    monkeypatch.setenv("MUJOCO_GL", "nonsense")
    refused = lagbench("video", finished, "-o", "film.gif")
    assert refused.code == 1
    assert "on Debian and Ubuntu: apt-get install libegl1 libgl1" in refused.sentence
    assert not (here / "film.gif").exists()
