"""Consistency of a run's tables with its specification, without simulation. Functions return the first difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate, count, islice, repeat, zip_longest
from typing import Any

from lagbench.lag.staleness import draw
from lagbench.protocol import Protocol
from lagbench.records.findings import Difference
from lagbench.records.reader import Run
from lagbench.seeding import evaluation_seeds

_PLANNED = ("evaluation", "fractions", "version", "budget_used", "mode", "episode", "seed")


def wrong_hash(run: Run) -> Difference | None:
    """The first table of a finished run whose content hash differs from the recorded one."""
    assert run.result is not None
    for table, digest in run.content_hash().items():
        recorded = run.result["content_hash"].get(table)
        if digest != recorded:
            return Difference(table, {}, "content hash", str(recorded), digest, "recomputed")
    return None


def wrong_evaluation(run: Run, phases: int) -> Difference | None:
    """The first evaluation episode that differs from the plan of the specification, including its seed."""
    rows = (row for batch in run.read("evaluations") for row in batch.select(_PLANNED).to_pylist())
    for recorded, planned in zip_longest(rows, _planned(run, phases)):
        if recorded is None or planned is None:
            there, wanted = ("missing", "recorded") if recorded is None else ("recorded", "none")
            return Difference("evaluations", _evaluation(planned or recorded), "row", there, wanted, "specified")
        for name in _PLANNED:
            if recorded[name] != planned[name]:
                where = _evaluation(recorded)
                return Difference("evaluations", where, name, recorded[name], planned[name], "specified")
    return None


def _evaluation(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("evaluation", "mode", "episode")}


def _planned(run: Run, phases: int) -> Iterator[dict[str, Any]]:
    """The planned evaluation episodes of a run after ``phases`` phases."""
    spec = run.spec
    used = [0, *accumulate(islice(_spent(run), phases))]
    due = spec.evaluations(used)
    # A phase that diverged yields no version to evaluate; version 0 is recorded with the first phase.
    reached = phases - (run.status == "diverged") if phases else -1
    for index, version in enumerate(sorted(due)):
        if version > reached:
            return
        for mode, episodes in spec.evaluation.modes(last=spec.over(used[version])).items():
            for episode, seed in enumerate(evaluation_seeds(spec.seed, spec.suite_name, index, episodes)):
                yield {
                    "evaluation": index,
                    "fractions": due[version],
                    "version": version,
                    "budget_used": used[version],
                    "mode": mode,
                    "episode": episode,
                    "seed": seed,
                }


def wrong_draw(run: Run) -> Difference | None:
    """The first phase that differs from the specification, or in which an actor's version differs from its draw."""
    spec, protocol = run.spec, run.spec.protocol
    rows = run.phases.to_table(columns=["phase", "budget_used", "versions"]).to_pylist()
    used, spent = 0, _spent(run)
    held = [0] * protocol.actors
    for number, row in enumerate(rows):
        if spec.over(used):
            return Difference("phases", {"phase": row["phase"]}, "row", "recorded", "none", "specified")
        used += next(spent)
        where = {"phase": number}
        for name, value in {"phase": number, "budget_used": used}.items():
            if row[name] != value:
                return Difference("phases", where, name, row[name], value, "specified")
        versions = row["versions"] or []
        if spec.is_asynchronous:
            if wrong := _wrong_outcome(number, versions, held, protocol):
                return wrong
            held = versions
            continue
        drawn = draw(protocol, run.spec.seed, number).tolist()
        for actor, (recorded, wanted) in enumerate(zip_longest(versions, drawn)):
            if recorded != wanted:
                return Difference("phases", where, f"versions[{actor}]", recorded, wanted, "drawn")
    if run.status == "completed" and not spec.over(used):
        return Difference("phases", {"phase": len(rows)}, "row", "missing", "recorded", "specified")
    return None


def _spent(run: Run) -> Iterator[int]:
    """The budget that each phase used: the protocol's samples or, if a phase may use more, its recorded episodes."""
    if run.spec.steady:
        yield from repeat(run.spec.protocol.samples)
    counted = Counter(phase for batch in run.read("episodes") for phase in batch["phase"].to_pylist())
    yield from (counted[phase] for phase in count())


def _wrong_outcome(phase: int, versions: Sequence[int], before: Sequence[int], protocol: Protocol) -> Difference | None:
    """The first actor of an asynchronous run whose version is impossible.

    Possible versions exist already, are no older than the queue allows, and no older than the actor's last version.
    """
    if len(versions) != protocol.actors:
        return Difference("phases", {"phase": phase}, "versions", len(versions), protocol.actors, "specified")
    for actor, version in enumerate(versions):
        oldest = max(0, phase - protocol.lag, before[actor])
        if not oldest <= version <= phase:
            possible = f"{oldest} to {phase}"
            return Difference("phases", {"phase": phase}, f"versions[{actor}]", version, possible, "possible")
    return None
