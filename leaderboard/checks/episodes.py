"""The final evaluation's episodes: those of ``evaluations``, and what their returns follow from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from lagbench import Run, records, shapes
from lagbench.leaderboard import layout
from lagbench.leaderboard.checks.plans import of
from lagbench.leaderboard.findings import Problem
from lagbench.leaderboard.text import shown

FINAL, RETURNS = "final episodes", "returns"


def final(run: Run, found: Mapping[str, Any], place: str) -> Iterator[Problem]:
    """Where final.arrow and the rows of ``evaluations`` that it stands for are not alike, in what both have."""
    evaluations, own = found["evaluations"], found[records.final.TABLE]
    there = evaluations.filter(records.final.is_final(evaluations, run))
    file, shared = f"{place}/{layout.FINAL}", min(len(own), len(there))
    for row in range(len(own), len(there)):
        yield Problem(FINAL, file, row, "the row is missing")
    for row in range(len(there), len(own)):
        yield Problem(FINAL, file, row, "evaluations has no such row")
    for name in own.schema.names:
        if name not in there.schema.names:
            continue
        ours, theirs = own[name].slice(0, shared), there[name].slice(0, shared)
        # Row by row only where that is needed: a list may be long.
        for row in range(0 if ours.equals(theirs) else shared):
            if not ours[row].equals(theirs[row]):
                said = f"{shown(ours[row].as_py())}, in evaluations {shown(theirs[row].as_py())}"
                yield Problem(FINAL, file, row, f"{name} is {said}")


def returns(run: Run, found: Mapping[str, Any], place: str) -> Iterator[Problem]:
    """Where a final episode's row does not follow from its steps, or it begins otherwise than planned."""
    kind = records.kind.kind_of(run.spec)
    file = f"{place}/{layout.FINAL}"
    for row, episode in enumerate(kind.evaluation_episodes(found[records.final.TABLE].to_batches())):
        for difference in (*kind.wrong_episode(episode), *kind.wrong_start(episode, shapes.task(run.spec))):
            yield of(RETURNS, file, _at(difference, row))


def ends(run: Run, evaluations: Any, place: str) -> Iterator[Problem]:
    """The evaluation episodes whose length and flags no episode of the task has."""
    longest = shapes.longest_episode(run.spec)
    columns = evaluations.select(["length", "terminated", "truncated"]).to_pydict()
    for row, (length, terminated, truncated) in enumerate(zip(*columns.values(), strict=True)):
        if fault := _end_fault(length, terminated, truncated, longest):
            yield Problem(RETURNS, f"{place}/{layout.table('evaluations')}", row, fault)


def _end_fault(length: int, terminated: bool, truncated: bool, longest: int) -> str | None:
    if not 1 <= length <= longest:
        return f"length is {length:,}, and an episode has 1 to {longest:,} steps"
    if terminated == truncated:
        return f"terminated and truncated are both {str(terminated).lower()}, and an episode ends in one way"
    if truncated and length != longest:
        return f"truncated after {length:,} steps, and an episode is cut after {longest:,}"
    return None


def _at(difference: Any, row: int) -> Any:
    return dataclasses.replace(difference, row=row)
