"""What the records of a run look like is known before it is run."""

from __future__ import annotations

from typing import Any

import pytest

import lagbench
from lagbench import shapes
from lagbench.records.schema import without
from lagbench.spec import RunSpec, resolve
from lagbench.tasks.spec import TaskSpec, load_task


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> lagbench.Run:
    cell: Any = {"suite": "TESTING", "task": "Hopper-v5", "lag": 0, "algo": "vaco", "record": "trajectories"}
    return lagbench.run(out=tmp_path_factory.mktemp("shapes") / "run", **cell)


def test_tables_are_those_that_a_run_writes(run: lagbench.Run) -> None:
    found = shapes.tables(run.spec)
    assert list(found) == ["trajectories", "episodes", "evaluations", "phases"]
    for table, schema in found.items():
        assert schema.equals(run.schema(table), check_metadata=True)
        assert not without(schema, {}).equals(schema, check_metadata=True)


def test_the_policy_is_as_a_run_writes_it(run: lagbench.Run) -> None:
    state = run.policy().state_dict()
    layout = shapes.policy(run.spec)
    assert layout.keys() == state.keys()
    for name, (shape, kind) in layout.items():
        assert (shape, f"torch.{kind}") == (tuple(state[name].shape), str(state[name].dtype))


def test_the_policy_of_other_networks_is_known_too() -> None:
    layout = shapes.policy(resolve(hidden=(8, 4, 2)))
    assert [layout[f"actor.{i}.weight"][0] for i in (0, 2, 4, 6)] == [(8, 11), (4, 8), (2, 4), (3, 2)]


def test_tasks_say_what_holds_of_their_policies(run: lagbench.Run) -> None:
    assert shapes.task(run.spec) == load_task("Hopper-v5")
    assert shapes.longest_episode(run.spec) == 1000
    assert load_task("Hopper-v5").seeded_weights
    mini, published = load_task("GSM8kMini-v0", {"max_new_tokens": 50}), load_task("GSM8k-v0")
    assert (mini.longest_episode, mini.seeded_weights) == (50, False)
    assert (mini.policy_is_portable, published.policy_is_portable) == (True, False)


def test_language_has_its_own() -> None:
    spec = resolve(task="GSM8kMini-v0", algo="ppo", budget=64)
    assert isinstance(spec, RunSpec)
    assert "token" in shapes.tables(spec)["trajectories"].names
    sizes = [len(shape) for shape, _ in shapes.policy(spec).values()]
    assert len(sizes) > 10


def test_a_task_of_no_domain_says_nothing() -> None:
    task = load_task("Hopper-v5")
    bare = TaskSpec(task.task_id, task.domain, task.options)
    with pytest.raises(NotImplementedError):
        bare.network()
    with pytest.raises(NotImplementedError):
        bare.longest_episode  # noqa: B018
