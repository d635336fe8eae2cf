"""What may not be mixed is refused, what is missing is said, and nothing is dropped silently."""

from __future__ import annotations

from typing import Any

import pytest

from lagbench import suites
from lagbench.errors import LagbenchError, UsageError
from lagbench.scoring import grid
from lagbench.scoring.table import canonical
from lagbench.suites import Suite
from tests.scoring.synthetic import even, lags, row, table

MINI, LITE = suites.load("mujoco-mini-v1"), suites.load("mujoco-lite-v1")
OWN_NETWORK = '{"policy": {"name": "nets.py:build", "sha256": "00"}}'


def read(*rows: dict[str, Any], **options: Any) -> grid.Grid:
    return grid.read(table(rows), **options)


def mini(**changes: Any) -> dict[str, Any]:
    """A run of mujoco-mini-v1, and so of its family."""
    given = {"suite": MINI.runs.name, "suite_sha256": MINI.runs.sha256, "budget": 1_000_000, "intervals": 10}
    return row(**{**given, "returns": tuple(map(float, range(11))), **changes})


def whole(algorithm: str = "ppo", suite: Suite = MINI, **changes: Any) -> list[dict[str, Any]]:
    cells = suite.cells()
    return [mini(algorithm=algorithm, task=c.task, lag=c.protocol.lag, seed=c.seed, **changes) for c in cells]


def test_a_suite_that_is_whole_says_nothing() -> None:
    found = read(*whole(), *whole("vaco"))
    assert found.suite == MINI.version
    assert (found.axis, found.values, found.tasks, found.seeds) == ("lag", (0, 8, 32), MINI.tasks, (0, 1, 2, 3, 4))
    assert found.fractions == tuple(i / 10 for i in range(11))
    assert found.measure == "stochastic"
    assert [entry.label for entry in found.entries] == ["ppo", "vaco"]
    assert [run.seed for run in found.entries[0].runs[8, "Hopper-v5"]] == [0, 1, 2, 3, 4]
    assert found.entries[0].runs[8, "Hopper-v5"][0].mode_returns == tuple(i / 2 for i in range(11))
    assert found.notes == ()


def test_what_is_missing_is_named() -> None:
    rows = [r for r in whole() if not (r["task"] == "Hopper-v5" and r["lag"] == 8 and r["seed"] > 0)]
    found = read(*rows)
    assert found.entries[0].missing == ("Hopper-v5 at lag 8, seeds 1, 2, 3, 4",)
    assert found.notes[0] == "ppo has 41 of 45 runs; missing: Hopper-v5 at lag 8, seeds 1, 2, 3, 4"
    assert "fewer than 3 seeds in some cells" in found.notes[1]


def test_what_one_algorithm_lacks_of_a_free_grid() -> None:
    found = read(*lags({"ppo": {0: even(1), 8: even(1)}, "vaco": {0: even(1)}}))
    assert [entry.missing for entry in found.entries] == [
        (),
        ("HalfCheetah-v5 at lag 8, seeds 0, 1, 2", "Hopper-v5 at lag 8, seeds 0, 1, 2"),
    ]


@pytest.mark.parametrize(
    ("status", "sentence"),
    [("unfinished", "1 run is unfinished, and not scored: "), ("failed", "1 run failed, and not scored: ")],
)
def test_runs_without_a_score_are_said(status: str, sentence: str) -> None:
    rows = whole()
    nothing: dict[str, Any] = {name: [] for name in ("returns", "fractions", "errors", "mode_returns", "mode_errors")}
    rows[0] = {**rows[0], **nothing, "status": status, "final": None, "area": None}
    found = read(*rows)
    assert found.notes[0] == f"{sentence}{rows[0]['path']}"
    assert found.entries[0].missing == ("Hopper-v5 at lag 0, seed 0",)


def test_nothing_finished() -> None:
    bare: dict[str, Any] = {"returns": [], "status": "unfinished"}
    with pytest.raises(
        LagbenchError,
        match=r"no run is finished \(1 failed and 1 unfinished\).*; resume one with: lagbench resume runs/",
    ):
        read(row(**bare), row(seed=1, **{**bare, "status": "failed"}))
    with pytest.raises(LagbenchError, match=r"no run is finished \(1 failed\).*; see: lagbench show runs/"):
        read(row(returns=[], status="failed"))
    with pytest.raises(UsageError, match="the table has no runs"):
        read()


def test_suites_are_not_mixed() -> None:
    with pytest.raises(UsageError, match=r"more than one suite .*\(1 of no suite, 1 of mujoco-1m-v1 \(\w{12}…\)\)"):
        read(mini(), row(seed=1))
    with pytest.raises(UsageError, match=r"2 of mujoco-1m-v1 .*1 of mujoco-1m-v1 \(ffffffffffff…\)"):
        read(mini(), mini(seed=2), mini(seed=1, suite_sha256="f" * 64))


def test_another_version_of_a_suite_is_not_this_one() -> None:
    with pytest.raises(UsageError, match=r"another version of mujoco-1m-v1 \(ffffffffffff…\) than this lagbench's"):
        read(mini(suite_sha256="f" * 64))
    with pytest.raises(UsageError, match=r"unknown suite 'mujoco-mini-v9'; did you mean 'mujoco-mini-v1'"):
        read(mini(suite="mujoco-mini-v9"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"lag": 4}, "which has no Hopper-v5, lag 4, seed 0"),
        ({"seed": 10}, "which has no Hopper-v5, lag 0, seed 10"),
        ({"task": "Humanoid-v5"}, "which has no Humanoid-v5, lag 0, seed 0"),
        ({"budget": 10}, "budget is 10, was 1000000 in the suite"),
        ({"evaluation_episodes": 1}, "evaluation.episodes is 1, was 20 in the suite"),
        ({"evaluation_mode_episodes": None, "mode_returns": [], "mode_errors": []}, "mode_episodes is missing, was 10"),
        ({"protocol": {"minibatch": 512}}, "protocol.minibatch is 512, was 256"),
        ({"task_options": '{"a":1}'}, "task_options"),
        ({"spec": OWN_NETWORK}, 'policy.name is "nets.py:build", was missing'),
    ],
)
def test_a_run_that_is_no_cell_of_its_suite(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=rf"is not a run of mujoco-(mini|lite)-v1.*{sentence}"):
        read(mini(**changes))


def test_runs_of_a_family_are_of_the_smallest_suite_that_has_them_all() -> None:
    assert read(*whole()).suite == MINI.version
    found = read(*whole(), *whole("vaco", LITE))
    assert (found.suite, found.values) == (LITE.version, LITE.values)
    assert len(found.entries[0].missing) == len(LITE.tasks) * len(LITE.values)
    # A larger suite's runs hold the smaller one's.
    found = read(*whole(), *whole("vaco", LITE), suite="mujoco-mini-v1")
    assert found.suite == MINI.version
    assert [entry.missing for entry in found.entries] == [(), ()]
    assert found.notes == ("155 runs are not in mujoco-mini-v1, and left out",)
    assert read(*whole(), suite="mujoco-lite-v1").suite == LITE.version
    with pytest.raises(UsageError, match="the runs are of mujoco-1m-v1, and none belongs to mujoco-v1"):
        read(*whole(), suite="mujoco-v1")
    with pytest.raises(UsageError, match="the runs are of no suite, and none belongs to mujoco-v1"):
        read(row(), suite="mujoco-v1")
    only = [r for r in whole("vaco", LITE) if r["lag"] == 64]
    with pytest.raises(UsageError, match="the table has no runs"):
        read(*only, suite="mujoco-mini-v1")


def test_runs_of_version_0_are_read_and_say_so() -> None:
    former = suites.load("mujoco-mini-v0")
    own: dict[str, Any] = {"suite": former.name, "suite_sha256": former.sha256, "former": True, "intervals": 5}
    own["protocol"] = {"actors": 64, "phase_steps": 32}
    rows = [
        row(task=c.task, lag=c.protocol.lag, seed=c.seed, returns=(0.0, 1, 2, 3, 4, 5), **own) for c in former.cells()
    ]
    found = read(*rows)
    assert (found.suite, found.measure, found.values) == (former.version, "mode", (0, 16))
    assert found.notes == (
        "these are scores of version 0, by deterministic actions: version 1 scores sampled actions (docs/scores.md)",
    )


def test_measures_are_not_mixed() -> None:
    with pytest.raises(UsageError, match=r"episodes is 10, was 20; evaluation\.mode_episodes is missing, was 10"):
        read(row(), row(seed=1, former=True))


def of_the_hub(seed: int, **pins: str) -> dict[str, Any]:
    """A run of gsm8k-v0, whose questions and model are outside this package."""
    suite = suites.load("gsm8k-v0")
    cell = next(cell for cell in suite.cells() if cell.seed == seed)
    return row(
        "vaco",
        cell.task,
        seed,
        [0.1 * i for i in range(suite.evaluation.intervals + 1)],
        intervals=suite.evaluation.intervals,
        protocol=cell.protocol.to_json(),
        suite=suite.name,
        suite_sha256=suite.sha256,
        budget=suite.budget,
        evaluation_episodes=suite.evaluation.episodes,
        former=True,
        task_options=canonical({**suite.task_options(cell.task), **pins}),
    )


def test_what_a_suite_leaves_open_is_the_same_in_all_runs() -> None:
    pins = {"data_sha256": "0" * 64, "model_sha256": "1" * 64}
    assert len(read(of_the_hub(0, **pins), of_the_hub(1, **pins)).entries[0].runs[0, "GSM8k-v0"]) == 2
    with pytest.raises(UsageError, match=r"different conditions cannot .*seed1 model_sha256 is .2222.*, was .1111"):
        read(of_the_hub(0, **pins), of_the_hub(1, **{**pins, "model_sha256": "2" * 64}))
    with pytest.raises(UsageError, match=r"is not a run of gsm8k-v0: task_options.more is"):
        read(of_the_hub(0, **pins, more="x"))


def test_physics_is_not_mixed() -> None:
    with pytest.raises(UsageError, match=r"EnvPool, whose physics differ, .*\(1 with 1\.2, 2 with 1\.3\)"):
        read(row(), row(seed=1, envpool=["1.3.0"]), row(seed=2, envpool=["1.3.1"]))
    assert read(row(), row(seed=1, envpool=["1.2.9"])).entries


def test_configurations_are_not_mixed() -> None:
    rows = [row(seed=seed, config={"clip": clip, "gamma": 0.99}) for seed, clip in enumerate([0.1, 0.2, 0.1])]
    with pytest.raises(UsageError, match=r"ppo was run with 2 configurations: clip is 0\.1 and 0\.2; .*: --by clip$"):
        read(*rows)
    found = read(*rows, by=("clip",))
    assert [entry.label for entry in found.entries] == ["ppo clip=0.1", "ppo clip=0.2"]
    assert [len(entry.runs[0, "Hopper-v5"]) for entry in found.entries] == [2, 1]


def test_by_sorts_values_of_every_kind() -> None:
    kinds = [None, "full", 10, 9.5, True]
    rows = [row(config={"x": x}, path=f"p{i}") for i, x in enumerate(kinds)] + [row("vaco", config={})]
    labels = [entry.label for entry in read(*rows, by=("x",)).entries]
    assert labels == ["ppo x=true", "ppo x=9.5", "ppo x=10", "ppo x=none", "ppo x=full", "vaco"]


def test_by_takes_what_there_is() -> None:
    with pytest.raises(UsageError, match="unknown hyperparameter 'clp'; did you mean 'clip'"):
        read(row(config={"clip": 1}), by=("clp",))


def test_conditions_are_not_mixed() -> None:
    with pytest.raises(UsageError, match=r"against runs/\S+seed0, in runs/\S+seed1 budget is 10, was 300000"):
        read(row(), row(seed=1, budget=10))
    with pytest.raises(UsageError, match=r"policy\.name is \"nets.py:build\", was missing"):
        read(row(), row(seed=1, spec=OWN_NETWORK))
    with pytest.raises(UsageError, match=r"protocol\.actors is 64, was 32"):
        read(row(), row(seed=1, protocol={"actors": 64, "phase_steps": 32}))
    with pytest.raises(UsageError, match=r"gravity is -1\.0, was missing"):
        read(row(), row(seed=1, task_options='{"gravity":-1.0}'))


def test_the_axis_of_a_free_grid_is_what_varies() -> None:
    assert read(row(), row(lag=8)).axis == "lag"
    assert read(row()).axis == "lag"
    reuse = read(row(updates=8), row(updates=80))
    assert (reuse.axis, reuse.values, reuse.forward) == ("updates", (8, 80), "reuse")
    split = {"forward": "split", "phase_steps": None}
    found = read(row(updates=1, protocol=split), row(updates=4, protocol=split))
    assert (found.axis, found.values, found.forward) == ("updates", (1, 4), "split")
    # On language fewer prompts have fewer actors, where they are not given; on control they are another setting.
    four = {**split, "minibatch": 32, "actors": 4}
    eight = {**four, "actors": 8}
    found = read(*(row(task="GSM8kMini-v0", updates=u, protocol=p) for u, p in ((1, four), (4, eight))))
    assert found.values == (1, 4)
    with pytest.raises(UsageError, match=r"protocol\.actors is 8, was 4"):
        read(*(row(updates=u, protocol=p) for u, p in ((1, four), (4, eight))))
    with pytest.raises(UsageError, match=r"protocol\.actors is 8, was 4"):
        read(*(row(task="GSM8kMini-v0", updates=4, seed=s, protocol=p) for s, p in enumerate((four, eight))))
    with pytest.raises(UsageError, match=r"both in lag \(0, 8\) and in updates \(8, 80\)"):
        read(row(updates=8), row(updates=80, lag=8))


def test_a_copy_counts_once_and_is_said() -> None:
    found = read(*whole(), mini(path="copy"))
    assert len(found.entries[0].runs[0, "Hopper-v5"]) == 5
    assert found.notes == ("runs/Hopper-v5/ppo/lag0-u80-seed0 is a copy of copy, and counts once",)


def test_a_run_that_was_recorded_otherwise_is_a_copy() -> None:
    """A single run keeps its evaluations' observations, a sweep's does not: the hashes differ, the results do not."""
    found = read(*whole(), {**mini(path="alone"), "content_hash": "ab" * 32})
    assert found.notes == ("runs/Hopper-v5/ppo/lag0-u80-seed0 is a copy of alone, and counts once",)


def test_two_runs_of_one_cell_are_refused() -> None:
    again = mini(path="again", returns=(*map(float, range(10)), 11.0))
    with pytest.raises(
        UsageError, match=r"seed 0 of ppo on Hopper-v5 at lag 0 was run twice, .*again.*; leave one out"
    ):
        read(mini(), again)


def test_a_second_attempt_takes_the_place_of_one_that_failed() -> None:
    found = read(row(), row(path="first", status="failed", returns=[]))
    assert found.entries[0].missing == ()
    assert found.notes[0] == "1 run failed, and not scored: first"


def test_what_changed_between_the_runs_is_said() -> None:
    found = read(
        row(), row(seed=1, algorithm_source="1" * 64, lagbench=["0.2.0"]), row(seed=2, lagbench=[], envpool=[])
    )
    assert found.notes[:3] == (
        "the source of ppo changed between its runs (2 with 000000000000…, 1 with 111111111111…)",
        "the runs were made with several versions of lagbench: 0.1.0, 0.2.0",
        "1 of the runs have no environment.json, so their versions are unknown",
    )
    assert found.entries[0].source == ("0" * 64, "1" * 64)


def test_a_run_that_diverged_is_a_result() -> None:
    found = read(row(returns=[5.0], status="diverged"), row(seed=1))
    assert [run.diverged for run in found.entries[0].runs[0, "Hopper-v5"]] == [True, False]
    assert found.entries[0].missing == ()
