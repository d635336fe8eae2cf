"""What a run's specification and seed decide: which versions acted, what was evaluated when, how much was updated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lagbench import Run, records
from lagbench.leaderboard import layout
from lagbench.leaderboard.findings import Problem
from lagbench.leaderboard.text import shown


def draws(run: Run, place: str) -> Iterator[Problem]:
    """The phases in which an actor held another version than the run's seed draws."""
    for difference in records.consistency.wrong_draws(run):
        yield of("staleness draws", f"{place}/{layout.table('phases')}", difference)


def evaluations(run: Run, place: str, phases: int) -> Iterator[Problem]:
    """The evaluation episodes that are not those that the suite plans, with its seeds."""
    for difference in records.consistency.wrong_evaluations(run, phases):
        yield of("evaluation plan", f"{place}/{layout.table('evaluations')}", difference)


def updates(run: Run, phases: Any, place: str) -> Iterator[Problem]:
    """The phases with more updates than the protocol allows."""
    own = run.spec.config.get("updates")
    cap = run.spec.protocol.update_cap(own if isinstance(own, int) else None)
    for row, made in enumerate(phases.column("updates").to_pylist()):
        if not 0 <= made <= cap:
            yield Problem("updates", f"{place}/{layout.table('phases')}", row, f"{made:,} updates, of {cap:,} allowed")


def of(check: str, file: str, difference: Any) -> Problem:
    """A difference of the records as a problem."""
    recorded, expected = shown(difference.recorded), shown(difference.expected)
    message = f"{difference.column} is {recorded}, {difference.by} {expected}"
    return Problem(check, file, difference.row, message)
