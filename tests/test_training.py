"""The loop on real simulators: the promise of the records, determinism, exact resume, and what ends a run."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lagbench import training
from lagbench.baselines.ppo import PPO
from lagbench.errors import AlgorithmError, MismatchError, UpdateLimitError
from lagbench.lag.policy_buffer import PolicyBuffer
from lagbench.lag.staleness import draw
from lagbench.policies.base import Version
from lagbench.spec import RunSpec, resolve
from lagbench.training import PhaseResult, train

ENDING = {"Ant", "Hopper", "Humanoid", "InvertedDoublePendulum", "InvertedPendulum", "Walker2d"}
LIMIT = 20


pytestmark = pytest.mark.usefixtures("small_warm_up")


def spec(phases: int = 4, **options: Any) -> RunSpec:
    """A run so small that episodes begin and end in most phases; evaluated at its two ends."""
    sizes: dict[str, Any] = {"actors": 8, "phase_steps": 16, "minibatch": 32, "updates": 8, "eval_episodes": 2}
    options = {**sizes, "eval_intervals": 1, "task_options": {"max_episode_steps": LIMIT}, **options}
    if "budget" not in options:
        options["budget"] = phases * options["actors"] * options["phase_steps"]
    return resolve(**options)


def content(result: PhaseResult) -> dict[str, Any]:
    """All that a phase's rows and weights hold, as values that are equal only if every bit is."""
    record = result.record
    bits: dict[str, Any] = {
        "phase": (record.phase, record.budget_used, record.updates_made, record.versions.tolist()),
        "ends": record.transitions.ends.tolist(),
        "final_observation": record.transitions.final_observation.tobytes(),
        "episodes": tuple(record.episodes),
        "diverged": result.diverged,
        "last": result.last,
    }
    bits |= {f"column {k}": (x.dtype.str, x.shape, x.tobytes()) for k, x in record.transitions.columns.items()}
    bits |= {f"diagnostic {k}": repr(x) for k, x in record.diagnostics.items()}
    bits |= {f"metric {k}": repr(x) for k, x in record.metrics.items()}
    for e in record.evaluations:
        bits[f"evaluation {e.index} {e.mode}"] = (e.fractions, e.version, e.budget_used)
        for j, p in enumerate(e.episodes):
            arrays = (p.action.tobytes(), p.reward.tobytes(), p.observation.tobytes())
            bits[f"evaluation {e.index} {e.mode} {j}"] = (p.seed, p.terminated, p.truncated, *arrays)
    bits |= {f"weight {k}": x.numpy().tobytes() for k, x in result.policy.state_dict().items()}
    return bits


def run(a: RunSpec, **arguments: Any) -> list[dict[str, Any]]:
    return [content(result) for result in train(a, **arguments)]


def assert_equal(left: list[dict[str, Any]], right: list[dict[str, Any]]) -> None:
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert a.keys() == b.keys()
        assert [k for k in a if a[k] != b[k]] == []


def saved(result: PhaseResult) -> bytes:
    """The state that resumes after a phase, as a checkpoint holds it."""
    file = io.BytesIO()
    torch.save(result.state(), file)
    return file.getvalue()


def loaded(data: bytes) -> Any:
    return torch.load(io.BytesIO(data), weights_only=True)


def log_density(state: Mapping[str, NDArray[Any]], observation: NDArray[Any], action: NDArray[Any]) -> NDArray[Any]:
    """Log β(action | observation) in float64 from a version's tensors: the policy written out, nothing of ours used."""
    x = (observation - state["normalizer.mean"]) / np.sqrt(state["normalizer.variance"] + 1e-8)
    x = np.clip(x, -10.0, 10.0)
    for layer in (0, 2):
        x = np.tanh(x @ state[f"actor.{layer}.weight"].T + state[f"actor.{layer}.bias"])
    mean = x @ state["actor.4.weight"].T + state["actor.4.bias"]
    z = (action - mean) / np.exp(state["log_std"])
    density: NDArray[Any] = -(z**2 / 2 + state["log_std"] + math.log(2 * math.pi) / 2).sum(-1)
    return density


# ---------------------------------------------------------------------------------------------------- the promise


LAG = 8


@dataclass
class Lagged:
    """A run at lag 8 with every version that was pushed."""

    spec: RunSpec
    results: list[PhaseResult] = field(default_factory=list)
    versions: dict[int, dict[str, NDArray[Any]]] = field(default_factory=dict)


def in_float64(version: Version) -> dict[str, NDArray[Any]]:
    return {k: x.double().numpy().copy() for k, x in version.state.items()}


@pytest.fixture(scope="module", params=["Hopper-v5 uniform", "HalfCheetah-v4 fixed"])
def lagged(request: pytest.FixtureRequest) -> Lagged:
    task, mode = request.param.split()
    # A large step, so that one version is nowhere near the next.
    config = {"learning_rate": 3e-3}
    kept = Lagged(spec(16, algo="vaco", task=task, lag=LAG, lag_mode=mode, config=config, seed=5))
    for k, result in enumerate(train(kept.spec, threads=1)):
        if k == 0:
            kept.versions[0] = in_float64(Version(0, result.state()["versions"][0]))
        kept.results.append(result)
        kept.versions[k + 1] = in_float64(result.policy.version(k + 1))
    assert len(kept.results) == 16
    return kept


def columns(lagged: Lagged, name: str) -> NDArray[Any]:
    return np.concatenate([r.record.transitions.columns[name] for r in lagged.results])


def test_every_recorded_log_probability_is_that_of_its_recorded_version(lagged: Lagged) -> None:
    version, recorded = columns(lagged, "behaviour_version"), columns(lagged, "behaviour_log_prob")
    observation, action = columns(lagged, "observation"), columns(lagged, "action")
    assert len(recorded) > 1500
    others = []
    for k in np.unique(version):
        rows = version == k
        again = log_density(lagged.versions[k], observation[rows], action[rows])
        np.testing.assert_allclose(recorded[rows], again, atol=1e-4, rtol=0)
        for near in (k - 1, k + 1):
            if near in lagged.versions:
                others.append(
                    np.abs(log_density(lagged.versions[near], observation[rows], action[rows]) - recorded[rows])
                )
    # The test can fail: the version before or after gives other numbers, at almost every row.
    assert np.mean(np.concatenate(others) > 1e-3) > 0.9


def test_no_row_is_older_than_the_lag(lagged: Lagged) -> None:
    staleness = columns(lagged, "learner_version") - columns(lagged, "behaviour_version")
    assert staleness.min() >= 0
    assert staleness.max() == LAG
    assert (columns(lagged, "learner_version") == columns(lagged, "phase")).all()
    if lagged.spec.protocol.lag_mode == "fixed":
        assert (staleness == np.minimum(columns(lagged, "phase"), LAG)).all()
    else:
        assert set(np.unique(staleness)) == set(range(LAG + 1))


def test_each_actor_holds_the_version_that_anybody_can_draw_again(lagged: Lagged) -> None:
    protocol = lagged.spec.protocol
    for phase, result in enumerate(lagged.results):
        record = result.record
        assert record.versions.tolist() == draw(protocol, lagged.spec.seed, phase).tolist()
        if protocol.lag_mode == "uniform":
            stream = np.random.Generator(np.random.PCG64(np.random.SeedSequence(5, spawn_key=(2, phase))))
            assert record.versions.tolist() == stream.integers(max(0, phase - LAG), phase + 1, size=8).tolist()
        rows = record.transitions.columns
        assert (rows["behaviour_version"] == record.versions[rows["actor"]]).all()
        assert (result.rollout.behaviour_version.numpy() == record.versions).all()
        lag = phase - rows["behaviour_version"]
        assert record.diagnostics["backward_lag_mean"] == pytest.approx(lag.mean(), rel=1e-12)
        assert record.diagnostics["backward_lag_max"] == lag.max()


def test_the_ratio_is_exactly_1_where_the_learner_itself_acted(lagged: Lagged) -> None:
    own_rows = 0
    for phase, result in enumerate(lagged.results):
        r = result.rollout
        own = r.valid & (r.behaviour_version == phase)
        own_rows += int(own.sum())
        assert torch.equal(r.proximal_log_prob[own], r.behaviour_log_prob[own])
        assert torch.equal(r.log_prob, r.proximal_log_prob)
        mismatch = result.record.diagnostics["logprob_mismatch_max"]
        assert 0 <= mismatch < 5e-5 if own.any() else math.isnan(mismatch)
        stale = r.valid & ~own
        if stale.any():
            assert (r.proximal_log_prob[stale] != r.behaviour_log_prob[stale]).float().mean() > 0.9
        # And it is the learner at the start of the phase.
        state = lagged.versions[phase]
        keep = r.valid.numpy()
        again = log_density(state, r.observation.numpy()[:-1][keep], r.action.numpy()[keep])
        np.testing.assert_allclose(r.proximal_log_prob.numpy()[keep], again, atol=1e-4, rtol=1e-4)
    assert own_rows > 50


def test_backward_divergence_is_that_of_the_recorded_versions(lagged: Lagged) -> None:
    for phase, result in enumerate(lagged.results):
        rows = result.record.transitions.columns
        now = log_density(lagged.versions[phase], rows["observation"], rows["action"])
        w = np.exp(now - rows["behaviour_log_prob"])
        row = result.record.diagnostics
        assert row["tv_backward"] == pytest.approx(np.abs(w - 1).mean() / 2, rel=1e-3, abs=1e-5)
        assert row["ess"] == pytest.approx(w.sum() ** 2 / len(w) / (w**2).sum(), rel=1e-2)
        if phase == 0:
            assert (row["tv_backward"], row["ess"]) == (0.0, 1.0)


# ---------------------------------------------------------------------------------------------------- determinism


@pytest.mark.parametrize(("algo", "lag"), [("ppo", 0), ("impala", 4)])
def test_one_spec_gives_one_run_whatever_the_threads(algo: str, lag: int) -> None:
    a = spec(4, algo=algo, lag=lag)
    first = run(a, threads=1)
    litter = [torch.randn(n) for n in (7, 1001, 64)]  # memory and the global generator stand elsewhere
    assert_equal(first, run(a, threads=2))
    assert litter
    other = run(spec(4, algo=algo, lag=lag, seed=1), threads=1)
    for x, y in zip(first, other, strict=True):
        changed = {k for k in x if x[k] != y.get(k)}
        assert {
            "column observation",
            "column action",
            "column reward",
            "weight actor.0.weight",
            "weight log_std",
        } <= changed


def test_evaluating_changes_no_training_row() -> None:
    seldom = run(spec(5, lag=2, eval_intervals=1, eval_episodes=1))
    often = run(spec(5, lag=2, eval_intervals=5, eval_episodes=3))
    assert_equal(*([{k: x for k, x in p.items() if "evaluation" not in k} for p in r] for r in (seldom, often)))


# ---------------------------------------------------------------------------------------------------- exact resume


# Each registered task restores exactly: tests/tasks/test_mujoco.py. Here one of each kind of end.
# And the algorithms that have a state of their own.
@pytest.mark.parametrize(
    ("task", "algo"),
    [("Hopper-v5", "ppo-kl"), ("HalfCheetah-v4", "ppo-ewma"), ("Ant-v5", "impact")],
)
def test_a_run_that_was_stopped_goes_on_bit_for_bit(task: str, algo: str) -> None:
    # Versions from before the stop, and episodes cut by it.
    a = spec(7, algo=algo, task=task, lag=3, actors=3, phase_steps=16, minibatch=16, updates=6, eval_episodes=1)
    straight, states, ended = [], {}, []
    for k, result in enumerate(train(a, threads=1)):
        straight.append(content(result))
        states[k + 1] = saved(result)
        ended += [(e.terminated, e.truncated) for e in result.record.episodes]
    assert len(ended) >= 9
    if task.rpartition("-")[0] in ENDING:
        assert any(terminated for terminated, _ in ended) or task.startswith("Ant")
    else:
        assert all(truncated for _, truncated in ended)
    for stop in (1, 4, 5):
        assert_equal(straight[stop:], run(a, threads=2, state=loaded(states[stop])))
    assert run(a, state=loaded(states[7])) == []


def test_a_run_can_be_stopped_after_every_phase() -> None:
    # One episode goes on over five phases: all its actions are stepped again.
    a = spec(6, algo="vaco", task="HalfCheetah-v5", lag=2, task_options={"max_episode_steps": 70}, eval_episodes=1)
    straight = run(a)
    resumed: list[dict[str, Any]] = []
    state = None
    while len(resumed) < 6:
        result = next(iter(train(a, state=state)))
        resumed.append(content(result))
        state = loaded(saved(result))
    assert_equal(straight, resumed)


# ------------------------------------------------------------------------------------------- learner and normalizer


def test_the_learning_rate_falls_with_the_share_of_the_budget_used() -> None:
    rates = [r.record.diagnostics["learning_rate"] for r in train(spec(5, config={"learning_rate": 0.01}))]
    assert rates == pytest.approx([0.01 * (1 - p / 5) for p in range(5)], rel=1e-12)


def test_the_optimizer_is_kept_over_phases() -> None:
    steps = []
    for result in train(spec(3, updates=8)):
        (optimizer,) = found(result.state(), "optimizer")
        steps.append({int(s["step"]) for s in optimizer["state"].values()})
    assert steps == [{8}, {16}, {24}]


def found(state: Any, name: str) -> Iterator[Any]:
    """Every value of that name in nested dictionaries: where a state keeps it is its own affair."""
    if isinstance(state, Mapping):
        for k, x in state.items():
            if k == name:
                yield x
            else:
                yield from found(x, name)


def test_the_normalizer_stands_still_in_a_phase_and_then_takes_in_its_valid_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[float, ...]] = []
    loss = PPO.loss

    def spy(self: PPO, batch: Any) -> Any:
        normalizer: Any = self.policy.normalizer
        seen.append((float(normalizer.count), *normalizer.mean.tolist(), *normalizer.variance.tolist()))
        return loss(self, batch)

    monkeypatch.setattr(PPO, "loss", spy)
    rows: list[NDArray[Any]] = []
    before: tuple[float, ...] = ()
    for phase, result in enumerate(train(spec(4, lag=2))):
        moments = set(seen[phase * 8 : (phase + 1) * 8])
        assert len(moments) == 1
        if phase == 0:
            start = moments.pop()
            count, mean, variance = start[0], np.array(start[1:12]), np.array(start[12:])
            # Version 0 has seen a random rollout, and not one row of the run.
            assert 0.8 * 8 * 16 < count < 8 * 16
            held = result.state()["versions"][0]
            assert held["normalizer.mean"].tolist() == mean.tolist()
            assert held["normalizer.variance"].tolist() == variance.tolist()
        else:
            assert moments == {before}
        normalizer: Any = result.policy.normalizer
        before = (float(normalizer.count), *normalizer.mean.tolist(), *normalizer.variance.tolist())
        rows.append(result.record.transitions.columns["observation"])
        new = np.concatenate(rows)
        total = count + len(new)
        assert float(normalizer.count) == total
        merged = (count * mean + new.sum(0)) / total
        second = (count * (variance + mean**2) + (new**2).sum(0)) / total
        np.testing.assert_allclose(normalizer.mean, merged, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(normalizer.variance, second - merged**2, rtol=1e-6, atol=1e-9)
        assert result.record.diagnostics["normalizer_drift"] > 0
        version = result.policy.version(phase + 1).state
        pushed = result.state()["versions"][phase + 1]
        assert all(torch.equal(version[k], pushed[k]) for k in pushed)
    assert len(seen) == 32


# -------------------------------------------------------------------------------------- an actor that is tampered with


@pytest.mark.parametrize(("name", "lag", "phase"), [("actor.2.weight", 0, 2), ("normalizer.variance", 3, 3)])
def test_an_actor_that_is_not_its_version_is_found_out(
    name: str, lag: int, phase: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = PolicyBuffer.push

    def tampered(self: PolicyBuffer, version: Version) -> None:
        if version.number == phase:
            version = Version(phase, {**version.state, name: version.state[name] * 1.1 + 0.01})
        push(self, version)

    monkeypatch.setattr(PolicyBuffer, "push", tampered)
    with pytest.raises(MismatchError) as caught:
        list(train(spec(6, lag=lag)))
    sentence = str(caught.value)
    assert sentence.startswith(
        f"phase {phase}: the learner's log-probabilities of actions of its own version differ by "
    )
    assert sentence.endswith("which is more than rounding; do not use these records")
    assert caught.value.exit_code == 1


class Overwriting(PPO):
    """Lets its newest weights act in every version's place."""

    def end_phase(self, metrics: Mapping[str, float]) -> None:
        frame = sys._getframe()
        while "collector" not in frame.f_locals:
            assert frame.f_back is not None
            frame = frame.f_back
        for version in frame.f_locals["collector"]._buffer:
            for name, tensor in self.policy.acting_state().items():
                version.state[name].copy_(tensor)


def test_an_algorithm_that_switches_lag_off_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The buffer is found and overwritten from inside; by what acts, replay would find nothing."""
    monkeypatch.setattr(RunSpec, "load_algorithm", lambda self: Overwriting)
    with pytest.raises(
        AlgorithmError, match=r"phase [12]: policy version [01] has changed since it entered the buffer"
    ):
        list(train(spec(6, lag=4)))


def test_a_phase_names_its_version(lagged: Lagged) -> None:
    """A row of ``phases`` has the SHA-256 of the version that its updates began from."""
    for k, result in enumerate(lagged.results):
        state = {name: torch.from_numpy(x) for name, x in lagged.versions[k].items()}
        kinds = {name: x.dtype for name, x in result.policy.acting_state().items()}
        again = Version(k, {name: x.to(kinds[name]) for name, x in state.items()})
        assert result.record.version_sha256 == again.sha256()
    assert len({r.record.version_sha256 for r in lagged.results}) == len(lagged.results)


def test_rounding_alone_is_no_mismatch() -> None:
    # With large means what products round differently grows beyond the limit; relative to the means it does not.
    a = spec(12, task="Humanoid-v5", config={"learning_rate": 0.3, "anneal": False}, actors=16, minibatch=64)
    mismatches = [r.record.diagnostics["logprob_mismatch_max"] for r in train(a)]
    assert len(mismatches) == 12
    assert max(mismatches) > training.MISMATCH_LIMIT


# ------------------------------------------------------------------------------------------------------- updates


MINE = """
import math
import torch
from lagbench import Algorithm
from lagbench.baselines.ppo import PPO

class Behind(PPO):  # goes round Algorithm.step
    def update(self, phase):
        for batch in phase.batches():
            loss, _ = self.loss(batch)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        self.optimizer.step()

class Late(PPO):  # after its updates are over
    def end_phase(self, metrics):
        self.optimizer.step()

class Frugal(PPO):
    class Config(PPO.Config):
        updates: int | None = 5

class Faulty(PPO):
    class Config(PPO.Config):
        phase: int = 2

    def __init__(self, config, policy):
        super().__init__(config, policy)
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def loss(self, batch):
        loss, metrics = super().loss(batch)
        self.count += 1
        return loss * (math.nan if int(self.count) == 8 * self.config.phase + 4 else 1), metrics
"""


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("algorithms") / "mine.py"
    file.write_text(MINE)
    return file


@pytest.mark.parametrize("name", ["Behind", "Late"])
def test_an_update_too_many_is_refused(mine: Path, name: str) -> None:
    with pytest.raises(UpdateLimitError, match="the protocol allows 8 optimizer updates per phase") as caught:
        list(train(spec(2, algo=f"{mine}:{name}")))
    assert isinstance(caught.value, AlgorithmError)
    assert caught.value.exit_code == 2


def test_split_makes_one_pass_over_what_it_collects(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    updates = 3
    sizes: list[int] = []
    loss = PPO.loss

    def spy(self: PPO, batch: Any) -> Any:
        sizes.append(len(batch.valid))
        return loss(self, batch)

    monkeypatch.setattr(PPO, "loss", spy)
    a = spec(algo=f"{mine}:Frugal", forward="split", updates=updates, minibatch=64, phase_steps=None, budget=6 * 64)
    assert (a.protocol.samples, a.phases) == (updates * 64, 6 // updates)
    results = list(train(a))
    assert [r.record.updates_made for r in results] == [updates] * (6 // updates)
    # The samples and updates in all do not depend on U.
    assert results[-1].record.budget_used == 6 * 64
    assert len(sizes) == 6
    for k, r in enumerate(results):
        assert sum(sizes[k * updates : (k + 1) * updates]) == int(r.rollout.valid.sum())
    assert max(sizes) - min(sizes) <= 16


# ---------------------------------------------------------------------------------------------------- divergence


def test_a_loss_that_is_not_finite_ends_the_run_where_it_stands(mine: Path) -> None:
    a = spec(5, algo=f"{mine}:Faulty", lag=2, eval_intervals=5)
    healthy = run(spec(5, algo=f"{mine}:Faulty", config={"phase": 99}, lag=2, eval_intervals=5))
    results = []
    for result in train(a):
        results.append((content(result), result))
        state = saved(result)
    assert len(results) == 3
    assert_equal(healthy[:2], [c for c, _ in results[:2]])
    last = results[-1][1]
    assert last.last
    assert last.diverged is not None
    assert (last.diverged.phase, last.diverged.update, last.diverged.what) == (2, 3, "the loss")
    assert last.record.updates_made == 3
    # What was collected is recorded, with what was logged last; what comes after the stop is not evaluated.
    for name in ("column observation", "column action", "column behaviour_log_prob"):
        assert results[-1][0][name] == healthy[2][name]
    assert math.isfinite(last.record.metrics["loss"])
    assert last.record.evaluations == []
    assert math.isnan(last.record.diagnostics["normalizer_drift"])
    assert math.isfinite(last.record.diagnostics["tv"])
    # And it stays so.
    assert run(a, state=loaded(state)) == []
