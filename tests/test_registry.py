"""Names and what they stand for; algorithms of the user's own, from a file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lagbench import registry
from lagbench.algorithm import Algorithm
from lagbench.errors import UsageError

BASELINES = ["decoupled-ppo", "geppo", "impact", "impala", "ppo", "ppo-ewma", "ppo-kl", "spo", "vaco"]
MINE = """
from lagbench import Algorithm

class Mine(Algorithm):
    class Config(Algorithm.Config):
        strength: float = 1.0

    def loss(self, batch):
        return -batch.objective(self.policy.evaluate(batch).log_prob * batch.advantage), {}
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    return file


def refusal(name: str) -> str:
    with pytest.raises(UsageError) as caught:
        registry.load_algorithm(name)
    return str(caught.value)


def test_the_baselines_are_installed() -> None:
    known = registry.algorithms()
    assert set(BASELINES) <= set(known)
    for name in BASELINES:
        cls, path = registry.load_algorithm(name)
        assert issubclass(cls, Algorithm)
        assert f"class {cls.__name__}(Algorithm)" in path.read_text()


def test_an_unknown_algorithm_names_the_nearest_and_all() -> None:
    sentence = refusal("vacco")
    assert sentence.startswith("unknown algorithm 'vacco'; did you mean 'vaco'? Known: ")
    assert all(name in sentence for name in BASELINES)


def test_an_algorithm_of_ones_own_is_loaded_from_its_file(mine: Path) -> None:
    cls, path = registry.load_algorithm(f"{mine}:Mine")
    assert issubclass(cls, Algorithm)
    assert path == mine
    assert cls.Config().strength == 1.0
    # A class is one class however often it is asked for.
    assert registry.load_algorithm(f"{mine}:Mine")[0] is cls


def test_a_file_changed_while_python_runs_is_loaded_anew(mine: Path) -> None:
    before = mine.stat()
    first, _ = registry.load_algorithm(f"{mine}:Mine")
    # Of the same size and time: what a bytecode cache takes for the same file.
    mine.write_text(MINE.replace("1.0", "2.0"))
    os.utime(mine, ns=(before.st_atime_ns, before.st_mtime_ns))
    second, _ = registry.load_algorithm(f"{mine}:Mine")
    assert (first.Config().strength, second.Config().strength) == (1.0, 2.0)


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    classes = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        file = tmp_path / name / "mine.py"
        file.write_text(MINE)
        classes.append(registry.load_algorithm(f"{file}:Mine")[0])
    assert classes[0] is not classes[1]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    missing = tmp_path / "nothing.py"
    assert refusal(f"{missing}:Mine") == (
        f"there is no file {str(missing)!r}; give an algorithm of your own as path/to/file.py:Class"
    )


def test_a_file_without_the_class_names_those_it_has(mine: Path) -> None:
    assert refusal(f"{mine}:Mime") == f"unknown class in {mine} 'Mime'; did you mean 'Mine'? Known: Mine."
    mine.write_text("x = 1\n")
    assert refusal(f"{mine}:Mine") == f"unknown class in {mine} 'Mine'."


def test_a_file_alone_is_asked_for_its_class(mine: Path) -> None:
    assert refusal(str(mine)) == f"{str(mine)!r} needs the name of its class: {mine}:Mine"


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
        assert f"{str(mine)!r} cannot be imported: {reason}" in refusal(f"{mine}:Mine")


def test_every_envpool_mujoco_task_is_known_in_both_versions() -> None:
    known = registry.task_ids()
    assert known == sorted(known)
    assert len([i for i in known if i.endswith("-v5")]) >= 11
    assert {i.removesuffix("-v5") for i in known if i.endswith("-v5")} == {
        i.removesuffix("-v4") for i in known if i.endswith("-v4")
    }
    assert {"Hopper-v5", "HalfCheetah-v5", "Walker2d-v5", "Ant-v5", "Humanoid-v5", "InvertedPendulum-v5"} <= set(known)
    assert registry.task_entry("lagbench/Hopper-v5") is registry.task_entry("Hopper-v5")


def test_an_unknown_task_names_the_nearest_and_all() -> None:
    with pytest.raises(UsageError) as caught:
        registry.task_entry("Hoper-v5")
    assert str(caught.value).startswith("unknown task 'Hoper-v5'; did you mean 'Hopper-v5'? Known: Ant-v4, ")
    assert str(caught.value).endswith(
        " Give one of your own as path/to/file.py:function or module:function, see docs/tasks.md"
    )


def test_names_are_had_without_what_they_name() -> None:
    code = (
        "import sys; from lagbench import registry; registry.task_ids(); registry.algorithms(); registry.commands(); "
        "print([m for m in ('torch', 'envpool', 'pyarrow', 'lagbench.baselines') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
