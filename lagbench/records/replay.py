"""A run held to itself: its episodes stepped again, its actions recomputed, its draws drawn again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lagbench.errors import RecordError
from lagbench.policies.gaussian import StackedActors
from lagbench.records import consistency, environment
from lagbench.records.episodes import EvaluationEpisode
from lagbench.records.files import finite
from lagbench.records.findings import Check, Difference
from lagbench.records.reader import Run
from lagbench.records.stepping import Stepped, step_evaluations, step_training
from lagbench.tasks.mujoco import ControlTask
from lagbench.tasks.spec import load_task

ACTION_TOLERANCE = 1e-4
"""How far a recorded action may be from the recomputed one: other CPUs round otherwise."""

Progress = Callable[[int, int], None]
"""Told how many steps of how many have been made."""


@dataclass(frozen=True)
class ReplayReport:
    """What a replay found.

    Attributes:
        path: the run.
        status: its status.
        checks: in the order in which they were made.
        episodes: evaluation episodes that were stepped again.
        steps: and their steps.
        training_episodes: training episodes that were stepped to their end.
        training_steps: steps of training episodes, open ones included.
        actions: actions that were recomputed from the policy file.
        action_difference: the largest distance of a recorded action from the recomputed one; None without any.
        notes: sentences on what to bear in mind.
    """

    path: Path
    status: str
    checks: tuple[Check, ...]
    episodes: int
    steps: int
    training_episodes: int
    training_steps: int
    actions: int
    action_difference: float | None
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(check.outcome != "failed" for check in self.checks)

    @property
    def difference(self) -> Difference | None:
        """The first difference of the first check that failed; None where none did."""
        return next((check.difference for check in self.checks if check.difference is not None), None)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dictionary."""
        checks = [
            {**vars(check), "difference": check.difference.to_json() if check.difference else None}
            for check in self.checks
        ]
        report: dict[str, Any] = finite({**vars(self), "path": str(self.path), "passed": self.passed, "checks": checks})
        return report


def replay(
    run: Run,
    *,
    training: bool = False,
    where: Any = None,
    threads: int = 0,
    progress: Progress = lambda done, total: None,
) -> ReplayReport:
    """Hold a run to its own record; nothing is written.

    Always: the content hashes; the evaluations against the plan of the specification, seeds included; the versions that
    the actors held against the run's seed, and those of the transitions against them; the sums of ``episodes`` against
    the transitions. Then every evaluation episode is stepped again in EnvPool, and each observation, reward and flag is
    compared bit for bit; the actions of the final evaluation's mode are recomputed from the policy file.

    Args:
        run: finished or not; of a run that is not, what it has committed.
        training: step the training episodes again too.
        where: a pyarrow expression over the columns of ``evaluations``; only those episodes are stepped again.
        threads: EnvPool's; 0 for one a core. They change no result.
        progress: is told how many steps of how many have been made.

    Raises:
        RecordError: the run cannot be read or is of no control task, or it has no training episodes to step.
    """
    task = load_task(run.spec.task, run.spec.task_options)
    if not isinstance(task, ControlTask):
        raise RecordError(f"{run.path} cannot be replayed: {run.spec.task} is not a control task")
    run.check_steps("evaluations")
    kept = run.spec.record == "trajectories"
    if training and not kept:
        raise RecordError(
            f"{run.path} has no training episodes to replay: it was run with --record episodes; leave out --training"
        )
    return _Replay(run, task, threads, progress, training, where).report()


class _Replay:
    """One replay: the checks one after the other, and what they count."""

    def __init__(
        self, run: Run, task: ControlTask, threads: int, progress: Progress, training: bool, where: Any
    ) -> None:
        self._run = run
        self._task = task
        self._threads = threads
        self._phases = run.phases.count_rows()
        self._training = training
        self._chosen = _chosen(run, where)
        self._checks: list[Check] = []
        self._done = 0
        self._total = sum(e.length for e in self._chosen) + (run.trajectories.count_rows() if training else 0)
        self._progress = progress

    def report(self) -> ReplayReport:
        run, kept = self._run, self._run.spec.record == "trajectories"
        finished = run.result is not None
        no_rows = "the run recorded no transitions"
        self._check(
            "content hash",
            lambda: consistency.wrong_hash(run),
            "every value is as it was recorded",
            None if finished else "a run that is not finished has none; its shards' checksums match",
        )
        self._check(
            "evaluation plan",
            lambda: consistency.wrong_evaluation(run, self._phases),
            "seeds, versions and fractions are those of the specification",
        )
        self._check(
            "staleness draws",
            lambda: consistency.wrong_draw(run),
            f"the versions held in {_count(self._phases, 'phase')} are those of the run's seed",
        )
        self._check(
            "behaviour versions",
            lambda: consistency.wrong_version(run),
            "every transition has the version that its actor held",
            None if kept else no_rows,
        )
        self._check(
            "episode sums",
            lambda: consistency.wrong_episode(run),
            "returns and lengths are those of the transitions",
            None if kept else no_rows,
        )
        final = _final(run, self._chosen, self._phases)
        stepped = step_evaluations(self._task, self._chosen, self._threads, self._told, final)
        self._add(
            "evaluation episodes",
            stepped.difference,
            f"{_count(stepped.episodes, 'episode')}, {_count(stepped.steps, 'step')}, bit for bit",
        )
        actions, largest = self._check_actions({i: self._chosen[i] for i in final if i in stepped.seen}, stepped.seen)
        trained = Stepped(0, 0, None)
        if self._training:
            trained = step_training(run, self._task, self._phases, self._threads, self._told)
            counted = f"{_count(trained.episodes, 'episode')} and those under way, {_count(trained.steps, 'step')}"
            self._add("training episodes", trained.difference, f"{counted}, bit for bit")
        return ReplayReport(
            path=run.path,
            status=run.status,
            checks=tuple(self._checks),
            episodes=stepped.episodes,
            steps=stepped.steps,
            training_episodes=trained.episodes,
            training_steps=trained.steps,
            actions=actions,
            action_difference=largest,
            notes=tuple(_notes(run, self._phases)),
        )

    def _check(
        self, name: str, find: Callable[[], Difference | None], message: str, skipped: str | None = None
    ) -> None:
        if skipped is not None:
            self._checks.append(Check(name, "skipped", skipped))
        else:
            self._add(name, find(), message)

    def _add(self, name: str, difference: Difference | None, message: str) -> None:
        if difference is None:
            self._checks.append(Check(name, "ok", message))
        else:
            self._checks.append(Check(name, "failed", str(difference), difference))

    def _check_actions(
        self, episodes: Mapping[int, EvaluationEpisode], seen: Mapping[int, NDArray[np.float64]]
    ) -> tuple[int, float | None]:
        """Recompute the final evaluation's actions from the policy file; how many, and the largest difference."""
        name = "policy"
        if not episodes:
            self._checks.append(Check(name, "skipped", _no_final(self._run)))
            return 0, None
        try:
            policy = self._run.policy()
        except RecordError as error:
            self._checks.append(Check(name, "failed", str(error)))
            return 0, None
        actions = _acted(StackedActors([policy.version(self._phases)] * len(episodes)), [seen[i] for i in episodes])
        largest, difference = 0.0, None
        for episode, recomputed in zip(episodes.values(), actions, strict=True):
            distance = np.abs(episode.action.astype(np.float64) - recomputed)
            largest = float(np.fmax(largest, distance.max(initial=0.0)))
            wrong = ~(distance <= ACTION_TOLERANCE)
            if difference is None and wrong.any():
                step, i = (int(k) for k in np.argwhere(wrong)[0])
                where = {**episode.name, "step": step}
                recorded, own = float(episode.action[step, i]), float(recomputed[step, i])
                difference = Difference("evaluations", where, f"action[{i}]", recorded, own, "by the policy file")
        count = sum(len(a) for a in actions)
        self._add(name, difference, f"{_count(count, 'action')} of the final evaluation, |Δaction| ≤ {largest:.2g}")
        return count, largest

    def _told(self, steps: int) -> None:
        self._done += steps
        self._progress(self._done, self._total)


def _chosen(run: Run, where: Any) -> list[EvaluationEpisode]:
    episodes = list(run.evaluation_episodes())
    if where is None:
        return episodes
    names = ["evaluation", "mode", "episode"]
    rows = run.evaluations.to_table(columns=names, filter=where).to_pylist()
    keys = {tuple(row[name] for name in names) for row in rows}
    return [e for e in episodes if (e.evaluation, e.mode, e.episode) in keys]


def _final(run: Run, episodes: Sequence[EvaluationEpisode], phases: int) -> list[int]:
    """The indices of the episodes that the policy in the policy file played, by its mode."""
    if run.status not in ("completed", "failed"):
        return []
    return [i for i, e in enumerate(episodes) if e.version == phases and e.mode == "mode"]


def _no_final(run: Run) -> str:
    if run.result is None:
        return "the run is not finished and has no policy file yet"
    if run.status == "diverged":
        return "the run diverged: no evaluation is of its last policy"
    return "no evaluation of the last policy is among the episodes"


def _acted(actors: StackedActors, seen: Sequence[NDArray[np.float64]]) -> list[NDArray[np.float32]]:
    """The mean actions [length, act] for each episode's observations, in the products in which evaluation acts."""
    observation = np.zeros((max(map(len, seen)), len(seen), seen[0].shape[1]))
    for j, own in enumerate(seen):
        observation[: len(own), j] = own
    action = np.stack([actors.mean(row).copy() for row in observation])
    return [action[: len(own), j] for j, own in enumerate(seen)]


def _notes(run: Run, phases: int) -> list[str]:
    notes = []
    here = environment.installed("envpool")
    entries: list[Mapping[str, Any]] = list(run.environment)
    there = dict.fromkeys(str(entry["packages"].get("envpool")) for entry in entries)
    if others := [version for version in there if version != here]:
        notes.append(
            f"it was recorded with EnvPool {' and '.join(others)} and replayed with {here}: a difference may come from "
            "that"
        )
    if run.result is None:
        notes.append(f"it is not finished: this is what it had committed, {phases} of {run.spec.phases} phases")
    return notes


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
