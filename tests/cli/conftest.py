"""Runs that several tests look at."""

from pathlib import Path

import pytest

from tests.cli.run_here import ALGORITHMS, SMALL, lagbench


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run under lag. Read it; do not change it."""
    path = tmp_path_factory.mktemp("finished") / "run"
    done = lagbench("run", "--algo", "vaco", "--lag", "2", *SMALL, "--out", path, "-q")
    assert (done.code, done.out, done.err) == (0, f"{path}\n", "")
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of the test's own, to be in, with algorithms in mine.py."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(ALGORITHMS)
    return tmp_path
