"""``lagbench list``: what there is, for people and for programs."""

import pytest

from lagbench import registry
from tests.cli.run_here import lagbench


def test_tasks() -> None:
    done = lagbench("list", "tasks")
    assert (done.code, done.err) == (0, "")
    assert [line.split() for line in done.out.splitlines()] == [
        [t, registry.task_entry(t).domain, registry.task_entry(t).entry] for t in registry.task_ids()
    ]
    assert {"control", "language"} == {line.split()[1] for line in done.out.splitlines()}
    first = {"task": registry.task_ids()[0], "domain": "control", "source": "lagbench.tasks.mujoco:task"}
    assert lagbench("list", "tasks", "--json").json[0] == first


def test_algorithms() -> None:
    done = lagbench("list", "algorithms")
    lines = [line.split() for line in done.out.splitlines()]
    assert [(line[0], line[-1]) for line in lines] == list(registry.algorithms().items())
    rows = lagbench("list", "algorithms", "--json").json
    assert {"algorithm": "vaco", "domains": "control language", "source": "lagbench.baselines.vaco:VACO"} in rows
    assert {"algorithm": "gspo", "domains": "language", "source": "lagbench.baselines.gspo:GSPO"} in rows


def test_suites() -> None:
    done, rows = lagbench("list", "suites"), lagbench("list", "suites", "--json").json
    assert done.code == 0
    assert [tuple(line.split(maxsplit=1)) for line in done.out.splitlines()] == [tuple(row.values()) for row in rows]
    assert {"TESTING", "mujoco-mini-v1", "mujoco-reuse-mini-v1"} <= {row["suite"] for row in rows}
    assert not any(row["suite"].startswith("mujoco-mini-v0") for row in rows)


def test_columns_are_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "algorithms", lambda: {"a": "x:Y", "longer": "z:W"})
    monkeypatch.setattr(registry, "only_for", lambda target: ("language",) if target == "x:Y" else ())
    out = "a       language          x:Y\nlonger  control language  z:W\n"
    assert lagbench("list", "algorithms").out == out
