"""Speed of lagbench, as ratios: both sides run in one process, alternating block by block.

    python -m benchmarks.throughput [--quick] [--only bare] [--task Hopper-v5] [--json]

A block is one phase of collecting, of training, or of updates. Each ratio is measured in wall time and in CPU time (all
threads of the process); targets of updates and training are for CPU time, the others for wall time. docs/speed.md
explains each ratio.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import envpool
import numpy as np
import torch
from numpy.typing import NDArray

import lagbench
from benchmarks.cleanrl import CleanPPO
from benchmarks.earlier import Earlier
from lagbench import diagnostics
from lagbench.actors.base import Collection
from lagbench.actors.control import ControlActors
from lagbench.lag.policy_buffer import PolicyBuffer
from lagbench.lag.staleness import draw
from lagbench.learner import Learner
from lagbench.machine import cores
from lagbench.policies.base import Version
from lagbench.records.rows import PhaseRecord
from lagbench.records.writer import RunWriter
from lagbench.seeding import Stream, environment_seeds
from lagbench.sinks.base import Sink
from lagbench.spec import RunSpec, resolve
from lagbench.tasks.mujoco import EnvPoolTask
from lagbench.tasks.spec import load_task
from lagbench.training import PhaseResult

TASKS = ("Hopper-v5", "HalfCheetah-v5")
PACKAGES = ("envpool", "torch", "numpy", "pyarrow", "gymnasium", "mujoco", "stable-baselines3", "sbx-rl", "jax")
CORES = cores()


@dataclass(frozen=True)
class Plan:
    """The number of blocks and the shape of a phase. Targets are for the default shape."""

    actors: int = 64
    steps: int = 32
    minibatch: int = 256
    blocks: int = 80
    training_blocks: int = 16
    warm_up: int = 4


QUICK = Plan(blocks=16, training_blocks=4, warm_up=2)


@dataclass(frozen=True)
class Result:
    """One ratio on one task: its median and quartiles over blocks, and median speeds in actor steps per second.

    ``cpu_ratio`` is of CPU seconds, None if not measured; with ``by_cpu``, the target is for it.
    """

    name: str
    task: str
    what: str
    target: float | None
    ratio: float
    quartiles: tuple[float, float]
    speed: float
    other_speed: float
    blocks: int
    cpu_ratio: float | None
    cpu_quartiles: tuple[float, float] | None
    by_cpu: bool

    @property
    def verdict(self) -> str:
        """Whether the median reaches the target, if there is one."""
        reached = self.cpu_ratio if self.by_cpu else self.ratio
        return "" if self.target is None or reached is None else "met" if reached >= self.target else "missed"


class Duel:
    """Two sides that alternate in doing the same work, with the seconds of each block.

    Iterating yields block numbers. The first ``warm_up`` blocks are not counted.
    """

    def __init__(self, blocks: int, warm_up: int) -> None:
        self._blocks = blocks
        self._warm_up = warm_up
        self._seconds: tuple[list[float], list[float]] = ([], [])
        self._cpu_seconds: tuple[list[float], list[float]] = ([], [])

    def __iter__(self) -> Iterator[int]:
        yield from range(self._warm_up + self._blocks)

    def add(self, side: int, seconds: float, cpu_seconds: float = math.nan) -> None:
        """Add the time of the next block of side 0 or 1."""
        self._seconds[side].append(seconds)
        self._cpu_seconds[side].append(cpu_seconds)

    @contextmanager
    def side(self, number: int) -> Iterator[None]:
        """Time the body of the ``with`` statement as the next block of side 0 or 1."""
        clock = Clock()
        yield
        self.add(number, *clock.seconds())

    def result(
        self, name: str, task: str, what: str, target: float | None, plan: Plan, *, by_cpu: bool = False
    ) -> Result:
        """The speed of side 0 ÷ that of side 1."""
        ours, others = self._counted(self._seconds)
        cpu_ours, cpu_others = self._counted(self._cpu_seconds)
        low, middle, high = np.quantile(others / ours, (0.25, 0.5, 0.75)).tolist()
        cpu_low, cpu_middle, cpu_high = np.quantile(cpu_others / cpu_ours, (0.25, 0.5, 0.75)).tolist()
        counted = not math.isnan(cpu_middle)
        samples = plan.actors * plan.steps
        return Result(
            name=name,
            task=task,
            what=what,
            target=target,
            ratio=middle,
            quartiles=(low, high),
            speed=samples / statistics.median(ours),
            other_speed=samples / statistics.median(others),
            blocks=self._blocks,
            cpu_ratio=cpu_middle if counted else None,
            cpu_quartiles=(cpu_low, cpu_high) if counted else None,
            by_cpu=by_cpu,
        )

    def _counted(self, seconds: tuple[list[float], list[float]]) -> Iterator[NDArray[np.float64]]:
        return (np.array(s[self._warm_up : self._warm_up + self._blocks]) for s in seconds)


class Clock:
    """Wall and CPU seconds since its creation."""

    def __init__(self) -> None:
        self._since = time.perf_counter(), time.process_time()

    def seconds(self) -> tuple[float, float]:
        """Elapsed wall and CPU seconds."""
        return time.perf_counter() - self._since[0], time.process_time() - self._since[1]


class Collector:
    """Actors that collect phases with versions from a buffer of different policies."""

    def __init__(self, spec: RunSpec, writer: RunWriter | None = None) -> None:
        self._spec = spec
        self._writer = writer
        self._actors = ControlActors(spec, CORES)
        self._policy = self._actors.make_policy()
        self._change = torch.Generator().manual_seed(0)
        self._buffer = PolicyBuffer(spec.protocol.lag)
        self._phase = spec.protocol.lag
        for number in range(self._phase + 1):
            self._buffer.push(self._next_version(number))

    def _next_version(self, number: int) -> Version:
        """A version that differs from the previous one about as much as after a phase of training."""
        with torch.no_grad():
            for weight in self._policy.parameters():
                weight.add_(torch.randn(weight.shape, generator=self._change), alpha=0.01)
        return self._policy.version(number)

    def collect(self) -> Collection:
        """Collect a phase, and record it if there is a writer."""
        versions = draw(self._spec.protocol, self._spec.seed, self._phase)
        collection = self._actors.collect(self._buffer.acting(versions), self._phase)
        if self._writer is not None:
            self._writer.commit(
                PhaseRecord(
                    phase=self._phase,
                    budget_used=self._phase * self._spec.protocol.samples,
                    versions=versions,
                    version_sha256=self._buffer.sha256(self._buffer.newest),
                    updates_made=0,
                    seconds={},
                    diagnostics=dict.fromkeys(diagnostics.NAMES, 0.0),
                    metrics={},
                    transitions=collection.transitions,
                    episodes=collection.episodes,
                    evaluations=[],
                )
            )
        return collection

    def advance(self) -> None:
        """Advance to the next phase: the learner's part, which is not timed."""
        self._phase += 1
        self._buffer.push(self._next_version(self._phase))


def against_bare(task: str, plan: Plan) -> Result:
    """Collecting at lag 8 with recording, against EnvPool stepping the same actions from the same seeds."""
    spec = _spec(task, plan, lag=8)
    control = load_task(task, {})
    assert isinstance(control, EnvPoolTask)
    seeds = environment_seeds(spec.seed, Stream.ENVIRONMENT, plan.actors).tolist()
    pool = envpool.make_gymnasium(control.envpool_id, num_envs=plan.actors, num_threads=CORES, seed=seeds)
    pool.reset()
    duel = Duel(plan.blocks, plan.warm_up)
    with _writing(spec) as writer:
        collector = Collector(spec, writer)
        for _ in duel:
            with duel.side(0):
                rollout = collector.collect().rollout
            actions = _as_stepped(rollout.action.numpy(), control)
            with duel.side(1):
                for action in actions:
                    observation = pool.step(action)[0]
            if not np.array_equal(observation, rollout.observation[-1].numpy()):
                raise AssertionError(f"the two sides simulated different things on {task}")
            collector.advance()
    return duel.result("bare", task, "collect at lag 8 and record ÷ bare EnvPool", 0.90, plan)


def against_lag_0(task: str, plan: Plan) -> Result:
    """Collecting at lag 64, where nearly every actor has a different version, against lag 0, where all share one."""
    duel = _both_collect(Collector(_spec(task, plan, lag=64)), Collector(_spec(task, plan, lag=0)), plan)
    return duel.result("lag", task, "collect at lag 64 ÷ at lag 0", 0.95, plan)


def against_unrecorded(task: str, plan: Plan) -> Result:
    """Collecting with and without a writer: the same phases on both sides, bit for bit."""
    spec = _spec(task, plan, lag=8)
    with _writing(spec) as writer:
        duel = _both_collect(Collector(spec, writer), Collector(spec), plan)
    return duel.result("recording", task, "collect and record ÷ collect", 0.95, plan)


def against_earlier_update(task: str, plan: Plan) -> Result:
    """A phase's updates against those of earlier versions, on one rollout; see benchmarks/earlier.py."""
    spec = _spec(task, plan, lag=0)
    actors = ControlActors(spec, CORES)
    learner = Learner(
        spec.load_algorithm(), spec.config, actors.make_policy(), spec.protocol, spec.seed, exact_log_prob=True
    )
    protocol = spec.protocol
    other = Earlier(learner.policy.state_dict(), spec.config, protocol.epoch_updates, protocol.updates)
    rollout, _ = learner.begin(actors.collect([learner.policy.version(0)] * plan.actors, 0).rollout, 0, 0.0)
    duel = Duel(plan.training_blocks, plan.warm_up)
    for block in duel:
        learner.begin(rollout, block, 0.0)
        with duel.side(0):
            learner.update(rollout, block)
        with duel.side(1):
            other.update(learner.algorithm.prepare(rollout))
    return duel.result("update", task, "a phase's updates ÷ the release before's", 1.7, plan, by_cpu=True)


def against_sb3(task: str, plan: Plan) -> Result:
    """Training PPO with records and checkpoints against stable-baselines3's PPO with its own normalizer."""
    duel = _both_train(task, plan, _sb3_ppo(task, plan, normalize=True))
    return duel.result("training", task, "train ÷ SB3 with VecNormalize", 2.0, plan, by_cpu=True)


def against_plain_sb3(task: str, plan: Plan) -> Result:
    """As ``against_sb3``, but stable-baselines3 does not normalize: less work than lagbench, so there is no target."""
    duel = _both_train(task, plan, _sb3_ppo(task, plan, normalize=False))
    return duel.result("training-plain", task, "train ÷ SB3 without VecNormalize", None, plan, by_cpu=True)


def against_sbx(task: str, plan: Plan) -> Result:
    """As ``against_sb3``, against SBX's PPO, whose updates are compiled by JAX."""
    duel = _both_train(task, plan, _sbx_ppo(task, plan))
    return duel.result("training-sbx", task, "train ÷ SBX with VecNormalize", 1.0, plan, by_cpu=True)


def against_cleanrl(task: str, plan: Plan) -> Result:
    """As ``against_sb3``, against CleanRL's PPO; see benchmarks/cleanrl.py."""
    duel = _both_train(task, plan, CleanPPO(task, plan.actors, plan.steps, plan.minibatch))
    return duel.result("training-cleanrl", task, "train ÷ CleanRL's algorithm", None, plan, by_cpu=True)


MEASUREMENTS: Mapping[str, Callable[[str, Plan], Result]] = {
    "bare": against_bare,
    "lag": against_lag_0,
    "recording": against_unrecorded,
    "update": against_earlier_update,
    "training": against_sb3,
    "training-plain": against_plain_sb3,
    "training-sbx": against_sbx,
    "training-cleanrl": against_cleanrl,
}


def _both_collect(ours: Collector, other: Collector, plan: Plan) -> Duel:
    duel = Duel(plan.blocks, plan.warm_up)
    sides = [(0, ours), (1, other)]
    for _ in duel:
        for number, collector in sides:
            with duel.side(number):
                collector.collect()
            collector.advance()
        sides.reverse()
    return duel


class Trainer(Protocol):
    """A trainer to compare with: the same task, phases, networks, epochs and minibatches."""

    def learn(self) -> None:
        """Train for one more phase."""

    def close(self) -> None:
        """Close the environments."""


def _both_train(task: str, plan: Plan, trainer: Trainer) -> Duel:
    duel = Duel(plan.training_blocks, plan.warm_up)
    # One phase more than measured: the first evaluation is in the warm-up, the last in that phase.
    phases = plan.warm_up + plan.training_blocks + 1
    spec = _spec(task, plan, lag=0, budget=phases * plan.actors * plan.steps)
    with tempfile.TemporaryDirectory() as directory:
        lagbench.run(spec=spec, out=directory, threads=CORES, sinks=[_Opponent(duel, trainer)])
    return duel


class _Opponent(Sink):
    """Runs a phase of another trainer after each phase of lagbench's run."""

    def __init__(self, duel: Duel, trainer: Trainer) -> None:
        self._duel = duel
        self._trainer = trainer
        self._clock = Clock()

    def start(self, spec: RunSpec, path: Path, phases_done: int) -> None:
        self._clock = Clock()

    def write(self, result: PhaseResult) -> None:
        self._duel.add(0, *self._clock.seconds())
        with self._duel.side(1):
            self._trainer.learn()
        self._clock = Clock()

    def close(self) -> None:
        self._trainer.close()


class _StableBaselines:
    """A model with stable-baselines3's interface, also of SBX."""

    def __init__(self, model: Any, samples: int) -> None:
        self._model = model
        self._samples = samples

    def learn(self) -> None:
        self._model.learn(self._samples, log_interval=None, reset_num_timesteps=False)

    def close(self) -> None:
        self._model.get_env().close()


def _sb3_ppo(task: str, plan: Plan, *, normalize: bool) -> Trainer:
    """PPO as in stable-baselines3's documentation; by default, two networks of 64×64 tanh units, as in lagbench."""
    from stable_baselines3 import PPO

    layers = {"net_arch": {"pi": [64, 64], "vf": [64, 64]}, "activation_fn": torch.nn.Tanh}
    return _stable_baselines(PPO, task, plan, normalize=normalize, policy_kwargs=layers)


def _sbx_ppo(task: str, plan: Plan) -> Trainer:
    """PPO of SBX; JAX computes on one thread of this process, as torch does."""
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
    # Optional during type checking.
    ppo: Any = importlib.import_module("sbx").PPO
    return _stable_baselines(ppo, task, plan, normalize=True, policy_kwargs={"net_arch": [64, 64]})


def _stable_baselines(
    algorithm: Any, task: str, plan: Plan, *, normalize: bool, policy_kwargs: Mapping[str, Any]
) -> Trainer:
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    env: Any = make_vec_env(task, n_envs=plan.actors, seed=0, vec_env_cls=DummyVecEnv)
    model = algorithm(
        "MlpPolicy",
        VecNormalize(env) if normalize else env,
        n_steps=plan.steps,
        batch_size=plan.minibatch,
        n_epochs=10,
        policy_kwargs=dict(policy_kwargs),
        device="cpu",
        seed=0,
    )
    return _StableBaselines(model, plan.actors * plan.steps)


def _spec(task: str, plan: Plan, *, lag: int, budget: int | None = None) -> RunSpec:
    return resolve(
        algo="ppo",
        task=task,
        lag=lag,
        actors=plan.actors,
        phase_steps=plan.steps,
        minibatch=plan.minibatch,
        budget=budget,
        eval_episodes=1,
        eval_intervals=1,
    )


@contextmanager
def _writing(spec: RunSpec) -> Iterator[RunWriter]:
    """A writer into a temporary directory."""
    sizes = load_task(spec.task, spec.task_options).record_sizes
    with (
        tempfile.TemporaryDirectory() as directory,
        RunWriter.create(Path(directory), spec, None, **sizes, diagnostics=diagnostics.NAMES, threads=CORES) as writer,
    ):
        yield writer


def _as_stepped(action: NDArray[np.float32], task: EnvPoolTask) -> list[NDArray[np.float64]]:
    """Recorded actions [T, N, A] as passed to EnvPool, one array [N, A] per step."""
    clipped = np.clip(action, task.action_space.low, task.action_space.high)
    return list(np.ascontiguousarray(clipped, dtype=np.float64))


def measure(names: Sequence[str], tasks: Sequence[str], plan: Plan) -> Iterator[Result]:
    """Yield each result as soon as it is measured."""
    # Both sides compute on one thread; EnvPool's threads use the other cores.
    torch.set_num_threads(1)
    for name in names:
        for task in tasks:
            yield MEASUREMENTS[name](task, plan)


def context() -> dict[str, Any]:
    """The machine and the versions that the numbers depend on."""
    return {
        "cores": CORES,
        "machine": platform.machine(),
        "python": platform.python_version(),
        **{package: _installed(package) for package in PACKAGES},
    }


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


_ROW = "{:<42} {:<15} {:>6} {:>7} {:>15} {:>7} {:>15}  {:<7} {:>9} {:>9}"


_HEADING = _ROW.format("ratio", "task", "target", "wall", "quartiles", "CPU", "quartiles", "", "ours", "other")


def _row(r: Result) -> str:
    return _ROW.format(
        r.what,
        r.task,
        "" if r.target is None else f"{r.target:.2f}",
        f"{r.ratio:.3f}",
        "{:.3f} … {:.3f}".format(*r.quartiles),
        "" if r.cpu_ratio is None else f"{r.cpu_ratio:.3f}",
        "" if r.cpu_quartiles is None else "{:.3f} … {:.3f}".format(*r.cpu_quartiles),
        r.verdict,
        f"{r.speed:,.0f}",
        f"{r.other_speed:,.0f}",
    ).rstrip()


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Ratios of speeds: lagbench against what it is built on and beside.")
    parser.add_argument("--quick", action="store_true", help="fewer blocks: minutes become half a minute")
    parser.add_argument("--only", action="append", choices=MEASUREMENTS, metavar="NAME", help=", ".join(MEASUREMENTS))
    parser.add_argument("--task", action="append", metavar="ID", help=f"instead of {' and '.join(TASKS)}")
    parser.add_argument("--json", action="store_true", help="one document on stdout, nothing else")
    options = parser.parse_args(arguments)
    plan = QUICK if options.quick else Plan()
    results = measure(options.only or list(MEASUREMENTS), options.task or TASKS, plan)
    if options.json:
        found = [{**asdict(r), "verdict": r.verdict} for r in results]
        print(json.dumps({"context": context(), "plan": asdict(plan), "results": found}, indent=2))
        return
    print(", ".join(f"{name} {value}" for name, value in context().items()))
    print(f"{plan.actors} actors × {plan.steps} steps a phase, {CORES} EnvPool threads, 1 torch thread")
    print("speeds in actor steps/s; medians and quartiles over blocks\n")
    print(_HEADING)
    for result in results:
        print(_row(result), flush=True)


if __name__ == "__main__":
    main()
