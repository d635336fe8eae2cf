"""A table of runs → results: the numbers of every entry, and of every entry against every other."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

from lagbench.scoring import coverage, differences, estimates, grid, normalize
from lagbench.scoring.normalize import Scores
from lagbench.scoring.results import Comparison, Line, Results

TERMINAL_REPLICATIONS = 2_000
REPORT_REPLICATIONS = 50_000
Progress = Callable[[int, int], object]
_TICK = 50
_STOP = -1


def score(
    table: Any,
    *,
    by: Sequence[str] = (),
    replications: int = TERMINAL_REPLICATIONS,
    jobs: int = 1,
    progress: Progress = lambda done, total: None,
) -> Results:
    """Score the runs of a table (``table.collect``): equal tables give equal results, whatever ``jobs``.

    Args:
        table: one row a run.
        by: hyperparameters that split an algorithm into lines.
        replications: of the bootstrap.
        jobs: processes.
        progress: told how many replications of how many are done.

    Raises UsageError and LagbenchError as ``grid.read``.
    """
    found = grid.read(table, by)
    return score_grid(Scores(found, normalize.scales(found)), replications=replications, jobs=jobs, progress=progress)


def score_grid(
    scores: Scores,
    *,
    replications: int = TERMINAL_REPLICATIONS,
    jobs: int = 1,
    progress: Progress = lambda done, total: None,
) -> Results:
    """The results of scores that are normalised already. See ``score``."""
    found = scores.grid
    fewest = min(len(own) for entry in found.entries for own in entry.runs.values())
    several = len(found.entries) > 1
    # The longest first.
    tasks: list[int | None] = [*([None] if several else []), *range(len(found.entries))]
    done = _run(scores, tasks, replications, jobs, progress)
    pairs: tuple[Comparison, ...] = done.get(None, ())
    lines: list[Line] = [done[i] for i in range(len(found.entries))]
    return Results(
        suite=found.suite,
        axis=found.axis,
        forward=found.forward,
        values=found.values,
        tasks=found.tasks,
        seeds=found.seeds,
        normalized=scores.scales is not None,
        scales={task: (scale.random, scale.reference) for task, scale in (scores.scales or {}).items()},
        lines=differences.ranked(lines, pairs),
        comparisons=pairs,
        replications=replications,
        coverage=coverage.note(fewest, len(found.tasks)),
        coverage_by_task=coverage.note(fewest, 1),
        notes=(*found.notes, *_notes(scores)),
    )


def _notes(scores: Scores) -> list[str]:
    notes = []
    if scores.scales is None:
        why = "the runs are of no suite" if scores.grid.suite is None else f"{scores.grid.suite.name} has no references"
        notes.append(
            f"{why}, so that returns are not normalised: there are returns by task, and nothing over several tasks but "
            "the probability of improvement"
        )
        diverged = sum(run.diverged for entry in scores.grid.entries for own in entry.runs.values() for run in own)
        if diverged:
            notes.append(
                f"{diverged} run{'s' * (diverged > 1)} diverged, which score as the random policy; what that is is not "
                "known, so that their tasks have no score"
            )
    return notes


def _one(scores: Scores, task: int | None, replications: int, tick: Callable[[], object]) -> Any:
    """One piece of the work, the same wherever it is done."""
    if task is None:
        return differences.comparisons(scores, replications, tick)
    return estimates.line(scores, scores.grid.entries[task], replications, tick)


def _run(
    scores: Scores, tasks: Sequence[int | None], replications: int, jobs: int, progress: Progress
) -> Mapping[int | None, Any]:
    total = len(tasks) * replications
    if jobs == 1 or len(tasks) == 1:
        done = 0

        def tick() -> None:
            nonlocal done
            done += 1
            if done % _TICK == 0:
                progress(min(done, total), total)

        return {task: _one(scores, task, replications, tick) for task in tasks}
    with _pool(min(jobs, len(tasks))) as (pool, counter):
        futures: dict[Future[Any], int | None] = {
            pool.submit(_in_worker, scores, task, replications): task for task in tasks
        }
        pending = set(futures)
        while pending:
            finished, pending = wait(pending, timeout=0.2)
            progress(min(counter.value, total), total)
            for future in finished:
                future.result()  # its error now, not when all are done
        return {task: future.result() for future, task in futures.items()}


@contextmanager
def _pool(jobs: int) -> Iterator[tuple[ProcessPoolExecutor, Any]]:
    # Not forked: torch's and Arrow's threads would not be.
    context = multiprocessing.get_context("spawn")
    counter = context.Value("q", 0)
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin, initargs=(counter,))
    try:
        yield pool, counter
    finally:
        # Nobody waits for what is under way where an error or an interrupt ended this.
        with counter.get_lock():
            counter.value = _STOP
        pool.shutdown(cancel_futures=True)


_counter: Any = None


class _StoppedError(Exception):
    """Nobody wants the result any more."""


def _begin(counter: Any) -> None:
    global _counter
    _counter = counter
    # An interrupt goes to every process of the terminal; the one that started this one sees to it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _in_worker(scores: Scores, task: int | None, replications: int) -> Any:
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if done % _TICK == 0:
            with _counter.get_lock():
                if _counter.value == _STOP:
                    raise _StoppedError
                _counter.value += _TICK

    return _one(scores, task, replications, tick)
