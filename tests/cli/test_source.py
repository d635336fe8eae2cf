"""A run keeps the source of its algorithm, and whatever goes on with it, or runs it again, takes that."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest

from lagbench import registry, runner
from lagbench.records.reader import open_run
from lagbench.spec import RunSpec
from tests.cli.run_here import SMALL, content_hash, lagbench
from tests.ends import interrupt
from tests.source.trees import TREE, USED, lay_out

RUN = ("run", "--algo", "mine.py:Mine", *SMALL, "-q", "--out")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to be in, with an algorithm that imports a helper and a package."""
    monkeypatch.chdir(tmp_path)
    return lay_out(tmp_path, TREE)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of it, made before anything happened. Read it; do not change it."""
    path = lay_out(tmp_path_factory.mktemp("before"), TREE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        assert lagbench(*RUN, "run").code == 0
    return path / "run"


def copied(run: Path) -> dict[str, str]:
    files = (run / "source").rglob("*")
    return {file.relative_to(run / "source").as_posix(): file.read_text() for file in files if file.is_file()}


def test_it_is_copied(before: Path) -> None:
    assert copied(before) == {name: TREE[name] for name in USED}
    # What is there can be run as it is.
    here = RunSpec.load(before / "spec.json").algorithm
    assert lagbench("show", f"{before}/source/mine.py:Mine", "--json").json["algorithm"].endswith("source/mine.py:Mine")
    assert here.source == RunSpec.load(before / "spec.json").algorithm.source


def test_of_what_is_installed_there_is_no_copy(finished: Path) -> None:
    assert not (finished / "source").exists()
    said = json.loads((finished / "spec.json").read_text())
    assert said["algorithm"] == {"name": "vaco", "distribution": "lagbench", "version": version("lagbench")}


def test_a_resumed_run_does_not_see_what_was_changed(own: Path, before: Path) -> None:
    interrupt(open_run(before).spec, own / "run")
    lay_out(own, {"helper.py": TREE["helper.py"].replace("+1.0", "-1.0"), "mine.py": "1 / 0"})
    assert lagbench("resume", "run", "-q").code == 0
    assert content_hash(own / "run") == content_hash(before)
    assert copied(own / "run") == copied(before)
    # The same specification, of what is there now, is another.
    lay_out(own, {"mine.py": TREE["mine.py"]})
    assert lagbench(*RUN, "other").code == 0
    assert content_hash(own / "other") != content_hash(before)


def test_a_finished_run_is_run_again_from_its_copy(
    before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert lagbench("run", "--spec", before / "spec.json", "--out", "again", "-q").code == 0
    assert content_hash(tmp_path / "again") == content_hash(before)
    assert (tmp_path / "again/spec.json").read_bytes() == (before / "spec.json").read_bytes()
    assert copied(tmp_path / "again") == copied(before)


def test_a_specification_alone_asks_for_the_source(
    before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(before / "spec.json", tmp_path)
    done = lagbench("run", "--spec", "spec.json", "--out", "run")
    assert (done.code, (tmp_path / "run").exists()) == (2, False)
    assert "cannot be found: there is no file 'mine.py', and there is no copy next to the spec" in done.sentence
    lay_out(tmp_path, TREE)
    assert lagbench("run", "--spec", "spec.json", "--out", "run", "-q").code == 0


def test_a_slim_copy_has_it_too(before: Path, tmp_path: Path) -> None:
    assert lagbench("export", before, "--to", "slim", "-o", tmp_path / "slim", "-q").code == 0
    assert copied(tmp_path / "slim") == copied(before)


def test_another_version_of_what_is_installed(finished: Path, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run is not resumed with it; started again, it uses that version, and a note says so."""
    here = version("lagbench")
    interrupt(open_run(finished).spec, own / "begun")
    monkeypatch.setattr(registry, "distribution", lambda *_: ("lagbench", "9.9"))
    done = lagbench("resume", "begun", "-q")
    installed = f"but lagbench 9.9 is installed: pip install lagbench=={here}, or start a new run"
    assert (done.code, done.sentence) == (2, f"Error: vaco is from lagbench {here}, {installed}")
    done = lagbench("run", "--spec", finished / "spec.json", "--out", "again", "-q")
    assert (done.code, done.err) == (0, f"note: vaco is from lagbench 9.9 here, but was from lagbench {here}\n")
    assert content_hash(own / "again") == content_hash(finished)
    assert open_run(own / "again").spec.algorithm.source == "lagbench 9.9"
    with pytest.warns(UserWarning, match="vaco is from lagbench 9.9 here, but was from lagbench"):
        runner.run(spec=open_run(finished).spec, out=own / "third")


PUBLISHED = sorted((ROOT / "tests/former").glob("*.json"))


def test_every_published_run_can_be_run_again() -> None:
    assert len(PUBLISHED) == 2
    for file in PUBLISHED:
        spec, note = runner.renewed(RunSpec.load(file))
        runner._check(spec)
        assert spec.algorithm.source == f"lagbench {version('lagbench')}"
        assert not note


def test_a_published_run_is_run_again(own: Path) -> None:
    """Of the former format, and smaller than it was."""
    published = json.loads(PUBLISHED[0].read_text())
    small = {"protocol": {**published["protocol"], "minibatch": 2048, "updates": 1}, "budget": 4096, "suite": None}
    evaluation = {"evaluation": {"episodes": 1, "intervals": 1}}
    (own / "spec.json").write_text(json.dumps({**published, **small, **evaluation}))
    assert published["algorithm"].keys() == {"name", "sha256"}
    done = lagbench("run", "--spec", "spec.json", "--out", "run", "-q")
    assert (done.code, done.err) == (0, "")
    assert json.loads((own / "run/spec.json").read_text())["format_version"] == 2


def test_an_old_run_is_shown_resumed_and_scored(finished: Path, own: Path) -> None:
    """Its specification has the digest of an installed algorithm's file, to which it is not held."""
    spec = json.loads((finished / "spec.json").read_text())
    former = RunSpec.from_json({**spec, "format_version": 1, "algorithm": {"name": "vaco", "sha256": "0" * 64}})
    interrupt(former, own / "begun")
    assert lagbench("resume", "begun", "-q").code == 0
    assert json.loads((own / "begun/spec.json").read_text())["algorithm"] == {"name": "vaco", "sha256": "0" * 64}
    assert content_hash(own / "begun") == content_hash(finished)
    for command in (("show", "begun"), ("score", "begun", finished, "--replications", "10", "-q")):
        assert lagbench(*command).code == 0
