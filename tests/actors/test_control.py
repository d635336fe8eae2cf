"""Collection on EnvPool, row by row against a hand loop over a bare pool."""

import copy
import io
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import envpool
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lagbench.actors import control
from lagbench.actors.base import Collection
from lagbench.actors.control import ControlActors
from lagbench.errors import RecordError
from lagbench.policies.base import Version
from lagbench.policies.control import ControlPolicy
from lagbench.seeding import Stream, environment_seeds, generator, torch_generator
from lagbench.spec import RunSpec, resolve

N, T, PHASES = 6, 16, 7
LIMIT = 20


@pytest.fixture(scope="module", autouse=True)
def _simulated_warm_up() -> Iterator[None]:
    """Every one of them, in place of what the other tests remember."""
    remembering: Any = control.warm_up
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(control, "warm_up", remembering.__wrapped__)
        yield


def spec(**options: Any) -> RunSpec:
    sizes = {"actors": N, "phase_steps": T, "minibatch": N * T, "budget": N * T * PHASES, "seed": 3}
    return resolve(**{"task": "Hopper-v5", "task_options": {"max_episode_steps": LIMIT}, **sizes, **options})


def different_versions(first: ControlPolicy, spread: float = 0.1) -> list[Version]:
    """N versions that act differently, with normalizers of their own."""
    made = []
    for k in range(N):
        policy = copy.deepcopy(first)
        with torch.no_grad():
            for p in policy.parameters():
                p.add_(spread * torch.randn(p.shape, generator=torch.Generator().manual_seed(k)))
        policy.normalizer.mean.add_(0.1 * k)
        made.append(policy.version(k))
    return made


def bare_pool(run: RunSpec, stream: Stream, n: int = N) -> Any:
    seeds = environment_seeds(run.seed, stream, n).tolist()
    return envpool.make_gymnasium(run.task, num_envs=n, seed=seeds, **run.task_options)


def stepped(pool: Any, action: NDArray[np.float32]) -> Any:
    space = pool.action_space
    clipped = np.clip(action, space.low.astype(np.float32), space.high.astype(np.float32))
    return pool.step(clipped.astype(np.float64))[:4]


@dataclass
class Collected:
    spec: RunSpec
    versions: list[Version]
    phases: list[Collection]
    factors: list[float]
    """The reward scale in each phase."""


@pytest.fixture(scope="module", params=["Hopper-v5", "HalfCheetah-v4"])
def collected(request: pytest.FixtureRequest) -> Collected:
    run = spec(task=request.param)
    actors = ControlActors(run, threads=1)
    versions = different_versions(actors.make_policy())
    phases, factors = [], []
    for phase in range(PHASES):
        # Not in order of their numbers, and each version at another actor in every phase.
        phases.append(actors.collect([versions[(2 * phase + 5 * i) % N] for i in range(N)], phase))
        factors.append(actors.diagnostics()["reward_scale"])
    return Collected(run, versions, phases, factors)


def test_every_row_is_what_a_bare_pool_answers_to_the_recorded_actions(collected: Collected) -> None:
    pool = bare_pool(collected.spec, Stream.ENVIRONMENT)
    observation = pool.reset()[0]
    ended = np.zeros(N, bool)
    resets = 0
    for phase, collection in enumerate(collected.phases):
        rollout, columns = collection.rollout, collection.transitions.columns
        row = 0
        finals = list(collection.transitions.final_observation)
        ends = collection.transitions.ends.tolist()
        for t in range(T):
            # What a reset row's action is does not matter: it is discarded.
            action = rollout.action[t].numpy()
            assert rollout.observation[t].numpy().tobytes() == np.asarray(observation, np.float64).tobytes()
            assert rollout.valid[t].tolist() == (~ended).tolist()
            following, reward, terminated, truncated = stepped(pool, action)
            assert (rollout.terminated[t].numpy() == (terminated & ~ended)).all()
            assert (rollout.truncated[t].numpy() == (truncated & ~ended)).all()
            resets += int(ended.sum())
            for i in np.flatnonzero(~ended):
                assert columns["actor"][row] == i
                assert columns["phase"][row] == columns["learner_version"][row] == phase
                assert columns["observation"][row].tobytes() == np.asarray(observation[i], np.float64).tobytes()
                assert columns["action"][row].tobytes() == action[i].tobytes()
                assert columns["reward"][row] == reward[i]
                assert (columns["terminated"][row], columns["truncated"][row]) == (terminated[i], truncated[i])
                if terminated[i] or truncated[i]:
                    assert ends.pop(0) == row
                    assert finals.pop(0).tobytes() == np.asarray(following[i], np.float64).tobytes()
                row += 1
            ended, observation = terminated | truncated, following
        assert rollout.observation[T].numpy().tobytes() == np.asarray(observation, np.float64).tobytes()
        assert not ends
        assert not finals
        assert {len(c) for c in columns.values()} == {row}
    assert resets > N  # the rows above that were left out


def test_episodes_are_the_rows_that_make_them_up(collected: Collected) -> None:
    rows: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    found: list[Any] = []
    for collection in collected.phases:
        columns = collection.transitions.columns
        names = ("step", "reward", "terminated", "truncated", "actor", "phase")
        for episode_id, *row in zip(columns["episode_id"], *(columns[n] for n in names), strict=True):
            rows[int(episode_id)].append(tuple(x.item() for x in row))
        found += collection.episodes
    seeds = environment_seeds(collected.spec.seed, Stream.ENVIRONMENT, N)
    ended = {e.episode_id: e for e in found}
    assert len(ended) == len(found) >= N
    assert ended.keys() == {i for i, r in rows.items() if r[-1][2] or r[-1][3]}
    for episode_id, episode in ended.items():
        own = rows[episode_id]
        assert [r[0] for r in own] == list(range(episode.length))
        total = 0.0
        for r in own:
            total += r[1]
        assert episode.episode_return == total
        assert not any(r[2] or r[3] for r in own[:-1])
        assert (episode.terminated, episode.truncated) == own[-1][2:4]
        assert {r[4] for r in own} == {episode.actor}
        assert own[-1][5] == episode.phase
        assert (episode_id, episode.seed) == (episode.actor + N * episode.reset, seeds[episode.actor])
        assert episode.length == LIMIT or episode.terminated
    # An actor's resets count up from 0, and only the last may be open.
    for actor in range(N):
        own_ids = sorted(i for i in rows if i % N == actor)
        assert own_ids == [actor + N * k for k in range(len(own_ids))]
        assert all(i in ended for i in own_ids[:-1])


def test_each_actor_acts_with_its_own_version(collected: Collected) -> None:
    for phase, collection in enumerate(collected.phases):
        noise = generator(collected.spec.seed, Stream.ACTION, phase).standard_normal(
            tuple(collection.rollout.action.shape), dtype=np.float32
        )
        for i in range(N):
            k = (2 * phase + 5 * i) % N
            state = {name: x.double().numpy() for name, x in collected.versions[k].state.items()}
            keep = collection.rollout.valid[:, i].numpy()
            assert (collection.rollout.behaviour_version[:, i] == k).all()
            x = collection.rollout.observation[:-1, i].numpy()[keep]
            x = np.clip((x - state["normalizer.mean"]) / np.sqrt(state["normalizer.variance"] + 1e-8), -10, 10)
            for layer in (0, 2, 4):
                x = x @ state[f"actor.{layer}.weight"].T + state[f"actor.{layer}.bias"]
                x = np.tanh(x) if layer < 4 else x
            std = np.exp(state["log_std"])
            action = collection.rollout.action[:, i].numpy()[keep]
            np.testing.assert_allclose(action, x + std * noise[:, i][keep], atol=1e-5)
            log_prob = -(((action - x) / std) ** 2 / 2 + state["log_std"] + np.log(2 * np.pi) / 2).sum(-1)
            recorded = collection.rollout.behaviour_log_prob[:, i].numpy()[keep]
            np.testing.assert_allclose(recorded, log_prob, atol=1e-4)
            rows = collection.transitions.columns["actor"] == i
            assert collection.transitions.columns["behaviour_log_prob"][rows].tolist() == recorded.tolist()
            assert (collection.transitions.columns["behaviour_version"][rows] == k).all()


def test_actions_are_recorded_as_they_were_drawn_and_not_as_they_were_clipped(collected: Collected) -> None:
    actions = np.concatenate([c.transitions.columns["action"] for c in collected.phases])
    assert actions.dtype == np.float32
    assert (np.abs(actions) > 1).mean() > 0.1


def test_rewards_are_scaled_by_one_factor_a_phase_and_recorded_raw(collected: Collected) -> None:
    for collection, factor in zip(collected.phases, collected.factors, strict=True):
        scaled = collection.rollout.reward[collection.rollout.valid].numpy()
        raw = collection.transitions.columns["reward"]
        assert scaled.tolist() == np.clip(raw * np.float32(factor), -10, 10).tolist()
    assert len(set(collected.factors)) == PHASES


def test_the_factor_is_of_the_warm_up_and_of_all_phases_before(collected: Collected) -> None:
    _, returns = warm_up(collected.spec)
    running = np.zeros(N)
    pool = bare_pool(collected.spec, Stream.ENVIRONMENT)
    pool.reset()
    for collection, factor in zip(collected.phases, collected.factors, strict=True):
        assert factor == pytest.approx(1 / np.sqrt(np.var(returns) + 1e-8), rel=1e-10)
        for action, valid in zip(collection.rollout.action.numpy(), collection.rollout.valid.numpy(), strict=True):
            _, reward, *_ = stepped(pool, action)
            running = np.where(valid, 0.99 * running + reward, 0.0)
            returns += running[valid].tolist()


def test_rows_that_are_no_transitions_hold_nothing(collected: Collected) -> None:
    rollouts = [c.rollout for c in collected.phases]
    assert any(not r.valid.all() for r in rollouts)
    for r in rollouts:
        for x in (r.action, r.behaviour_log_prob, r.reward, r.terminated, r.truncated):
            assert not x[~r.valid].any()


def warm_up(run: RunSpec) -> tuple[NDArray[np.float64], list[float]]:
    """Valid observations and discounted returns of the uniform random rollout, one row at a time."""
    n = 64
    pool = bare_pool(run, Stream.WARMUP_ENVIRONMENT, n)
    space = pool.action_space
    rng = generator(run.seed, Stream.WARMUP_ACTION)
    observation, ended = pool.reset()[0], np.zeros(n, bool)
    rows, returns, running = [], [], np.zeros(n)
    for _ in range(32):
        low, high = space.low.astype(np.float32), space.high.astype(np.float32)
        action = rng.uniform(low, high, (n, *space.shape)).astype(np.float32)
        rows += list(observation[~ended])
        observation, reward, terminated, truncated = stepped(pool, action)
        running = np.where(ended, 0.0, 0.99 * running + reward)
        returns += running[~ended].tolist()
        ended = terminated | truncated
        running[ended] = 0.0
    return np.array(rows, np.float64), returns


def test_version_0_is_the_seeds_weights_with_the_statistics_of_a_random_rollout() -> None:
    run = spec()
    actors = ControlActors(run, threads=1)
    policy = actors.make_policy()
    rows, _ = warm_up(run)
    assert len(rows) < 64 * 32  # reset rows were there, and are left out
    assert float(policy.normalizer.count) == len(rows)
    np.testing.assert_allclose(policy.normalizer.mean, rows.mean(0), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(policy.normalizer.variance, rows.var(0), rtol=1e-10, atol=1e-12)
    weights = run.network(torch_generator(run.seed, Stream.WEIGHTS))
    for name, p in weights.named_parameters():
        assert torch.equal(p, policy.get_parameter(name))


def test_version_0_depends_on_task_and_seed_and_not_on_the_protocol() -> None:
    first = ControlActors(spec(), threads=1).make_policy().state_dict()
    other = ControlActors(spec(actors=3, phase_steps=5, minibatch=15, lag=2), threads=2).make_policy().state_dict()
    assert all(torch.equal(first[k], other[k]) for k in first)
    other = ControlActors(spec(seed=4), threads=1).make_policy().state_dict()
    assert not torch.equal(first["normalizer.mean"], other["normalizer.mean"])


def test_the_warm_up_is_no_part_of_the_run() -> None:
    # The same actor steps follow, whether or not anybody asked for a policy first.
    with_warm_up, without = ControlActors(spec(), threads=1), ControlActors(spec(), threads=1)
    version = with_warm_up.make_policy().version(0)
    a, b = (actors.collect([version] * N, 0) for actors in (with_warm_up, without))
    for name in ("observation", "action", "reward"):
        assert a.transitions.columns[name].tobytes() == b.transitions.columns[name].tobytes()


def test_what_an_algorithm_does_to_a_rollout_reaches_no_later_phase() -> None:
    left, alone = ControlActors(spec(), threads=1), ControlActors(spec(), threads=1)
    version = left.make_policy().version(0)
    alone.make_policy()
    for phase in range(3):
        a, b = left.collect([version] * N, phase), alone.collect([version] * N, phase)
        same(a, b)
        for x in (a.rollout.observation, a.rollout.action, a.rollout.reward, a.rollout.behaviour_log_prob):
            x.fill_(7.0)
        a.rollout.valid.fill_(False)
    assert left.diagnostics() == alone.diagnostics()


def same(a: Collection, b: Collection) -> None:
    assert a.transitions.columns.keys() == b.transitions.columns.keys()
    for name, column in a.transitions.columns.items():
        assert column.tobytes() == b.transitions.columns[name].tobytes(), name
    assert a.transitions.final_observation.tobytes() == b.transitions.final_observation.tobytes()
    assert list(a.episodes) == list(b.episodes)
    for name in ("observation", "action", "reward", "valid", "terminated", "truncated", "behaviour_log_prob"):
        assert torch.equal(getattr(a.rollout, name), getattr(b.rollout, name)), name


@pytest.mark.parametrize("steps", [16, 7, 2])
def test_fresh_actors_go_on_from_a_saved_state_bit_for_bit(steps: int) -> None:
    phases = 80 // steps
    run = spec(phase_steps=steps, minibatch=N * steps, budget=N * steps * phases)
    straight = ControlActors(run, threads=1)
    versions = different_versions(straight.make_policy())
    others: list[ControlActors] = []
    for phase in range(phases):
        expected = straight.collect(versions, phase)
        for actors in others:
            same(expected, actors.collect(versions, phase))
            assert actors.diagnostics() == straight.diagnostics()
        if phase % max(1, phases // 5) == 0:
            file = io.BytesIO()
            torch.save(straight.state(), file)
            file.seek(0)
            others.append(ControlActors(run, threads=2))
            others[-1].restore(torch.load(file, weights_only=True))
    assert len(others) >= 4


def test_no_more_actions_are_kept_than_the_longest_open_episode_needs() -> None:
    actors = ControlActors(spec(task="HalfCheetah-v5"), threads=1)
    versions = [actors.make_policy().version(0)] * N
    kept = []
    for phase in range(8):
        actors.collect(versions, phase)
        kept.append(len(actors.state()["history"]))
    # Episodes of 20 steps in phases of 16: never more than three phases, however long the run.
    assert max(kept) <= 3 * T


def test_a_task_whose_episodes_do_not_follow_from_seeds_and_actions_begins_them_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Of EnvPool's continuous tasks, LunarLander is one: it draws from a generator that no reset begins anew.
    plan = spec(task="LunarLanderContinuous-v3", task_options={})
    assert not plan.repeats
    assert spec().repeats
    actors, others = ControlActors(plan), ControlActors(plan)
    versions = [actors.make_policy().version(0)] * N
    for phase in range(PHASES):
        actors.collect(versions, phase)
    others.make_policy()
    state = actors.state()
    others.restore(state)
    before, after = actors.state(), others.state()
    later = others.collect(versions, PHASES)
    assert (after["resets"] - before["resets"]).tolist() == [1] * N
    assert not after["step"].any()
    assert later.rollout.valid[0].all()
    # Where that was not found out beforehand, it is found when it is resumed.
    monkeypatch.setattr(RunSpec, "repeats", True)
    with pytest.raises(RecordError, match="LunarLanderContinuous-v3 cannot be resumed: of 6 environments, "):
        others.restore(state)
