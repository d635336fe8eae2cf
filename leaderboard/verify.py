"""``verify``: a submission's episodes stepped again, and its policies played anew."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lagbench import ReplayReport, UsageError, machine, records, replay
from lagbench.leaderboard import draws
from lagbench.leaderboard.former import Submission, SubmittedRun
from lagbench.leaderboard.reevaluate import reevaluate
from lagbench.leaderboard.verification import POLICY, Check, Reevaluation, Verification, has_policy, line

EPISODES = 30
"""Fresh ones a policy."""
LEAST = 2
"""Of which a standard deviation can be had."""
Progress = Callable[[int, int], object]
"""Told how many runs of how many are done."""


@dataclass(frozen=True)
class _Found:
    """What was found in one run."""

    checks: tuple[Check, ...]
    reevaluation: Reevaluation | None
    exact: bool
    tolerance: dict[str, float]


def verify(
    submission: Submission,
    *,
    episodes: int = EPISODES,
    sample: int | None = None,
    nonce: str | None = None,
    threads: int = 0,
    jobs: int = 1,
    progress: Progress = lambda done, total: None,
) -> Verification:
    """Replay and re-evaluate every run of a submission, which must be valid (``validate``); nothing is written.

    Replay: the record of each run is held to itself, the episodes of its final evaluation are stepped again, or graded
    again, and their actions recomputed from the policy (``lagbench.replay``). Bit for bit; where a run was recorded
    with another EnvPool, CPU or platform, simulations that come out otherwise are held to a tolerance. Re-evaluation:
    each policy plays fresh episodes (``reevaluate``). Whatever fails, the rest is done.

    Args:
        submission: as ``validate`` gives it.
        episodes: fresh ones a policy, at least two.
        sample: how many episodes of each final evaluation to replay, drawn; None for all.
        nonce: see ``draws``; a new one unless it is given, to draw again what a report has.
        threads: EnvPool's, 0 for one a core, shared by the jobs. They change nothing that is found.
        jobs: runs at a time, each in a process. They change nothing that is found.
        progress: is told how many runs of how many are done.

    Raises UsageError for arguments that cannot be.
    """
    if episodes < LEAST:
        raise UsageError(f"a mean of {episodes} episodes has no standard error; play at least {LEAST}")
    if sample is not None and sample < 1:
        raise UsageError(f"a sample of {sample} episodes shows nothing; take at least 1")
    nonce = draws.nonce() if nonce is None else draws.check_nonce(nonce)
    runs = submission.runs()
    share = threads or max(1, machine.cores() // jobs)
    work = partial(_run, sha256=submission.sha256, nonce=nonce, episodes=episodes, sample=sample, threads=share)
    found = []
    for one in _each(work, [(run.name, run.path) for run in runs], jobs):
        found.append(one)
        progress(len(found), len(runs))
    return Verification(
        submission=submission.sha256,
        nonce=nonce,
        episodes=episodes,
        sample=sample,
        exact=all(one.exact for one in found),
        checks=tuple(check for one in found for check in one.checks),
        reevaluated=tuple(one.reevaluation for one in found if one.reevaluation is not None),
        tolerance={name: value for one in found for name, value in one.tolerance.items()},
        environment=records.environment.here(),
    )


def _each(work: Callable[[tuple[str, Path]], _Found], runs: list[tuple[str, Path]], jobs: int) -> Iterator[_Found]:
    """What is found in each run, in their order."""
    if jobs == 1:
        yield from map(work, runs)
        return
    # Not forked: torch's and Arrow's threads would not be.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(runs)), mp_context=context, initializer=_begin) as pool:
        try:
            yield from pool.map(work, runs)
        finally:
            pool.shutdown(cancel_futures=True)


def _begin() -> None:
    # An interrupt goes to every process of the terminal; the one that started this one sees to it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run(
    named: tuple[str, Path], *, sha256: str, nonce: str, episodes: int, sample: int | None, threads: int
) -> _Found:
    submitted = SubmittedRun(*named)
    report = _replayed(submitted, sha256, nonce, sample, threads)
    checks = [Check(submitted.name, one.name, one.outcome, line(one.message)) for one in report.checks]
    if records.final.expected(submitted.run) and not has_policy(submitted):
        absent = Check(submitted.name, POLICY, "skipped", "it comes without its policy")
        checks = [absent if check.name == POLICY else check for check in checks]
    check, again = reevaluate(submitted, sha256, nonce, episodes, threads)
    return _Found((*checks, check), again, report.exact, dict(report.tolerance))


def _replayed(submitted: SubmittedRun, sha256: str, nonce: str, sample: int | None, threads: int) -> ReplayReport:
    final: list[Any] = submitted.final_episodes()
    if sample is not None:
        final = [final[j] for j in draws.episodes(sha256, nonce, submitted.name, len(final), sample)]
    return replay(submitted.run, episodes=final, exact=False, threads=threads)
