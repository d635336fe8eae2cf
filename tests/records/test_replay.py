"""A replay agrees with what happened, and names the first row of what did not."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
import safetensors.torch

from lagbench import runner
from lagbench.errors import LagbenchError, RecordError
from lagbench.records import consistency, environment
from lagbench.records.checksums import sealed
from lagbench.records.reader import Run, open_run
from lagbench.records.replay import ReplayReport, replay
from lagbench.spec import EvaluationPlan
from tests.records.conftest import PHASES, make_spec
from tests.records.forge import Columns, change_policy, change_table, copied

CHECKS = [
    "content hash",
    "evaluation plan",
    "staleness draws",
    "behaviour versions",
    "episode sums",
    "evaluation episodes",
    "policy",
]


def failures(report: ReplayReport) -> dict[str, str]:
    return {check.name: check.message for check in report.checks if check.outcome == "failed"}


def test_a_finished_run(finished: Path) -> None:
    run = open_run(finished)
    told: list[tuple[int, int]] = []
    report = replay(run, training=True, progress=lambda *done: told.append(done))
    assert [(check.name, check.outcome) for check in report.checks] == [
        (n, "ok") for n in (*CHECKS, "training episodes")
    ]
    assert (report.passed, report.difference, report.notes, report.status) == (True, None, (), "completed")
    evaluations = run.evaluations.to_table().to_pylist()
    assert report.episodes == len(evaluations)
    assert report.steps == sum(e["length"] for e in evaluations)
    assert report.training_episodes == run.episodes.count_rows() > 20
    assert report.training_steps == run.trajectories.count_rows()
    final = [e["length"] for e in evaluations if e["version"] == PHASES]
    assert report.actions == sum(final) > 0
    assert report.action_difference is not None
    assert report.action_difference <= 1e-6
    assert told[-1] == (report.steps + report.training_steps,) * 2
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert json.loads(json.dumps(report.to_json()))["passed"] is True


def test_without_training_episodes_none_is_stepped(finished: Path) -> None:
    report = replay(open_run(finished), threads=2)
    assert report.passed
    assert [check.name for check in report.checks] == CHECKS
    assert (report.training_episodes, report.training_steps) == (0, 0)


def test_an_unfinished_run(unfinished: Path) -> None:
    """Two shards, one of them after a resume: the episodes open at the cut go on as if nothing had been."""
    run = open_run(unfinished)
    report = replay(run, training=True)
    assert report.passed
    assert {c.name: c.message for c in report.checks if c.outcome == "skipped"} == {
        "content hash": "an unfinished run has none; the checksums of its shards match",
        "policy": "the run is not finished and has no policy file yet",
    }
    assert report.notes == (f"it is not finished: 5 of {PHASES} phases were committed and checked",)
    assert (report.training_steps, report.training_episodes) == (
        run.trajectories.count_rows(),
        run.episodes.count_rows(),
    )


def cell(column: str, row: int, value: Any) -> Callable[[Columns], None]:
    def change(columns: Columns) -> None:
        assert columns[column][row] != value
        columns[column][row] = value

    return change


def item(column: str, row: int, *at: int, by: float) -> Callable[[Columns], None]:
    """Add to an element of a list, however deep."""

    def change(columns: Columns) -> None:
        inner = columns[column][row]
        for i in at[:-1]:
            inner = inner[i]
        inner[at[-1]] += by

    return change


def every(*changes: Callable[[Columns], None]) -> Callable[[Columns], None]:
    def change(columns: Columns) -> None:
        for one in changes:
            one(columns)

    return change


def drop(row: int) -> Callable[[Columns], None]:
    def change(columns: Columns) -> None:
        for values in columns.values():
            values.pop(row)

    return change


def repeat(row: int) -> Callable[[Columns], None]:
    def change(columns: Columns) -> None:
        for values in columns.values():
            values.insert(row, values[row])

    return change


# Rows of evaluations: of each, 0 … 4, two episodes with sampled actions and two of the mean action.
EVALUATIONS: list[tuple[str, Callable[[Columns], None], dict[str, str]]] = [
    (
        "an action of the final evaluation, a little",
        item("action", 18, 5, 2, by=0.001),
        {
            "evaluation episodes": r"evaluation 4, deterministic, episode 0, step [56]: \S+ is ",
            "policy": r"evaluation 4, deterministic, episode 0, step 5: action\[2\] is .*, by the policy file ",
        },
    ),
    (
        "a sampled action of the final evaluation, a little",
        item("action", 17, 4, 2, by=0.001),
        {
            "evaluation episodes": r"evaluation 4, sampled, episode 1, step [45]: \S+ is ",
            "policy": r"evaluation 4, sampled, episode 1, step 4: action\[2\] is .*, by the policy file ",
        },
    ),
    (
        "a reward, and the return with it",
        every(item("reward", 6, 4, by=0.25), lambda c: c["return"].__setitem__(6, sum(c["reward"][6]))),
        {"evaluation episodes": r"evaluation 1, deterministic, episode 0, step 4: reward is .*, replayed "},
    ),
    (
        "a return",
        lambda c: c["return"].__setitem__(17, c["return"][17] + 1e-12),
        {"evaluation episodes": r"evaluation 4, sampled, episode 1: return is .*, summed "},
    ),
    (
        "an observation",
        item("observation", 11, 3, 10, by=1e-12),
        {"evaluation episodes": r"evaluation 2, deterministic, episode 1, step 3: observation\[10\] is .*, replayed "},
    ),
    (
        "a flag",
        lambda c: c.update(terminated=[*c["terminated"][:10], True, *c["terminated"][11:]]),
        {"evaluation episodes": r"evaluation 2, deterministic, episode 0, step \d+: (terminated|truncated) is "},
    ),
    (
        "an end",
        every(lambda c: c["terminated"].__setitem__(10, False), lambda c: c["truncated"].__setitem__(10, False)),
        {"evaluation episodes": r"evaluation 2, deterministic, episode 0: truncated is False, specified True"},
    ),
    (
        "a seed",
        cell("seed", 14, 12345),
        {
            "evaluation plan": r"evaluations, evaluation 3, deterministic, episode 0: seed is 12345, specified \d+",
            "evaluation episodes": r"evaluation 3, deterministic, episode 0, step 0: observation\[0\] is ",
        },
    ),
    (
        "a seed that is none",
        cell("seed", 14, -1),
        {"evaluation plan": r"seed is -1, specified", "evaluation episodes": r"episode 0: seed is -1, "},
    ),
    ("a version", cell("version", 15, 0), {"evaluation plan": r"episode 1: version is 0, specified 6"}),
    (
        "a length",
        cell("length", 0, 3),
        {"evaluation episodes": r"evaluation 0, sampled, episode 0: length is 3, summed \d+"},
    ),
    (
        "an episode too few",
        drop(19),
        {"evaluation plan": r"deterministic, episode 1: row is missing, specified rec"},
    ),
    ("an episode too many", repeat(19), {"evaluation plan": r"episode 1: row is recorded, specified none"}),
]


# Of the other tables.
OTHERS: list[tuple[str, Callable[[Columns], Any], dict[str, str]]] = [
    (
        "phases",
        item("versions", 5, 3, by=-1),
        {"staleness draws": r"^phases, phase 5: versions\[3\] is \d, drawn \d$", "behaviour versions": ""},
    ),
    ("phases", cell("phase", 5, 9), {"staleness draws": r"^phases, phase "}),
    ("phases", cell("budget_used", 5, 9), {"staleness draws": r"^phases, phase "}),
    ("phases", lambda c: c["versions"][2].pop(), {"staleness draws": r"^phases, phase 2", "behaviour versions": ""}),
    ("episodes", cell("return", 4, 1.0), {"episode sums": r"^episodes, episode "}),
    ("episodes", cell("seed", 4, 1), {"episode sums": r"^episodes, episode "}),
    ("episodes", drop(-1), {"episode sums": r"^episodes, episode "}),
    ("episodes", repeat(-1), {"episode sums": r"^episodes, episode "}),
]


@pytest.mark.parametrize(
    ("table", "change", "expected"),
    [*(pytest.param("evaluations", *row[1:], id=row[0]) for row in EVALUATIONS), *OTHERS],
)
def test_what_follows_without_training_episodes(
    table: str, change: Callable[[Columns], Any], expected: dict[str, str], finished: Path, tmp_path: Path
) -> None:
    path = copied(finished, tmp_path)
    change_table(path, table, change)
    assert_named(replay(open_run(path)), expected)


def assert_named(report: ReplayReport, expected: dict[str, str]) -> None:
    found = failures(report)
    assert found.keys() == expected.keys(), found
    for name, pattern in expected.items():
        assert pc.match_substring_regex([found[name]], pattern)[0].as_py(), found[name]
    assert not report.passed
    assert report.difference is not None
    assert str(report.difference) == next(iter(found.values()))
    document = json.loads(json.dumps(report.to_json()))
    (first, *_) = [check["difference"] for check in document["checks"] if check["difference"]]
    assert first["text"] == str(report.difference)


def middle_of_an_episode(columns: Columns) -> int:
    return next(i for i in range(700, 900) if not (columns["terminated"][i] or columns["truncated"][i]))


def end_of_an_episode(columns: Columns) -> int:
    return next(i for i in range(700, 900) if columns["terminated"][i] or columns["truncated"][i])


def at(
    find: Callable[[Columns], int], column: str, edit: Callable[[Any], Any], seen: dict[str, int]
) -> Callable[[Columns], None]:
    def change(columns: Columns) -> None:
        i = find(columns)
        seen.update(episode=columns["episode_id"][i], step=columns["step"][i])
        columns[column][i] = edit(columns[column][i])

    return change


def plus(number: float) -> Callable[[Any], Any]:
    return lambda x: [x[0] + number, *x[1:]] if isinstance(x, list) else x + number


TRAINING: list[tuple[str, Callable[[Columns], int], str, Callable[[Any], Any], dict[str, str]]] = [
    (
        "an action",
        middle_of_an_episode,
        "action",
        lambda x: [-v for v in x],
        {"training episodes": r"trajectories, episode {episode}, step {step}: reward is .*, replayed "},
    ),
    (
        "a reward",
        middle_of_an_episode,
        "reward",
        plus(0.5),
        {
            "episode sums": r"episodes, episode {episode}: return is .*, summed ",
            "training episodes": r"trajectories, episode {episode}, step {step}: reward is .*, replayed ",
        },
    ),
    (
        "an observation",
        middle_of_an_episode,
        "observation",
        plus(1e-12),
        {"training episodes": r"episode {episode}, step {step}: observation\[0\] is .*, replayed "},
    ),
    (
        "a final observation",
        end_of_an_episode,
        "final_observation",
        plus(1e-12),
        {"training episodes": r"episode {episode}, step {step}: final_observation\[0\] is .*, replayed "},
    ),
    (
        "an end",
        middle_of_an_episode,
        "terminated",
        lambda _: True,
        {
            "episode sums": r"(episodes, |trajectories, episode {episode}, )",
            "training episodes": r"episode {episode}, step {step}: terminated is True, replayed False",
        },
    ),
    (
        "an episode's number",
        middle_of_an_episode,
        "episode_id",
        lambda x: x + 8,
        {"episode sums": r"trajectories, episode \d+, step \d+: step is \d+, in order 0"},
    ),
    (
        "a step",
        middle_of_an_episode,
        "step",
        lambda x: x + 1,
        {"episode sums": r"trajectories, episode {episode}, step \d+: step is \d+, in order {step}"},
    ),
    (
        "a version",
        middle_of_an_episode,
        "behaviour_version",
        lambda x: x + 1,
        {"behaviour versions": r"trajectories, episode {episode}, step {step}: behaviour_version is \d, in phases \d"},
    ),
]


@pytest.mark.parametrize(
    ("find", "column", "edit", "expected"), [r[1:] for r in TRAINING], ids=[r[0] for r in TRAINING]
)
def test_training(
    find: Callable[[Columns], int],
    column: str,
    edit: Callable[[Any], Any],
    expected: dict[str, str],
    finished: Path,
    tmp_path: Path,
) -> None:
    path = copied(finished, tmp_path)
    seen: dict[str, int] = {}
    change_table(path, "trajectories", at(find, column, edit, seen))
    assert_named(
        replay(open_run(path), training=True),
        {name: pattern.replace("{episode}", str(seen["episode"])).replace("{step}", str(seen["step"]))
         for name, pattern in expected.items()},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (drop(-1), r"trajectories, actor 7: rows is missing in the last 1 steps, specified complete"),
        (
            lambda c: c.update({k: [*v, *v[-8:]] for k, v in c.items()}),
            r"episode \d+, step \d+: actor is \d, replayed no",
        ),
    ],
)
def test_rows_too_few_and_too_many(
    change: Callable[[Columns], None], expected: str, finished: Path, tmp_path: Path
) -> None:
    path = copied(finished, tmp_path)
    change_table(path, "trajectories", change)
    found = failures(replay(open_run(path), training=True))
    assert pc.match_substring_regex([found["training episodes"]], expected)[0].as_py(), found


def test_phases_too_few_and_too_many(finished: Path, tmp_path: Path) -> None:
    for change, says in ((drop(-1), "missing, specified recorded"), (repeat(-1), "recorded, specified none")):
        path = copied(finished, tmp_path / says)
        change_table(path, "phases", change)
        assert str(consistency.wrong_draw(open_run(path))) == f"phases, phase {PHASES - 1}: row is {says}"


def test_a_plan_of_version_0_samples_in_its_last_evaluation_alone() -> None:
    """The evaluation plan of a run that was made before sampled actions were scored."""
    former = dataclasses.replace(make_spec(), evaluation=EvaluationPlan(1, 2))
    planned = consistency._planned(Run(Path("run"), former, {"status": "completed"}), PHASES)
    assert [(row["evaluation"], row["mode"]) for row in planned] == [
        (0, "mode"), (1, "mode"), (2, "mode"), (2, "stochastic"),
    ]  # fmt: skip


def test_another_policy(finished: Path, tmp_path: Path) -> None:
    path = copied(finished, tmp_path)
    weights = safetensors.torch.load_file(path / "policy.safetensors")
    weights["actor.4.bias"][1] += 0.01
    change_policy(path, safetensors.torch.save(weights))
    report = replay(open_run(path))
    pattern = r"evaluations, evaluation 4, sampled, episode 0, step 0: action\[1\] is .*, by the policy file "
    assert_named(report, {"policy": pattern})
    assert report.action_difference == pytest.approx(0.01, rel=1e-3)
    # Not even what the run says of it was changed.
    content = bytearray((finished / "policy.safetensors").read_bytes())
    content[-1] ^= 1
    (path / "policy.safetensors").write_bytes(content)
    found = failures(replay(open_run(path)))
    assert "SHA-256" in found["policy"]


def test_values_other_than_those_recorded(finished: Path, tmp_path: Path) -> None:
    """By somebody who did not know of the content hash."""
    path = copied(finished, tmp_path)
    before = (path / "result.json").read_text()
    change_table(path, "phases", cell("tv", 3, 0.5))
    (path / "result.json").write_text(before)
    (message,) = failures(replay(open_run(path))).values()
    assert message.startswith("phases: content hash is ")


def test_some_of_the_episodes(finished: Path, tmp_path: Path) -> None:
    path = copied(finished, tmp_path)
    change_table(path, "evaluations", item("reward", 7, 7, by=0.5))
    run = open_run(path)
    last = replay(run, where=pc.field("evaluation") == 4)
    assert last.passed
    assert (last.episodes, last.actions) == (4, sum(e.length for e in run.evaluation_episodes() if e.version == PHASES))
    first = replay(run, where=(pc.field("evaluation") == 1) & (pc.field("episode") == 1))
    assert (first.passed, first.episodes) == (False, 2)
    # One sampled episode alone is held to its own noise.
    alone = replay(run, where=(pc.field("mode") == "stochastic") & (pc.field("episode") == 1))
    assert (alone.passed, alone.episodes) == (True, 5)
    assert alone.actions
    none = replay(run, where=pc.field("evaluation") == 77)
    assert (none.passed, none.episodes, none.steps) == (True, 0, 0)


def test_summaries_only(tmp_path: Path) -> None:
    run = runner.execute(make_spec(record="episodes", budget=512), tmp_path / "run", threads=1)
    report = replay(run)
    assert report.passed
    assert [c.name for c in report.checks if c.outcome == "skipped"] == ["behaviour versions", "episode sums"]
    assert report.actions
    with pytest.raises(RecordError, match=r"has no training episodes to replay: it was run with --record episodes"):
        replay(run, training=True)


def test_a_run_that_diverged(tmp_path: Path) -> None:
    spec = make_spec(config={"learning_rate": 1e30}, budget=512)
    run = runner.execute(spec, tmp_path / "run", threads=1)
    assert run.status == "diverged"
    report = replay(run, training=True)
    assert report.passed, failures(report)
    (skipped,) = [c.message for c in report.checks if c.outcome == "skipped"]
    assert skipped == "the run diverged: its last policy was not evaluated"


def test_another_version_of_envpool(finished: Path, tmp_path: Path) -> None:
    path = copied(finished, tmp_path)
    (entry,) = json.loads((path / "environment.json").read_text())
    here = entry["packages"]["envpool"]
    entry["packages"]["envpool"] = "1.1.0"
    (path / "environment.json").write_text(json.dumps([sealed(entry)]))
    report = replay(open_run(path))
    assert report.passed
    assert report.notes == (
        f"it was recorded with EnvPool 1.1.0 and replayed with {here}: differences may be due to this",
    )


def test_an_actor_that_there_is_not(finished: Path, tmp_path: Path) -> None:
    path = copied(finished, tmp_path)
    change_table(path, "trajectories", cell("actor", 500, 99))
    with pytest.raises(RecordError, match=r"trajectories has rows of actor 99, and the run has 8 actors"):
        replay(open_run(path), training=True)


def test_what_cannot_be_read_is_no_finding(finished: Path, tmp_path: Path) -> None:
    path = copied(finished, tmp_path)
    (path / "evaluations" / "data.arrow").write_bytes(b"")
    with pytest.raises(LagbenchError, match=r"evaluations/data\.arrow cannot be read"):
        replay(open_run(path))


@pytest.mark.parametrize(
    ("change", "phrases"),
    [
        ({}, []),
        ({"cores": 1, "python": "CPython 3.9"}, []),
        ({"cpu": "an abacus"}, ["the CPU an abacus (here "]),
        ({"platform": "elsewhere"}, ["the platform elsewhere (here "]),
        ({"packages": {"envpool": "1.1.0"}}, ["EnvPool 1.1.0 (here "]),
        ({"packages": {}, "cpu": None}, ["EnvPool None (here ", "the CPU None (here "]),
    ],
)
def test_where_a_simulation_may_come_out_otherwise(change: dict[str, Any], phrases: list[str]) -> None:
    here = environment.here()
    found = environment.elsewhere([here, {**here, **change}])
    assert len(found) == len(phrases)
    assert all(one.startswith(phrase) for one, phrase in zip(found, phrases, strict=True))
