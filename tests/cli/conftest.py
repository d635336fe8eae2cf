"""Runs that several tests look at."""

from pathlib import Path

import pytest

from tests.cli.intact import RUN, TABLES, Rows, rows
from tests.cli.processes import started
from tests.cli.run_here import ALGORITHMS, SMALL, lagbench


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run under lag. Read it; do not change it."""
    path = tmp_path_factory.mktemp("finished") / "run"
    done = lagbench("run", "--algo", "vaco", "--lag", "2", *SMALL, "--out", path, "-q")
    assert (done.code, done.out, done.err) == (0, f"{path}\n", "")
    return path


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of ``intact``, to which nothing happened. Read it; do not change it."""
    path = tmp_path_factory.mktemp("alone")
    with started(path, *RUN) as child:
        assert child.wait() == 0, child.err
    return path / "run"


@pytest.fixture(scope="session")
def reference(alone: Path) -> Rows:
    """Its rows, of which none is there twice."""
    found = {table: rows(alone, table) for table in TABLES}
    assert all(len({*there}) == len(there) for there in found.values())
    return found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of the test's own, to be in, with algorithms in mine.py."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(ALGORITHMS)
    return tmp_path
