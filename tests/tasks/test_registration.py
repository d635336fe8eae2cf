"""Tasks of one's own: registered under an id, installed by a package, and named by what makes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from lagbench import registry
from lagbench.domain import CONTROL, LANGUAGE
from lagbench.source import known
from lagbench.spec import RunSpec, resolve
from lagbench.tasks.mujoco import EnvPoolTask, EnvPoolVectorEnv
from lagbench.tasks.registration import register_task
from lagbench.tasks.spec import domain_of, load_task
from tests.refusals import refusal

TASKS = """
from lagbench.tasks.gsm8k.task import task as questions
from lagbench.tasks.mujoco import task

def pendulum(task_id, **options):
    return task("Pendulum-v1", **{"max_episode_steps": 50, **options})

def mini(task_id, **options):
    return questions("GSM8kMini-v0", **{"data": "mini", "model": "mini", "prompt": "plain", **options})

def broken(task_id, **options):
    return {}["no such key"]

def nothing(task_id, **options):
    pass
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_tasks", dict(registry._tasks))
    monkeypatch.chdir(tmp_path)
    Path("tasks.py").write_text(TASKS)
    before = dict(gymnasium.registry)
    yield
    gymnasium.registry.clear()
    gymnasium.registry.update(before)


def steps(task: str, options: Mapping[str, Any] | None = None) -> int:
    """The time limit."""
    made = load_task(task, options)
    assert isinstance(made, EnvPoolTask)
    return made.max_episode_steps


def test_a_task_of_envpools_is_known_to_lagbench_and_gymnasium() -> None:
    register_task("lagbench/Pendulum-v1", max_episode_steps=100)
    task = load_task("Pendulum-v1")
    assert isinstance(task, EnvPoolTask)
    assert (task.task_id, task.max_episode_steps, domain_of("Pendulum-v1")) == ("Pendulum-v1", 100, CONTROL)
    env = gymnasium.make_vec("lagbench/Pendulum-v1", num_envs=2)
    assert isinstance(env, EnvPoolVectorEnv)
    assert env.task == task
    register_task("MetaWorld/Reach-v3")  # which Gymnasium would not take
    assert load_task("MetaWorld/Reach-v3").domain == CONTROL


def test_a_task_is_what_its_entry_makes() -> None:
    register_task("Asked-v0", entry="tasks.py:mini", max_new_tokens=32)
    assert (domain_of("Asked-v0"), load_task("Asked-v0").options["max_new_tokens"]) == (LANGUAGE, 32)
    assert load_task("Asked-v0").task_id == "Asked-v0"
    assert "lagbench/Asked-v0" in gymnasium.registry


def test_an_id_is_registered_once() -> None:
    register_task("Mine-v0", entry="tasks.py:pendulum", max_episode_steps=3)
    register_task("Mine-v0", entry="tasks.py:pendulum", max_episode_steps=3)  # again, the same: no harm
    assert refusal(register_task, "Mine-v0", entry="tasks.py:pendulum", max_episode_steps=4) == (
        "task 'Mine-v0' is registered already, with other settings; choose another id"
    )
    assert steps("Mine-v0") == 3


class Pendulum:
    pass


@pytest.mark.parametrize(
    ("task_id", "options", "sentence"),
    [
        ("FrozenLake-v1", {}, "FrozenLake-v1 cannot be a control task: its observations are Discrete, and control"),
        ("Pendulm-v1", {}, "EnvPool has no task 'Pendulm-v1'; did you mean 'Pendulum-v1'?"),
        ("Pendulum-v1", {"fps": 3}, "unknown task option 'fps'. Known: max_episode_steps, "),
        (Pendulum, {}, "a task is registered by its id, a string such as 'Pendulum-v1', not <class "),
        ("../Pendulum-v1", {}, "a task is registered by its id, a string such as 'Pendulum-v1', not '../Pendulum-v1'"),
        ("tasks.py:pendulum", {}, "a task is registered by its id, a string such as 'Pendulum-v1', not 'tasks.py:pen"),
        ("Mine-v0", {"entry": Pendulum}, "entry must be module:function or path/to/file.py:function, "),
        (
            "Mine-v0",
            {"entry": "tasks.py"},
            "entry must be module:function or path/to/file.py:function, ",
        ),
        ("Mine-v0", {"entry": "nowhere.py:mini"}, "there is no file 'nowhere.py'; name your own function as path/"),
        ("Mine-v0", {"entry": "no.module:mini"}, "'no.module' cannot be imported: ModuleNotFoundError: "),
        (
            "Mine-v0",
            {"entry": "tasks.py:pendulm"},
            "unknown function in tasks.py 'pendulm'; did you mean 'pendulum'? Known: broken, mini, nothing, pendulum.",
        ),
        ("Mine-v0", {"entry": "sys:exit"}, "unknown function in sys 'exit'."),
        ("Mine-v0", {"entry": "tasks.py:broken"}, "tasks.py:broken cannot create the task Mine-v0: KeyError: 'no such"),
        (
            "Mine-v0",
            {"entry": "tasks.py:nothing"},
            "tasks.py:nothing must return a Gymnasium environment, or a TaskSpec a",
        ),
    ],
)
def test_what_is_no_task_is_refused_at_the_call(task_id: Any, options: dict[str, Any], sentence: str) -> None:
    before = registry.task_ids()
    assert refusal(register_task, task_id, **options).startswith(sentence)
    # So it stands in nobody's way.
    assert registry.task_ids() == before
    assert refusal(load_task, Pendulum).startswith("a task is named by its id or path/to/file.py:function, not")


def test_a_function_names_a_task_and_its_source_is_part_of_the_specification() -> None:
    spec = resolve(task="tasks.py:pendulum", task_options={"max_episode_steps": 20}, budget=20_480)
    assert spec.task == "tasks.py:pendulum"
    assert spec.domain == CONTROL
    assert load_task(spec.task, spec.task_options).task_id == spec.task
    assert steps(spec.task, spec.task_options) == 20
    assert RunSpec.from_json(spec.to_json()) == spec

    Path("tasks.py").write_text(TASKS.replace("50", "60"))
    assert steps(spec.task, spec.task_options) == 20  # as it was specified
    known._sources.clear()
    assert refusal(load_task, spec.task, spec.task_options).startswith(
        "the source of tasks.py:pendulum has changed since this run was specified (SHA-256 "
    )
    Path("tasks.py").unlink()
    # What was recorded can be read without it.
    assert RunSpec.from_json(spec.to_json()).domain == CONTROL
    assert refusal(load_task, spec.task, spec.task_options).startswith("the source of tasks.py:pendulum (SHA-256 ")


def test_a_language_task_takes_an_id() -> None:
    assert refusal(load_task, "tasks.py:mini") == (
        "tasks.py:mini creates a language task, which must be registered under an id: with lagbench.register_task, "
        "or by an entry point in the group lagbench.tasks"
    )


def test_a_package_brings_tasks(install: Callable[[str, str, str], None]) -> None:
    entries = "Pendulum-v1 = lagbench.tasks.mujoco:task\nShort-v0 = my_tasks:pendulum\nMini-v0 = my_tasks:mini\n"
    install("my_tasks", TASKS, f"[lagbench.tasks]\n{entries}")
    assert {"Hopper-v5", "Mini-v0", "Pendulum-v1", "Short-v0"} <= set(registry.task_ids())
    assert registry.task_entry("lagbench/Short-v0").entry == "my_tasks:pendulum"
    assert (steps("Pendulum-v1"), steps("Short-v0")) == (200, 50)
    assert load_task("Short-v0").task_id == "Short-v0"
    spec = resolve(task="Short-v0", budget=20_480)
    assert (spec.task, dict(spec.task_options)) == ("Short-v0", {"max_episode_steps": 50})
    assert (spec.domain, domain_of("Mini-v0")) == (CONTROL, LANGUAGE)
    assert "is registered already" in refusal(register_task, "Pendulum-v1")
