"""Replay: a run's episodes stepped again, its actions and draws recomputed, and compared with the record."""

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
from lagbench.records.replaying import Replayed, Replayer, counted
from lagbench.records.schema import left_out
from lagbench.registry import load
from lagbench.settings import own_settings
from lagbench.spec import RunSpec

HASH, PLAN, DRAWS, VERSIONS, SUMS, POLICY = (
    "content hash",
    "evaluation plan",
    "staleness draws",
    "behaviour versions",
    "episode sums",
    "policy",
)
_OF_ALL = (HASH, PLAN, DRAWS, VERSIONS, SUMS)
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
        action_difference: the largest difference of a recorded and a recomputed action; None without any.
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


def checks(spec: RunSpec) -> tuple[str, ...]:
    """The names of the checks of a replay, in order; ``training`` adds one."""
    replayer: type[Replayer] = load(spec.domain.replayer)
    return (*_OF_ALL, replayer.evaluations_check, POLICY)


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
    return _Replay(run, _chosen(run, where), threads, progress, training, exact).report()


class _Replay:
    """One replay: the checks one after the other, and what they count."""

    def __init__(
        self, run: Run, chosen: Sequence[Any], threads: int, progress: Progress, training: bool, exact: bool
    ) -> None:
        self._run = run
        self._phases = run.phases.count_rows()
        self._training = training
        self._chosen = chosen
        self._checks: list[ReplayCheck] = []
        self._done = 0
        self._total = sum(e.length for e in self._chosen) + (run.trajectories.count_rows() if training else 0)
        self._progress = progress
        replayer: type[Replayer] = load(run.spec.domain.replayer)
        self._replayer = replayer(run, self._chosen, self._phases, threads, self._told, exact=exact)

    def report(self) -> ReplayReport:
        run, no_rows = self._run, _no_transitions(self._run)
        finished = run.result is not None
        self._check(
            HASH,
            lambda: next(consistency.wrong_hashes(run), None),
            "every value is as it was recorded",
            None if finished else "an unfinished run has none; the checksums of its shards match",
        )
        self._check(
            PLAN,
            lambda: next(consistency.wrong_evaluations(run, self._phases), None),
            "seeds, versions and fractions are those of the specification",
        )
        self._check(
            DRAWS,
            lambda: next(consistency.wrong_draws(run), None),
            f"the versions held in {counted(self._phases, 'phase')} are "
            + ("possible for asynchronous processes" if run.spec.is_asynchronous else "those of the run's seed"),
        )
        self._check(
            VERSIONS,
            self._replayer.wrong_version,
            "every transition has the version that its actor held",
            no_rows,
        )
        self._check(
            SUMS,
            self._replayer.wrong_episode,
            "returns and lengths are those of the transitions",
            no_rows,
        )
        evaluated = self._replayed(self._replayer.evaluations_check, self._replayer.evaluations())
        actions, largest = self._check_policy(_final(run, self._chosen, self._phases))
        trained = Replayed(0, 0, None, "")
        if self._training:
            trained = self._replayed(self._replayer.training_check, self._replayer.training())
        return ReplayReport(
            path=run.path,
            status=run.status,
            checks=tuple(self._checks),
            episodes=evaluated.episodes,
            steps=evaluated.steps,
            training_episodes=trained.episodes,
            training_steps=trained.steps,
            actions=actions,
            action_difference=largest,
            exact=evaluated.exact,
            tolerance=self._replayer.tolerance,
            notes=(*self._replayer.notes(), *_notes(run, self._phases)),
        )

    def _check(
        self, name: str, find: Callable[[], Difference | None], message: str, skipped: str | None = None
    ) -> None:
        if skipped is not None:
            self._checks.append(ReplayCheck(name, "skipped", skipped))
        else:
            self._checks.append(ReplayCheck.of(name, find(), message))

    def _replayed(self, name: str, replayed: Replayed) -> Replayed:
        check = ReplayCheck.of(name, replayed.difference, replayed.message)
        self._checks.append(ReplayCheck(name, "skipped", replayed.message) if replayed.skipped else check)
        return replayed

    def _check_policy(self, final: Sequence[int]) -> tuple[int, float | None]:
        """Recompute what the policy file chooses in the final evaluation; how much, and the largest difference."""
        if not final:
            self._checks.append(ReplayCheck(POLICY, "skipped", _no_final(self._run)))
            return 0, None
        try:
            recomputed = self._replayer.policy(final)
        except RecordError as error:
            self._checks.append(ReplayCheck(POLICY, "failed", str(error)))
            return 0, None
        self._checks.append(recomputed.check)
        return recomputed.actions, recomputed.largest

    def _told(self, steps: int) -> None:
        self._done += steps
        self._progress(self._done, self._total)


def _chosen(run: Run, where: Any) -> list[Any]:
    episodes = list(run.evaluation_episodes())
    if where is None:
        return episodes
    names = ["evaluation", "mode", "episode"]
    rows = run.evaluations.to_table(columns=names, filter=where).to_pylist()
    keys = {tuple(row[name] for name in names) for row in rows}
    return [e for e in episodes if (e.evaluation, e.mode, e.episode) in keys]


def _final(run: Run, episodes: Sequence[Any], phases: int) -> list[int]:
    """The indices of the episodes that the policy in the policy file played."""
    if run.status not in ("completed", "failed"):
        return []
    return [i for i, e in enumerate(episodes) if e.version == phases]


def _no_transitions(run: Run) -> str | None:
    """Why there is no row of ``trajectories`` to look at; None where there are."""
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
