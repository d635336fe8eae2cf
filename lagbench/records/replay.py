"""Replay: step a run's episodes again, recompute its actions and draws, and compare them with the record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lagbench.errors import RecordError
from lagbench.records import consistency
from lagbench.records.files import finite
from lagbench.records.findings import Difference, ReplayCheck
from lagbench.records.reader import Run
from lagbench.records.replaying import Recomputed, Replayed, Replayer, counted
from lagbench.records.schema import left_out
from lagbench.registry import load
from lagbench.settings import own_settings

_POLICY = "policy"
Progress = Callable[[int, int], None]
"""Called with the number of steps done and in total."""


@dataclass(frozen=True)
class ReplayReport:
    """The result of a replay.

    Attributes:
        path: the run.
        status: its status.
        checks: in order.
        episodes: number of evaluation episodes replayed.
        steps: number of their steps; on language tokens.
        training_episodes: number of training episodes replayed to their end.
        training_steps: number of training steps replayed, including unfinished episodes.
        actions: number of actions recomputed from the policy file.
        action_difference: the largest difference of a recorded and a recomputed action; None if none was recomputed.
        exact: whether everything was reproduced bit for bit; otherwise some only within a tolerance.
        tolerance: allowed differences from the record, by quantity: ``action``, or ``logit`` of a token;
            ``elsewhere_reward`` for rewards simulated on another machine, over the first ``elsewhere_steps`` of each
            episode.
        notes: remarks, one sentence each.
    """

    path: Path
    status: str
    checks: tuple[ReplayCheck, ...]
    episodes: int
    steps: int
    training_episodes: int
    training_steps: int
    actions: int
    action_difference: float | None
    exact: bool
    tolerance: Mapping[str, float]
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(check.outcome != "failed" for check in self.checks)

    @property
    def difference(self) -> Difference | None:
        """The first difference of the first failed check; None if none failed."""
        return next((check.difference for check in self.checks if check.difference is not None), None)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dictionary."""
        checks = [
            {**vars(check), "difference": check.difference.to_json() if check.difference else None}
            for check in self.checks
        ]
        own = {"path": str(self.path), "passed": self.passed, "checks": checks, "tolerance": dict(self.tolerance)}
        report: dict[str, Any] = finite({**vars(self), **own})
        return report


@own_settings()
def replay(
    run: Run,
    *,
    training: bool = False,
    where: Any = None,
    exact: bool = True,
    threads: int = 0,
    progress: Progress = lambda done, total: None,
) -> ReplayReport:
    """Verify a run's record by replaying it; nothing is written.

    Checks the content hashes; the evaluations against the plan of the specification, including seeds; the actors'
    versions against the run's seed, and those of the transitions against them; and the sums of ``episodes`` against the
    transitions. On control every evaluation episode is stepped again in EnvPool, and each observation, reward and flag
    is compared bit for bit; on language every completion is graded again, from the record alone. The actions of the
    final evaluation are recomputed from the policy file.

    Args:
        run: finished or not; for an unfinished run, its committed phases.
        training: also replay the training episodes.
        where: a pyarrow expression over the columns of ``evaluations``; only those episodes are replayed.
        exact: require bit-identical simulations. Otherwise those of another EnvPool, CPU or platform may differ within
            a tolerance: see ``ReplayReport.tolerance``.
        threads: EnvPool threads, 0 for one per core. They do not affect results.
        progress: called with the number of steps done and in total.

    Returns:
        The checks, with the first difference of each failed one.

    Raises:
        RecordError: the run cannot be read, or it has no training episodes to replay.
    """
    if training and run.spec.record != "trajectories":
        raise RecordError(
            f"{run.path} has no training episodes to replay: it was run with --record episodes; leave out --training"
        )
    phases, chosen, done = run.phases.count_rows(), _chosen(run, where), 0
    total = sum(e.length for e in chosen) + (run.trajectories.count_rows() if training else 0)

    def told(steps: int) -> None:
        nonlocal done
        done += steps
        progress(done, total)

    replayer: Replayer = load(run.spec.domain.replayer)(run, chosen, phases, threads, told, exact=exact)
    unfinished = None if run.result else "an unfinished run has none; the checksums of its shards match"
    no_rows = _no_transitions(run)
    held = "possible for asynchronous processes" if run.spec.is_asynchronous else "those of the run's seed"
    checks = [
        _check("content hash", lambda: consistency.wrong_hash(run), "every value is as it was recorded", unfinished),
        _check(
            "evaluation plan",
            lambda: consistency.wrong_evaluation(run, phases),
            "seeds, versions and fractions are those of the specification",
        ),
        _check(
            "staleness draws",
            lambda: consistency.wrong_draw(run),
            f"the versions held in {counted(phases, 'phase')} are {held}",
        ),
        _check(
            "behaviour versions",
            replayer.wrong_version,
            "every transition has the version that its actor held",
            no_rows,
        ),
        _check("episode sums", replayer.wrong_episode, "returns and lengths are those of the transitions", no_rows),
    ]
    evaluated, trained = replayer.evaluations(), Replayed(0, 0, None, "")
    checks.append(_gone_through(replayer.evaluations_check, evaluated))
    recomputed = _recomputed(run, replayer, chosen, phases)
    checks.append(recomputed.check)
    if training:
        trained = replayer.training()
        checks.append(_gone_through(replayer.training_check, trained))
    return ReplayReport(
        path=run.path,
        status=run.status,
        checks=tuple(checks),
        episodes=evaluated.episodes,
        steps=evaluated.steps,
        training_episodes=trained.episodes,
        training_steps=trained.steps,
        actions=recomputed.actions,
        action_difference=recomputed.largest,
        exact=evaluated.exact,
        tolerance=replayer.tolerance,
        notes=(*replayer.notes(), *_notes(run, phases)),
    )


def _check(name: str, find: Callable[[], Difference | None], message: str, skipped: str | None = None) -> ReplayCheck:
    return ReplayCheck(name, "skipped", skipped) if skipped else ReplayCheck.of(name, find(), message)


def _gone_through(name: str, replayed: Replayed) -> ReplayCheck:
    if replayed.skipped:
        return ReplayCheck(name, "skipped", replayed.message)
    return ReplayCheck.of(name, replayed.difference, replayed.message)


def _recomputed(run: Run, replayer: Replayer, chosen: Sequence[Any], phases: int) -> Recomputed:
    """Recompute the actions of the final evaluation from the policy file."""
    # The episodes that the policy in the file played.
    final = [i for i, e in enumerate(chosen) if e.version == phases] if run.status in ("completed", "failed") else []
    if not final:
        return Recomputed(0, None, ReplayCheck(_POLICY, "skipped", _no_final(run)))
    try:
        return replayer.policy(final)
    except RecordError as error:
        return Recomputed(0, None, ReplayCheck(_POLICY, "failed", str(error)))


def _chosen(run: Run, where: Any) -> list[Any]:
    episodes = list(run.evaluation_episodes())
    if where is None:
        return episodes
    names = ["evaluation", "mode", "episode"]
    rows = run.evaluations.to_table(columns=names, filter=where).to_pylist()
    keys = {tuple(row[name] for name in names) for row in rows}
    return [e for e in episodes if (e.evaluation, e.mode, e.episode) in keys]


def _no_transitions(run: Run) -> str | None:
    """Why there are no rows of ``trajectories`` to check, or None."""
    if run.spec.record != "trajectories":
        return "the run recorded no transitions"
    return "this copy has no transitions" if left_out(run.schema("trajectories")) else None


def _no_final(run: Run) -> str:
    if run.result is None:
        return "the run is not finished and has no policy file yet"
    if run.status == "diverged":
        return "the run diverged: its last policy was not evaluated"
    return "no evaluation of the last policy is among the episodes"


def _notes(run: Run, phases: int) -> list[str]:
    if run.result is not None:
        return []
    return [f"it is not finished: {phases} of {run.spec.phases} phases were committed and checked"]
