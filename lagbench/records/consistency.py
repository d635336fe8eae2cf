"""Consistency of a run's tables with its specification and with each other, without simulation.

Each function yields every difference, in the order of the rows; the first is all that most want.
"""

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


def wrong_hashes(run: Run) -> Iterator[Difference]:
    """The tables whose values are not those that a finished run recorded."""
    assert run.result is not None
    for table, digest in run.content_hash().items():
        recorded = run.result["content_hash"].get(table)
        if digest != recorded:
            yield Difference(table, {}, "content hash", str(recorded), digest, "recomputed")


def wrong_evaluations(run: Run, phases: int) -> Iterator[Difference]:
    """The evaluation episodes that are not those that the specification plans there, with their seeds."""
    rows = (row for batch in run.read("evaluations") for row in batch.select(_PLANNED).to_pylist())
    for number, (recorded, planned) in enumerate(zip_longest(rows, _planned(run, phases))):
        if recorded is None or planned is None:
            there, wanted = ("missing", "recorded") if recorded is None else ("recorded", "none")
            where = _evaluation(planned or recorded or {})
            yield Difference("evaluations", where, "row", there, wanted, "specified", number)
            continue
        for name in _PLANNED:
            if recorded[name] != planned[name]:
                where = _evaluation(recorded)
                yield Difference("evaluations", where, name, recorded[name], planned[name], "specified", number)


def _evaluation(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("evaluation", "mode", "episode")}


def _planned(run: Run, phases: int) -> Iterator[dict[str, Any]]:
    """The evaluation episodes that a run of so many phases has."""
    spec = run.spec
    used = [0, *accumulate(islice(_spent(run), phases))]
    due = spec.evaluations(used)
    # The phase in which a run diverged leaves no version to evaluate; before the first phase there is no record.
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


def wrong_draws(run: Run) -> Iterator[Difference]:
    """The phases that are not the specification's, or in which an actor held another version than the seed gives it."""
    spec, protocol = run.spec, run.spec.protocol
    rows = (
        row for batch in run.read("phases") for row in batch.select(["phase", "budget_used", "versions"]).to_pylist()
    )
    phases, used, spent = 0, 0, _spent(run)
    held = [0] * protocol.actors
    for number, row in enumerate(rows):
        if spec.over(used):
            yield Difference("phases", {"phase": row["phase"]}, "row", "recorded", "none", "specified", number)
            continue
        phases, used = number + 1, used + next(spent)
        where = {"phase": number}
        expected = {"phase": number, "budget_used": used}
        for name, value in expected.items():
            if row[name] != value:
                yield Difference("phases", where, name, row[name], value, "specified", number)
        if spec.is_asynchronous:
            yield from _wrong_outcome(number, row["versions"] or [], held, protocol)
            held = row["versions"] or held
            continue
        drawn = draw(protocol, run.spec.seed, number).tolist()
        for actor, (recorded, wanted) in enumerate(zip_longest(row["versions"] or [], drawn)):
            if recorded != wanted:
                yield Difference("phases", where, f"versions[{actor}]", recorded, wanted, "drawn", number)
    while run.status == "completed" and not spec.over(used):
        yield Difference("phases", {"phase": phases}, "row", "missing", "recorded", "specified", phases)
        phases, used = phases + 1, used + protocol.samples


def _spent(run: Run) -> Iterator[int]:
    """What each phase took of the budget: as the protocol says, or where it may take more, one a recorded episode."""
    if run.spec.steady:
        yield from repeat(run.spec.protocol.samples)
    counted = Counter(phase for batch in run.read("episodes") for phase in batch["phase"].to_pylist())
    yield from (counted[phase] for phase in count())


def _wrong_outcome(
    phase: int, versions: Sequence[int], before: Sequence[int], protocol: Protocol
) -> Iterator[Difference]:
    """The actors whose version none of an asynchronous run's processes could hold.

    It is one that there was, no older than the queue allows, and no older than what the actor held before.
    """
    if len(versions) != protocol.actors:
        yield Difference("phases", {"phase": phase}, "versions", len(versions), protocol.actors, "specified", phase)
        return
    for actor, version in enumerate(versions):
        oldest = max(0, phase - protocol.lag, before[actor])
        if not oldest <= version <= phase:
            yield Difference(
                "phases", {"phase": phase}, f"versions[{actor}]", version, f"{oldest} to {phase}", "possible", phase
            )
