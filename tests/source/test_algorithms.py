"""What a specification says of an algorithm, from a name, a file or a class; and the class, from what it says."""

from __future__ import annotations

import importlib
import os
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from lagbench import registry
from lagbench.algorithm import Algorithm
from lagbench.baselines.vaco import VACO
from lagbench.errors import UsageError
from lagbench.source import algorithms, known
from lagbench.source.algorithms import AlgorithmSource, InstalledAlgorithm, identify, load
from tests.refusals import refusal
from tests.source.trees import MINE, TREE, lay_out

HERE = registry.distribution("ppo")[1]
ALONE = """
from lagbench import Algorithm

class Mine(Algorithm):
    class Config(Algorithm.Config):
        strength: float = 1.0

    def loss(self, batch):
        return -batch.objective(self.policy.evaluate(batch).log_prob * batch.advantage), {}
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return lay_out(tmp_path, {"mine.py": ALONE}) / "mine.py"


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in another process, which has heard of no source."""
    monkeypatch.setattr(known, "_sources", {})
    monkeypatch.setattr(known, "_copies", {})


def found(algo: Any) -> Any:
    return load(identify(algo))


def test_an_installed_one_is_named_by_its_distribution() -> None:
    assert identify("vaco") == identify(VACO) == InstalledAlgorithm("vaco", "lagbench", HERE)
    assert load(identify("vaco")) is VACO
    assert algorithms.source_of(identify("vaco")) is None


@pytest.mark.parametrize(
    ("algorithm", "sentence"),
    [
        (InstalledAlgorithm("ppo", "lagbench", "9"), f"but lagbench {HERE} is installed: pip install lagbench==9, or"),
        (InstalledAlgorithm("ppo", "other", "9"), f"another ppo, from lagbench {HERE}, is installed: pip install o"),
        (InstalledAlgorithm("none", "other", "9"), "none is from other 9, but it is not installed: pip install o"),
        (AlgorithmSource("vacco", "0" * 64), "unknown algorithm 'vacco'; did you mean 'vaco'?"),
    ],
)  # fmt: skip
def test_another_version_is_not_taken_for_it(algorithm: Any, sentence: str) -> None:
    assert sentence in refusal(load, algorithm)


def test_a_run_of_another_version_may_be_started() -> None:
    here = InstalledAlgorithm("ppo", "lagbench", HERE)
    for then in (InstalledAlgorithm("ppo", "lagbench", "9"), AlgorithmSource("ppo", "0" * 64)):
        assert algorithms.renewed(then) == here
    assert algorithms.renewed(AlgorithmSource("mine.py:Mine", "0" * 64)).source == "0" * 64
    with pytest.raises(UsageError, match="pip install other==9"):
        algorithms.renewed(InstalledAlgorithm("ppo", "other", "9"))


def test_of_a_former_specification_the_version_is_not_known() -> None:
    former = AlgorithmSource("vaco", "0" * 64)
    assert load(former) is VACO
    assert algorithms.may_be(identify("vaco"), former)
    assert not algorithms.may_be(identify("vaco"), InstalledAlgorithm("vaco", "lagbench", "9"))
    assert not algorithms.may_be(identify("vaco"), AlgorithmSource("ppo", "0" * 64))


def test_one_in_a_file(mine: Path) -> None:
    cls = load(identify(f"{mine}:Mine"))
    assert issubclass(cls, Algorithm)
    # A class is one class however often it is asked for.
    assert load(identify(f"{mine}:Mine")) is cls


def test_a_sign_in_a_helper_makes_it_another(tmp_path: Path) -> None:
    before = identify(f"{lay_out(tmp_path, TREE)}/mine.py:Mine")
    lay_out(tmp_path, {"helper.py": TREE["helper.py"].replace("+1.0", "-1.0")})
    after = identify(f"{tmp_path}/mine.py:Mine")
    assert before.source != after.source
    signs = [sys.modules[load(x).__module__].sign() for x in (before, after)]
    assert signs == [1.0, -1.0]


def test_a_file_changed_while_python_runs_is_loaded_anew(mine: Path) -> None:
    before = mine.stat()
    first = load(identify(f"{mine}:Mine"))
    # Of the same size and time: what a bytecode cache takes for the same file.
    mine.write_text(ALONE.replace("1.0", "2.0"))
    os.utime(mine, ns=(before.st_atime_ns, before.st_mtime_ns))
    second = load(identify(f"{mine}:Mine"))
    assert (first.Config().strength, second.Config().strength) == (1.0, 2.0)


def test_a_source_that_is_gone_is_found_in_a_run(mine: Path, tmp_path: Path, forgotten: None) -> None:
    said = AlgorithmSource(f"{mine}:Mine", identify(f"{mine}:Mine").source)
    mine.rename(tmp_path / "elsewhere.py")
    assert issubclass(load(said), Algorithm)  # remembered
    known._sources.clear()
    nowhere = refusal(load, said)
    assert f"cannot be found: there is no file {str(mine)!r}, and there is no copy next to the specification" in nowhere
    lay_out(tmp_path / "run/source", {"mine.py": ALONE})
    known.note_copy(said.source, tmp_path / "run/source")
    assert issubclass(load(said), Algorithm)
    known._sources.clear()
    lay_out(tmp_path / "run/source", {"mine.py": ALONE + "# edited"})
    assert f"and {tmp_path}/run/source does not hold it" in refusal(load, said)
    mine.write_text(ALONE + "# edited")
    assert "has changed since this run was specified (SHA-256 " in refusal(load, said)
    (tmp_path / "elsewhere.py").rename(mine)
    assert issubclass(load(said), Algorithm)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    missing = tmp_path / "nothing.py"
    assert refusal(found, f"{missing}:Mine") == (
        f"there is no file {str(missing)!r}; name your own algorithm as path/to/file.py:Class"
    )


def test_a_file_without_the_class_names_those_it_has(mine: Path) -> None:
    assert refusal(found, f"{mine}:Mime") == f"unknown class in {mine} 'Mime'; did you mean 'Mine'? Known: Mine."
    mine.write_text("x = 1\n")
    assert refusal(found, f"{mine}:Mine") == f"unknown class in {mine} 'Mine'."


def test_a_file_alone_is_asked_for_its_class(mine: Path) -> None:
    assert refusal(found, str(mine)) == f"{str(mine)!r} needs the name of its class: {mine}:Mine"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def (", "SyntaxError"),
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_file_that_cannot_be_imported_says_why(mine: Path, text: str, reason: str) -> None:
    mine.write_text(text)
    for _ in range(2):  # what failed once is not taken for loaded
        assert f"{str(mine)!r} cannot be imported: {reason}" in refusal(found, f"{mine}:Mine")


def test_a_path_with_colons_and_commas(tmp_path: Path) -> None:
    name = f"{lay_out(tmp_path / 'a:b,c.py', {'mine.py': ALONE})}/mine.py:Mine"
    assert algorithms.is_there(name)
    assert load(identify(name)).__name__ == "Mine"


def test_a_class_of_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is that of the file: also where it is asked for once more."""
    lay_out(tmp_path, {"own_module.py": MINE.replace("helper", "own_helper"), "own_helper.py": TREE["helper.py"]})
    lay_out(tmp_path, {name: text for name, text in TREE.items() if name.startswith("trunk")})
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    cls = importlib.import_module("own_module").Mine
    said = identify(cls)
    assert said.name == "own_module.py:Mine"
    assert said == identify("own_module.py:Mine")
    assert load(said) is not cls
    assert identify(load(said)) == said
    # What was imported and what the file has by now are not taken for each other.
    text = Path("own_module.py").read_text()
    Path("own_module.py").write_text(text.replace("return -sign()", "return +sign()"))
    assert refusal(found, cls).startswith(
        "Mine is not what own_module.py:Mine is now, because one of them has changed; import"
    )
    Path("own_module.py").write_text("# a comment\n" + text)
    assert identify(cls).source != said.source
    cls.gamma = 0.5
    assert "one of them has changed" in refusal(found, cls)


@pytest.mark.parametrize(
    ("algo", "sentence"),
    [
        (Algorithm.Config, "Algorithm.Config is defined inside a function or class and cannot be loaded"),
        (type("Mine", (), {"__module__": "torch"}), "but has no entry point; add one"),
    ],
)  # fmt: skip
def test_what_no_run_can_load(algo: Any, sentence: str) -> None:
    assert sentence in refusal(found, algo)


SCRIPT = """
import lagbench

class Mine(lagbench.Algorithm):
    def loss(self, batch):
        log_prob = self.policy.evaluate(batch).log_prob
        return -batch.objective(log_prob * batch.advantage), {}

def main(algo):
    small = {"actors": 4, "phase_steps": 16, "minibatch": 32, "budget": 64, "eval_episodes": 1}
    try:
        print(lagbench.run(algo=algo, task="InvertedPendulum-v5", out="run", **small).spec.algorithm.name)
    except lagbench.UsageError as error:
        print(error)

"""


@pytest.mark.parametrize(
    ("start", "says"),
    [
        ("if __name__ == '__main__':\n    main(Mine)\n", "script.py:Mine\n"),
        ("main(Mine)\n", "it starts a run when it is imported, which loading its algorithm does; move what"),
    ],
)  # fmt: skip
def test_a_class_of_a_script(
    start: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what starts the run below a guard: else each loading would start another."""
    monkeypatch.chdir(tmp_path)
    Path("script.py").write_text(SCRIPT + start)
    runpy.run_path("script.py", run_name="__main__")
    assert says in capsys.readouterr().out
