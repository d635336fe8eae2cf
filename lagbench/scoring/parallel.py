"""Bootstraps in several processes: what comes out is the same with however many."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TypeVar

from lagbench.scoring.normalize import Scores

T = TypeVar("T", bound=Hashable)
Progress = Callable[[int, int], object]
Work = Callable[[Scores, Any, int, Callable[[], None]], Any]
"""Scores, one of the tasks, replications, and what to call at each of them → whatever; a function of a module."""
_TICK = 50
_STOP = -1


def run(
    work: Work, scores: Scores, tasks: Sequence[T], replications: int, jobs: int, progress: Progress
) -> Mapping[T, Any]:
    """Task → what ``work`` makes of it. ``progress`` is told how many replications of how many are done."""
    total = len(tasks) * replications
    if jobs == 1 or len(tasks) == 1:
        done = 0

        def tick() -> None:
            nonlocal done
            done += 1
            if done % _TICK == 0:
                progress(min(done, total), total)

        return {task: work(scores, task, replications, tick) for task in tasks}
    with _pool(min(jobs, len(tasks))) as (pool, counter):
        futures: dict[Future[Any], T] = {
            pool.submit(_in_worker, work, scores, task, replications): task for task in tasks
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


def _in_worker(work: Work, scores: Scores, task: Any, replications: int) -> Any:
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if done % _TICK == 0:
            with _counter.get_lock():
                if _counter.value == _STOP:
                    raise _StoppedError
                _counter.value += _TICK

    return work(scores, task, replications, tick)
