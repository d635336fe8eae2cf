"""Evaluation: from the seeds, one episode an environment, each to its end, at the fractions of the budget."""

import dataclasses
import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import envpool
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
import torch
from numpy.typing import NDArray

import lagbench
from lagbench import evaluation, suites
from lagbench.actors.base import PlayedEpisode
from lagbench.actors.control import ControlActors
from lagbench.errors import RecordError, UsageError
from lagbench.policies.base import Version
from lagbench.records.reader import Run
from lagbench.records.rows import EvaluationRecord
from lagbench.seeding import Stream, evaluation_seeds, generator
from lagbench.spec import EvaluationPlan, RunSpec, SuiteVersion, resolve
from lagbench.training import train

EPISODES, OF_THE_MODE = 5, 3
SMALL: dict[str, Any] = {
    "actors": 8,
    "phase_steps": 16,
    "minibatch": 64,
    "updates": 8,
    "eval_episodes": EPISODES,
    "eval_mode_episodes": OF_THE_MODE,
}


pytestmark = pytest.mark.usefixtures("small_warm_up")


MINI, LITE = SuiteVersion("mini", "0" * 64), SuiteVersion("lite", "0" * 64)


def spec(phases: int, **options: Any) -> RunSpec:
    return resolve(**{**SMALL, "budget": phases * 128, "seed": 2, **options})


@dataclass
class Evaluated:
    spec: RunSpec
    versions: dict[int, Version]
    records: list[EvaluationRecord]
    phases: list[int]
    """The phase whose result held each record."""


@pytest.fixture(scope="module", params=["Reacher-v5", "InvertedDoublePendulum-v4"])
def evaluated(request: pytest.FixtureRequest) -> Evaluated:
    # Fourteen phases to ten fractions: some phases have none due, and none has two.
    run = spec(14, task=request.param, lag=2, config={"learning_rate": 3e-3})
    kept = Evaluated(run, {}, [], [])
    for k, result in enumerate(train(run, threads=1)):
        if k == 0:
            kept.versions[0] = Version(0, result.state()["versions"][0])
        kept.versions[k + 1] = result.policy.version(k + 1)
        kept.records += result.record.evaluations
        kept.phases += [k] * len(result.record.evaluations)
    return kept


def bare(run: RunSpec, seed: int) -> Any:
    return envpool.make_gymnasium(run.task, num_envs=1, seed=[seed], **run.task_options)


def test_evaluations_come_at_the_first_phase_that_reaches_each_fraction(evaluated: Evaluated) -> None:
    # Sampled actions are what is scored, and beside each evaluation stands one of the mean action.
    assert [r.mode for r in evaluated.records] == ["stochastic", "mode"] * 11
    for own in (evaluated.records[::2], evaluated.records[1::2]):
        assert [r.index for r in own] == list(range(11))
        assert [f for r in own for f in r.fractions] == [i / 10 for i in range(11)]
        assert [r.version for r in own] == [math.ceil(14 * i / 10) for i in range(11)]
    for record, phase in zip(evaluated.records, evaluated.phases, strict=True):
        # Version k is there when k phases are done; version 0's comes with the first.
        assert phase == max(0, record.version - 1)
        assert record.budget_used == 128 * record.version
    assert evaluated.records[-1].version == 14  # the last is of the policy after the last phase


def test_each_environment_plays_the_episode_of_its_seed(evaluated: Evaluated) -> None:
    drawn = set()
    for record in evaluated.records:
        wanted = seeds(evaluated.spec, record.index)
        # The mean action begins as the first of the sampled ones do.
        assert [e.seed for e in record.episodes] == wanted[: planned(record)]
        drawn |= set(wanted)
    assert len(drawn) == 11 * EPISODES  # no evaluation plays an earlier one's episodes


def planned(record: EvaluationRecord) -> int:
    return EPISODES if record.mode == "stochastic" else OF_THE_MODE


def assert_played_from_its_seed_to_its_end(run: RunSpec, episode: PlayedEpisode) -> None:
    """A hand loop over one environment, with the recorded actions, earns the same bits and ends at the last of them."""
    pool = bare(run, episode.seed)
    space = pool.action_space
    actions = np.clip(episode.action, space.low.astype(np.float32), space.high.astype(np.float32)).astype(np.float64)
    observation, total = pool.reset()[0], 0.0
    for t, action in enumerate(actions):
        assert episode.observation[t].tobytes() == np.asarray(observation[0], np.float64).tobytes()
        observation, reward, terminated, truncated, _ = pool.step(action[None])
        assert reward[0] == episode.reward[t]
        total += float(reward[0])
        assert bool(terminated[0] or truncated[0]) == (t == episode.length - 1)
    assert (episode.terminated, episode.truncated) == (terminated[0], truncated[0])
    assert episode.terminated != episode.truncated
    assert episode.length == pool.spec.config.max_episode_steps or episode.terminated
    assert episode.episode_return == total


def test_a_hand_loop_over_one_environment_earns_the_same(evaluated: Evaluated) -> None:
    for record in evaluated.records:
        for episode in record.episodes:
            assert_played_from_its_seed_to_its_end(evaluated.spec, episode)


def test_one_episode_a_seed_whatever_the_others_take() -> None:
    # While the longest is played the shortest begins again several times: none of that counts, and none is left out.
    run = spec(1, task="InvertedPendulum-v5")
    actors = ControlActors(run, threads=1)
    episodes = actors.play(actors.make_policy().version(0), list(range(20)), stochastic=True)
    assert [e.seed for e in episodes] == list(range(20))
    lengths = [e.length for e in episodes]
    assert max(lengths) > 4 * min(lengths)
    for episode in episodes:
        assert_played_from_its_seed_to_its_end(run, episode)


def mean_action(version: Version, observation: NDArray[Any]) -> NDArray[Any]:
    state = {k: x.double().numpy() for k, x in version.state.items()}
    x = np.clip((observation - state["normalizer.mean"]) / np.sqrt(state["normalizer.variance"] + 1e-8), -10, 10)
    for layer in (0, 2):
        x = np.tanh(x @ state[f"actor.{layer}.weight"].T + state[f"actor.{layer}.bias"])
    action: NDArray[Any] = x @ state["actor.4.weight"].T + state["actor.4.bias"]
    return action


def test_the_actions_are_those_of_the_version_that_is_evaluated(evaluated: Evaluated) -> None:
    for record in evaluated.records:
        version = evaluated.versions[record.version]
        longest = max(e.length for e in record.episodes)
        noise = np.zeros((longest, planned(record), record.episodes[0].action.shape[1]))
        if record.mode == "stochastic":
            rng = generator(evaluated.spec.seed, Stream.EVALUATION_ACTION, record.version)
            noise = rng.standard_normal(noise.shape, dtype=np.float32) * np.exp(version.state["log_std"].numpy())
        for j, episode in enumerate(record.episodes):
            expected = mean_action(version, episode.observation) + noise[: episode.length, j]
            assert episode.action.dtype == np.float32
            np.testing.assert_allclose(episode.action, expected, atol=2e-5, rtol=1e-5)
    # Versions differ by more than that: it is this one, and not its neighbour.
    last = evaluated.records[-1].episodes[0]
    assert np.abs(mean_action(evaluated.versions[13], last.observation) - last.action).max() > 1e-3


def test_long_and_short_episodes_count_alike(evaluated: Evaluated) -> None:
    for record in evaluated.records:
        assert len(record.episodes) == planned(record)
        returns = [float(np.add.accumulate(e.reward, dtype=np.float64)[-1]) for e in record.episodes]
        assert [e.episode_return for e in record.episodes] == returns
        assert record.mean_return == np.mean(returns)
        assert record.standard_error == np.std(returns, ddof=1) / math.sqrt(planned(record))
        for e in record.episodes:
            assert len(e.observation) == len(e.action) == len(e.reward) == e.length
    lengths = [[e.length for e in r.episodes] for r in evaluated.records]
    if evaluated.spec.task == "Reacher-v5":
        assert all(set(row) == {50} for row in lengths)
    else:
        assert any(len(set(row)) > 1 for row in lengths)


def same(a: list[PlayedEpisode], b: list[PlayedEpisode]) -> bool:
    return all(
        x.action.tobytes() == y.action.tobytes() and x.reward.tobytes() == y.reward.tobytes()
        for x, y in zip(a, b, strict=True)
    )


def test_playing_again_plays_the_same_and_leaves_the_actors_as_they_were() -> None:
    run = spec(1, task="InvertedPendulum-v5")
    actors, undisturbed = ControlActors(run, threads=1), ControlActors(run, threads=2)
    version = actors.make_policy().version(0)
    undisturbed.make_policy()
    first = actors.play(version, [1, 2, 3])
    assert same(first, actors.play(version, [1, 2, 3]))
    assert same(first, undisturbed.play(version, [1, 2, 3]))
    sampled = actors.play(version, [1, 2, 3], stochastic=True)
    assert same(sampled, actors.play(version, [1, 2, 3], stochastic=True))
    assert not same(first, sampled)
    assert not same(sampled, actors.play(Version(1, version.state), [1, 2, 3], stochastic=True))
    a, b = (x.collect([version] * 8, 0).rollout for x in (actors, undisturbed))
    for name in ("observation", "action", "reward", "behaviour_log_prob"):
        assert torch.equal(getattr(a, name), getattr(b, name))


def seeds(run: RunSpec, index: int) -> list[int]:
    return evaluation_seeds(run.seed, run.suite_name, index, run.evaluation.episodes)


def test_the_seeds_are_fixed_by_suite_seed_evaluation_and_episode() -> None:
    base = seeds(spec(3), 0)
    # Every algorithm and lag: the same starts.
    assert base == seeds(spec(3, lag=8, algo="vaco", budget=10**6, task="Ant-v5"), 0)
    assert base == seeds(spec(3, eval_episodes=9), 0)[:EPISODES]  # episode j's does not depend on how many there are
    others = [
        seeds(spec(3), 1),
        seeds(spec(3, seed=3), 0),
        seeds(spec(3, suite=MINI), 0),
        seeds(spec(3, suite=LITE), 0),
    ]
    drawn = [s for row in (base, *others) for s in row]
    assert len(set(drawn)) == len(drawn)
    # Written out, for whoever plays them without us.
    suite = int.from_bytes(hashlib.sha256(b"mini").digest()[:4], "big")
    words = np.random.SeedSequence(2, spawn_key=(7, suite, 4)).generate_state(EPISODES, np.uint32)
    assert seeds(spec(3, suite=MINI), 4) == (words >> 1).tolist()


def test_suites_of_a_family_play_the_same_episodes() -> None:
    cell: dict[str, Any] = {"task": "Hopper-v5", "lag": 8, "seed": 4}
    mini, lite = (suites.resolve(suite=name, **cell) for name in ("mujoco-mini-v1", "mujoco-lite-v1"))
    assert seeds(mini, 3) == seeds(lite, 3)
    assert seeds(mini, 3) != seeds(suites.resolve(suite="mujoco-reuse-mini-v1", task="Hopper-v5", updates=8), 3)


ROWS = [
    ([0.0], 0, "stochastic", 1000.0),  # the best is not the last
    ([0.5], 1, "stochastic", 1.0),
    ([0.75, 1.0], 2, "stochastic", 2.0),
    ([0.75, 1.0], 2, "stochastic", 6.0),
    ([0.75, 1.0], 2, "mode", 3.0),
]


def run_with(rows: list[tuple[list[float], int, str, float]], **plan: Any) -> Run:
    """A run with these rows of evaluations: fractions, which evaluation, mode, return."""
    fractions, index, mode, value = (list(column) for column in zip(*rows, strict=True))
    used = [0] * len(rows)
    table = pa.table({"fractions": fractions, "evaluation": index, "mode": mode, "return": value, "budget_used": used})
    found = Run(Path("run"), dataclasses.replace(spec(3), evaluation=EvaluationPlan(2, 4, **plan)), None)
    found.evaluations = ds.dataset(table)
    return found


def test_the_summary_is_of_the_last_evaluation_and_the_whole_curve() -> None:
    assert evaluation.summarize(run_with(ROWS, mode_episodes=1)) == {
        "final": {
            # 2 and 6: a standard deviation of √8, over √2.
            "stochastic": {"mean": 4.0, "standard_error": pytest.approx(2.0, rel=1e-15), "episodes": 2},
            "mode": {"mean": 3.0, "standard_error": None, "episodes": 1},
        },
        "area_under_curve": 0.5 * 1001 / 2 + 0.25 * 5 / 2 + 0.25 * 4,
    }


def test_the_summary_of_a_plan_of_version_0_is_of_the_mode_with_its_deviation() -> None:
    other = {"mode": "stochastic", "stochastic": "mode"}
    assert evaluation.summarize(run_with([(f, i, other[mode], x) for f, i, mode, x in ROWS])) == {
        "final": {
            "mode": {"mean": 4.0, "std": pytest.approx(2.0, rel=1e-15), "episodes": 2},
            "stochastic": {"mean": 3.0, "std": 0.0, "episodes": 1},
        },
        "area_under_curve": 0.5 * 1001 / 2 + 0.25 * 5 / 2 + 0.25 * 4,
    }


def test_a_run_that_did_not_reach_its_end_has_no_summary() -> None:
    assert evaluation.summarize(run_with(ROWS[:2], mode_episodes=1)) == {}


def test_a_finished_run_is_played_again(tmp_path: Path) -> None:
    """From the seeds of its final evaluation it plays that; from others, episodes that a replay would give."""
    run = lagbench.run(spec=spec(3), out=tmp_path / "run")
    final = {m: [e for e in run.evaluation_episodes() if (e.version, e.mode) == (3, m)] for m in ("stochastic", "mode")}
    again: Any = lagbench.evaluate(run, [e.seed for e in final["stochastic"]], threads=1)
    mean: Any = lagbench.evaluate(run, [e.seed for e in final["mode"]], mode="mode")
    for own, episode in zip([*again, *mean], [*final["stochastic"], *final["mode"]], strict=True):
        assert (own.seed, own.length, own.episode_return) == (episode.seed, episode.length, episode.episode_return)
        assert (own.terminated, own.truncated) == (episode.terminated, episode.truncated)
        assert own.action.tobytes() == episode.action.tobytes()
    fresh = [e.seed + 1 for e in final["stochastic"]]
    others: Any = lagbench.evaluate(run, fresh)
    assert [own.seed for own in others] == fresh
    assert all((a.action[0] != b.action[0]).any() for a, b in zip(others, again, strict=True))
    assert [o.episode_return for o in lagbench.evaluate(run, fresh, threads=3)] == [o.episode_return for o in others]


def test_what_cannot_be_played(tmp_path: Path) -> None:
    run = lagbench.run(spec=spec(1, config={"learning_rate": 1e30}), out=tmp_path / "run")
    with pytest.raises(UsageError, match="evaluation needs at least one seed"):
        lagbench.evaluate(run, [])
    with pytest.raises(UsageError, match=r"must be in \[0, 2\*\*31\), not -1"):
        lagbench.evaluate(run, [-1])
    (tmp_path / "run" / "policy.safetensors").unlink()
    with pytest.raises(RecordError, match=r"policy\.safetensors cannot be read"):
        lagbench.evaluate(run, [0])
