"""Names and what they stand for."""

import importlib.metadata
import subprocess
import sys

import pytest

from lagbench import registry
from lagbench.algorithm import Algorithm
from lagbench.errors import UsageError
from tests.refusals import refusal

BASELINES = [
    *(
        "cispo",
        "decoupled-ppo",
        "dppo",
        "geppo",
        "grpo",
        "gspo",
        "impact",
        "impala",
        "m2po",
        "ppo",
        "ppo-ewma",
        "ppo-kl",
    ),
    *("spo", "tis", "topr", "vaco"),
]


def test_the_baselines_are_installed() -> None:
    known = registry.algorithms()
    assert set(BASELINES) <= set(known)
    for name in BASELINES:
        assert issubclass(registry.load(known[name]), Algorithm)
        # As read off the source.
        assert (registry.only_for(known[name]) or ("control", "language")) == registry.load(known[name]).domains
        assert registry.distribution(name) == ("lagbench", importlib.metadata.version("lagbench"))


def test_an_unknown_algorithm_names_the_nearest_and_all() -> None:
    sentence = refusal(registry.distribution, "vacco")
    assert sentence.startswith("unknown algorithm 'vacco'; did you mean 'vaco'? Known: ")
    assert all(name in sentence for name in BASELINES)


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
        ", and EnvPool's (lagbench list tasks --all). Name your own task as path/to/file.py:function or "
        "module:function, see docs/tasks.md"
    )
    with pytest.raises(UsageError, match="did you mean 'Go1JoystickFlatTerrain-v1'"):
        registry.task_entry("Go1JoystickFlatTerrain")
    assert registry.task_entry("lagbench/CartPole-v1").domain == "control"


def test_names_are_had_without_what_they_name() -> None:
    code = (
        "import sys; from lagbench import registry; registry.task_ids(); registry.algorithms(); registry.commands(); "
        "print([m for m in ('torch', 'envpool', 'pyarrow', 'lagbench.baselines') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
