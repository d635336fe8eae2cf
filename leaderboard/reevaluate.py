"""A policy played again, on seeds that nobody could know when it was submitted."""

from __future__ import annotations

import math

from lagbench import LagbenchError, UsageError, evaluate, records
from lagbench.leaderboard import draws
from lagbench.leaderboard.former import SubmittedRun
from lagbench.leaderboard.verification import REEVALUATION, Check, Reevaluation, claimed, has_policy, line


def reevaluate(
    submitted: SubmittedRun, submission: str, nonce: str, episodes: int, threads: int = 0
) -> tuple[Check, Reevaluation | None]:
    """Play a run's policy, as its scored evaluations did, on ``episodes`` fresh seeds, see ``draws``; None where not.

    It is not played where the run diverged, whose final scores as the random policy's whatever a file holds; nor where
    it comes without a policy, as large models do, or with one that cannot be played here or at all.

    Args:
        submitted: a run of a valid submission.
        submission: SHA-256 of the submission.
        nonce: see ``draws``.
        episodes: how many, at least one.
        threads: EnvPool's; they change no return.
    """
    run, name = submitted.run, submitted.name
    if not records.final.expected(run):
        return Check(name, REEVALUATION, "skipped", "it diverged: its final scores as random"), None
    if not has_policy(submitted):
        return Check(name, REEVALUATION, "skipped", "it comes without its policy: it is rescored only"), None
    seeds = draws.seeds(submission, nonce, name, episodes)
    try:
        played = evaluate(run, seeds, threads=threads)
    except UsageError as error:
        return Check(name, REEVALUATION, "skipped", line(str(error))), None
    except LagbenchError as error:
        return Check(name, REEVALUATION, "failed", line(str(error))), None
    returns = tuple(one.episode_return for one in played)
    if not all(map(math.isfinite, returns)):
        return Check(name, REEVALUATION, "failed", "its policy chose actions whose returns are no numbers"), None
    spec = run.spec
    found = Reevaluation(
        run=name,
        task=spec.task,
        lag=spec.protocol.lag,
        updates=spec.protocol.updates,
        seed=spec.seed,
        claimed=claimed(submitted),
        seeds=seeds,
        returns=returns,
    )
    return Check(name, REEVALUATION, "ok", _said(found)), found


def _said(found: Reevaluation) -> str:
    apart = "" if found.z is None else f", {found.z:+.1f} standard errors"
    flag = ": FLAGGED" if found.flagged else ""
    return f"{found.mean:.6g} over {len(found.seeds)} episodes, claimed {found.claimed.mean:.6g}{apart}{flag}"
