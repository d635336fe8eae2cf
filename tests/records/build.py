"""Runs made of numbers that mean nothing, to be written and read."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lagbench import diagnostics
from lagbench.actors.base import Episode, PlayedEpisode, Transitions
from lagbench.policies.gaussian import GaussianPolicy
from lagbench.protocol import Protocol
from lagbench.records.rows import EvaluationRecord, PhaseRecord
from lagbench.records.writer import RunWriter
from lagbench.source.algorithms import AlgorithmSource
from lagbench.spec import EvaluationPlan, Recording, RunSpec

OBSERVATION, ACTION, ACTORS, STEPS = 3, 2, 4, 8
PHASES = 6
SIZES: dict[str, Any] = {"observation_size": OBSERVATION, "action_size": ACTION, "diagnostics": diagnostics.NAMES}
TABLES = ("trajectories", "episodes", "evaluations", "phases")


def make_spec(record: Recording = "trajectories", **changes: Any) -> RunSpec:
    spec = RunSpec(
        task="Hopper-v5",
        task_options=MappingProxyType({}),
        algorithm=AlgorithmSource("vaco", "0" * 64),
        config=MappingProxyType({"delta": 0.2, "align": True}),
        protocol=Protocol.resolve(lag=2, minibatch=8, actors=ACTORS, phase_steps=STEPS),
        budget=PHASES * ACTORS * STEPS,
        evaluation=EvaluationPlan(episodes=3, intervals=2),
        seed=0,
        suite=None,
        record=record,
        device="cpu",
        torch_threads=1,
    )
    return dataclasses.replace(spec, **changes)


def make_record(phase: int, rows: int | None = None) -> PhaseRecord:
    """Phase 2 has no rows at all, phase 3 no episode; the evaluations are those of a plan of halves."""
    rng = np.random.default_rng(phase)
    n = (0 if phase == 2 else ACTORS * STEPS - phase) if rows is None else rows
    ends = np.flatnonzero(rng.random(n) < (0 if phase == 3 else 0.2))
    columns: dict[str, NDArray[Any]] = {
        "episode_id": rng.integers(0, 2**40, n),
        "step": np.arange(n, dtype=np.int32),
        "actor": rng.integers(0, ACTORS, n).astype(np.int32),
        "phase": np.full(n, phase, dtype=np.int32),
        "observation": rng.standard_normal((n, OBSERVATION)),
        "action": rng.standard_normal((n, ACTION)).astype(np.float32),
        "reward": rng.standard_normal(n).astype(np.float32),
        "terminated": rng.random(n) < 0.5,
        "truncated": rng.random(n) < 0.5,
        "behaviour_version": rng.integers(0, phase + 1, n).astype(np.int32),
        "learner_version": np.full(n, phase, dtype=np.int32),
        "behaviour_log_prob": rng.standard_normal(n).astype(np.float32),
    }
    episodes = [
        Episode(
            episode_id=int(columns["episode_id"][i]),
            actor=int(columns["actor"][i]),
            seed=int(rng.integers(0, 2**31)),
            reset=int(i),
            phase=phase,
            episode_return=float(rng.standard_normal()),
            length=int(i + 1),
            terminated=bool(columns["terminated"][i]),
            truncated=bool(columns["truncated"][i]),
        )
        for i in ends
    ]
    return PhaseRecord(
        phase=phase,
        budget_used=(phase + 1) * ACTORS * STEPS,
        versions=rng.integers(0, phase + 1, ACTORS),
        version_sha256=f"{phase:064x}",
        updates_made=40,
        seconds={"collecting": 0.5, "updating": 0.25, "evaluating": 0.0},
        diagnostics={**{name: float(rng.random()) for name in diagnostics.NAMES}, "explained_variance": float("nan")},
        metrics={"loss": float(rng.standard_normal()), "kept": 1.0} if phase % 2 else {},
        transitions=Transitions(columns, ends, rng.standard_normal((len(ends), OBSERVATION))),
        episodes=episodes,
        evaluations=_evaluations(phase),
    )


def _evaluations(phase: int) -> list[EvaluationRecord]:
    due = {0: [(0, "mode")], PHASES // 2 - 1: [(1, "mode")], PHASES - 1: [(2, "mode"), (2, "stochastic")]}
    return [
        EvaluationRecord(
            index=index,
            fractions=(index / 2,),
            version=index * PHASES // 2,
            budget_used=index * PHASES * ACTORS * STEPS // 2,
            mode="mode" if mode == "mode" else "stochastic",
            episodes=[_played(100 * index + 10 * (mode == "mode") + j) for j in range(3)],
        )
        for index, mode in due.get(phase, [])
    ]


def _played(seed: int) -> PlayedEpisode:
    rng = np.random.default_rng(seed)
    length = int(rng.integers(1, 9))
    return PlayedEpisode(
        seed=seed,
        action=rng.standard_normal((length, ACTION)).astype(np.float32),
        reward=rng.standard_normal(length).astype(np.float32),
        observation=rng.standard_normal((length, OBSERVATION)),
        terminated=bool(rng.random() < 0.5),
        truncated=bool(rng.random() < 0.5),
    )


def make_policy() -> GaussianPolicy:
    policy = GaussianPolicy(OBSERVATION, ACTION, torch.Generator().manual_seed(0))
    policy.normalizer.update(torch.randn(20, OBSERVATION, generator=torch.Generator().manual_seed(1)))
    return policy


def write(path: Path, spec: RunSpec, records: Iterable[PhaseRecord]) -> RunWriter:
    """A run with these phases committed; the writer is open."""
    writer = RunWriter.create(path, spec, **SIZES)
    for record in records:
        writer.commit(record)
    return writer


def finish(writer: RunWriter, summary: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return writer.finish("completed", summary or {}, make_policy().state_dict())


def write_finished(path: Path, spec: RunSpec, phases: int = PHASES) -> dict[str, Any]:
    return finish(write(path, spec, map(make_record, range(phases))))
