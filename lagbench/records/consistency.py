"""Whether a run's tables agree with its specification and with one another. Nothing is stepped."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from lagbench.lag.staleness import draw
from lagbench.records.findings import Difference
from lagbench.records.reader import Run
from lagbench.seeding import evaluation_seeds

_PLANNED = ("evaluation", "fractions", "version", "budget_used", "mode", "episode", "seed")


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
