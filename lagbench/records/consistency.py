"""Whether a run's tables agree with its specification and with one another. Nothing is stepped."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lagbench.lag.staleness import draw
from lagbench.records.episodes import TrainingEpisode, as_numpy
from lagbench.records.findings import Difference, differs
from lagbench.records.reader import Run
from lagbench.seeding import evaluation_seeds

_PLANNED = ("evaluation", "fractions", "version", "budget_used", "mode", "episode", "seed")
_EPISODE = ("episode_id", "actor", "seed", "reset", "phase", "return", "length", "terminated", "truncated")


def wrong_hash(run: Run) -> Difference | None:
    """The first table whose values are not those that a finished run recorded."""
    assert run.result is not None
    for table, digest in run.content_hash().items():
        recorded = run.result["content_hash"].get(table)
        if digest != recorded:
            return Difference(table, {}, "content hash", str(recorded), digest, "recomputed")
    return None


def wrong_evaluation(run: Run, phases: int) -> Difference | None:
    """The first evaluation episode that is not the one that the specification plans there, with its seed."""
    table = run.evaluations.to_table(columns=list(_PLANNED))
    for recorded, planned in zip_longest(table.to_pylist(), _planned(run, phases)):
        if recorded is None or planned is None:
            row = planned or recorded
            there, wanted = ("missing", "recorded") if recorded is None else ("recorded", "none")
            return Difference("evaluations", _evaluation(row), "row", there, wanted, "specified")
        for name in _PLANNED:
            if recorded[name] != planned[name]:
                return Difference(
                    "evaluations", _evaluation(recorded), name, recorded[name], planned[name], "specified"
                )
    return None


def _evaluation(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("evaluation", "mode", "episode")}


def _planned(run: Run, phases: int) -> Iterator[dict[str, Any]]:
    """The evaluation episodes that a run of so many phases has."""
    spec = run.spec
    due = spec.evaluation_phases()
    # The phase in which a run diverged leaves no version to evaluate; before the first phase there is no record.
    reached = phases - (run.status == "diverged") if phases else -1
    for index, version in enumerate(sorted(due)):
        if version > reached:
            return
        seeds = evaluation_seeds(spec.seed, spec.suite_name, index, spec.evaluation.episodes)
        for mode in ("mode", "stochastic") if version == spec.phases else ("mode",):
            for episode, seed in enumerate(seeds):
                yield {
                    "evaluation": index,
                    "fractions": due[version],
                    "version": version,
                    "budget_used": version * spec.protocol.samples,
                    "mode": mode,
                    "episode": episode,
                    "seed": seed,
                }


def wrong_draw(run: Run) -> Difference | None:
    """The first phase in which an actor held another version than the run's seed gives it."""
    protocol = run.spec.protocol
    table = run.phases.to_table(columns=["phase", "budget_used", "versions"])
    for number, row in enumerate(table.to_pylist()):
        drawn = draw(protocol, run.spec.seed, number).tolist()
        expected = {"phase": number, "budget_used": (number + 1) * protocol.samples, "versions": drawn}
        for name in ("phase", "budget_used"):
            if row[name] != expected[name]:
                return Difference("phases", {"phase": number}, name, row[name], expected[name], "specified")
        if row["versions"] != drawn:
            pairs = enumerate(zip_longest(row["versions"], drawn))
            actor, (recorded, wanted) = next((i, pair) for i, pair in pairs if pair[0] != pair[1])
            return Difference("phases", {"phase": number}, f"versions[{actor}]", recorded, wanted, "drawn")
    return None


def wrong_version(run: Run) -> Difference | None:
    """The first transition whose versions are not those of its phase: the actor's by ``phases``, and the learner's."""
    actors = run.spec.protocol.actors
    lists = run.phases.to_table(columns=["versions"])["versions"].to_pylist()
    held = np.array([[*own, *[-1] * actors][:actors] for own in lists], np.int32).reshape(-1, actors)
    names = ("episode_id", "step", "actor", "phase", "behaviour_version", "learner_version")
    for batch in run.read("trajectories"):
        rows = {name: as_numpy(batch.column(name)) for name in names}
        phase, actor = rows["phase"], rows["actor"]
        known = (phase >= 0) & (phase < len(held)) & (actor >= 0) & (actor < actors)
        expected = {
            "phase": np.where(known, phase, -1),
            "behaviour_version": held[np.where(known, phase, 0), np.where(known, actor, 0)],
            "learner_version": phase,
        }
        for name, values in expected.items():
            if (wrong := np.flatnonzero(rows[name] != values)).size:
                i = int(wrong[0])
                where = {"episode_id": int(rows["episode_id"][i]), "step": int(rows["step"][i])}
                by = "in phases" if name == "behaviour_version" else "specified"
                return Difference("trajectories", where, name, int(rows[name][i]), int(values[i]), by)
    return None


def wrong_episode(run: Run) -> Difference | None:
    """The first episode whose row of ``episodes`` is not the sum of its transitions, or whose steps have a gap."""
    rows = (row for batch in run.read("episodes") for row in batch.to_pylist())
    for episode in run.training_episodes():
        if (steps := differs(episode.step, np.arange(episode.length, dtype=np.int32))).any():
            i = int(np.flatnonzero(steps)[0])
            where = {"episode_id": episode.episode_id, "step": int(episode.step[i])}
            return Difference("trajectories", where, "step", int(episode.step[i]), i, "in order")
        if not episode.ended:
            continue
        row = next(rows, None)
        if row is None:
            return Difference("episodes", {"episode_id": episode.episode_id}, "row", "missing", "recorded", "summed")
        for name, value in _summary(episode, run.spec.protocol.actors).items():
            if differs(np.asarray(row[name]), np.asarray(value)).any():
                return Difference("episodes", {"episode_id": row["episode_id"]}, name, row[name], value, "summed")
    if (row := next(rows, None)) is not None:
        return Difference("episodes", {"episode_id": row["episode_id"]}, "row", "recorded", "none", "summed")
    return None


def _summary(episode: TrainingEpisode, actors: int) -> dict[str, Any]:
    values: NDArray[Any] = episode.phase
    summary = {
        "episode_id": episode.actor + actors * episode.reset,
        "actor": episode.actor,
        "seed": episode.seed,
        "reset": episode.reset,
        "phase": int(values[-1]),
        "return": episode.episode_return,
        "length": episode.length,
        "terminated": episode.terminated,
        "truncated": episode.truncated,
    }
    return {name: summary[name] for name in _EPISODE}
