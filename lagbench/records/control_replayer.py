"""Replay of control runs: episodes stepped again in EnvPool, actions recomputed from the policy file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lagbench.errors import RecordError
from lagbench.policies.control import Acting, ControlPolicy
from lagbench.records import environment, stepping
from lagbench.records.episodes import EvaluationEpisode, TrainingEpisode, as_numpy
from lagbench.records.findings import Difference, ReplayCheck, differs
from lagbench.records.reader import Run
from lagbench.records.replaying import Recomputed, Replayed, Replayer, Told, counted
from lagbench.records.stepping import step_evaluations, step_training
from lagbench.seeding import Stream, generator
from lagbench.tasks.control import ControlTask
from lagbench.tasks.spec import load_task

ACTION_TOLERANCE = 1e-4
"""The allowed difference of a recorded and a recomputed action: rounding depends on the CPU."""


class ControlReplayer(Replayer):
    """See ``Replayer``. Raises RecordError if the task is not a control task."""

    evaluations_check: ClassVar[str] = "evaluation episodes"
    training_check: ClassVar[str] = "training episodes"

    chosen: Sequence[EvaluationEpisode]

    def __init__(
        self, run: Run, chosen: Sequence[Any], phases: int, threads: int, told: Told, *, exact: bool = True
    ) -> None:
        super().__init__(run, chosen, phases, threads, told, exact=exact)
        task = load_task(run.spec.task, run.spec.task_options)
        if not isinstance(task, ControlTask):
            raise RecordError(f"{run.path} cannot be replayed: {run.spec.task} is not a control task")
        self._task = task
        self._seen: Mapping[int, NDArray[np.float64]] = {}

    @property
    def tolerance(self) -> Mapping[str, float]:
        """See ``Replayer.tolerance``."""
        return {
            "action": ACTION_TOLERANCE,
            "elsewhere_reward": stepping.TOLERANCE,
            "elsewhere_steps": stepping.AGREEING,
        }

    def evaluations(self) -> Replayed:
        """See ``Replayer.evaluations``: compares each observation, reward and flag bit for bit.

        Without ``exact``, steps that were recorded on another machine are compared with a tolerance: see ``stepping``.
        """
        if not self.run.spec.repeats:
            self._seen = {i: e.observation for i, e in enumerate(self.chosen) if e.observation is not None}
            return self._not_again()
        # The policy check needs the observations of the last evaluation.
        last = [i for i, e in enumerate(self.chosen) if e.version == self.phases]
        elsewhere = [] if self.exact else environment.elsewhere(self.run.environment)
        stepped = step_evaluations(self._task, self.chosen, self.threads, self.told, last, exact=not elsewhere)
        self._seen = stepped.seen
        message = f"{counted(stepped.episodes, 'episode')}, {counted(stepped.steps, 'step')}, bit for bit"
        if stepped.inexact:
            message += (
                f" except {counted(stepped.inexact, 'episode')}, whose rewards agree to {stepping.TOLERANCE:g} in the "
                f"first {stepping.AGREEING} steps: recorded with {', '.join(elsewhere)}"
            )
        return Replayed(stepped.episodes, stepped.steps, stepped.difference, message, not stepped.inexact)

    def training(self) -> Replayed:
        """See ``Replayer.training``: all actors are stepped together from the start and compared bit for bit."""
        if not self.run.spec.repeats:
            return self._not_again()
        stepped = step_training(self.run, self._task, self.phases, self.threads, self.told)
        done = f"{counted(stepped.episodes, 'episode')} and unfinished ones, {counted(stepped.steps, 'step')}"
        return Replayed(stepped.episodes, stepped.steps, stepped.difference, f"{done}, bit for bit")

    def _not_again(self) -> Replayed:
        task = self.run.spec.task
        return Replayed(0, 0, None, f"{task} does not repeat from seeds and actions: it was tried", skipped=True)

    def policy(self, final: Sequence[int]) -> Recomputed:
        """See ``Replayer.policy``: recomputes actions, sampled ones with the run's noise; |Δaction| ≤ 1e-4."""
        policy = self.run.policy()
        assert isinstance(policy, ControlPolicy)
        # Episodes that could not be stepped were reported before.
        episodes = {i: self.chosen[i] for i in final if i in self._seen}
        if not episodes:
            return Recomputed(0, None, ReplayCheck("policy", "skipped", "no episode could be stepped"))
        version = policy.version(self.phases)
        acting = policy.acting([version] * len(episodes))
        outputs = _outputs(acting, [self._seen[i] for i in episodes])
        noise = self._noise(policy, max(map(len, outputs)))
        largest, difference = 0.0, None
        for episode, output in zip(episodes.values(), outputs, strict=True):
            # Episode numbers that are not in the plan were reported before.
            sampled = episode.mode == "stochastic" and 0 <= episode.episode < noise.shape[1]
            own_noise = noise[: len(output), episode.episode] if sampled else None
            recorded = episode.action[: len(output)]
            distance = acting.apart(recorded, output, own_noise)
            largest = float(np.fmax(largest, distance.max(initial=0.0)))
            wrong = ~(distance <= ACTION_TOLERANCE)
            if difference is None and wrong.any():
                recomputed = np.empty_like(recorded)
                acting.choose(output, own_noise, recomputed)
                step, *i = at = tuple(int(k) for k in np.argwhere(wrong)[0])
                name = "".join(["action", *(f"[{k}]" for k in i)])
                pair = recorded[at].item(), recomputed[at].item()
                difference = Difference(
                    "evaluations", {**episode.name, "step": step}, name, *pair, "by the policy file"
                )
        count = sum(map(len, outputs))
        message = f"{counted(count, 'action')} of the final evaluation, |Δaction| ≤ {largest:.2g}"
        return Recomputed(count, largest, ReplayCheck.of("policy", difference, message))

    def _noise(self, policy: ControlPolicy, steps: int) -> NDArray[Any]:
        """The noise [steps, episodes, …] of the first steps of the last evaluation with sampled actions."""
        spec = self.run.spec
        rng = generator(spec.seed, Stream.EVALUATION_ACTION, self.phases)
        episodes = spec.evaluation.modes(last=True)["stochastic"]
        acting = policy.acting([policy.version(self.phases)] * episodes)
        return acting.spread(acting.noise(rng, steps, episodes))

    def notes(self) -> list[str]:
        """See ``Replayer.notes``."""
        here = environment.installed("envpool")
        there = dict.fromkeys(str(entry["packages"].get("envpool")) for entry in self.run.environment)
        if others := [version for version in there if version != here]:
            return [
                f"it was recorded with EnvPool {' and '.join(others)} and replayed with {here}: differences may be "
                f"due to this"
            ]
        return []

    def wrong_version(self) -> Difference | None:
        """See ``Replayer.wrong_version``: the actor's version in ``phases``, and the learner's."""
        actors = self.run.spec.protocol.actors
        lists = self.run.phases.to_table(columns=["versions"])["versions"].to_pylist()
        held = np.array([[*own, *[-1] * actors][:actors] for own in lists], np.int32).reshape(-1, actors)
        names = ("episode_id", "step", "actor", "phase", "behaviour_version", "learner_version")
        for batch in self.run.read("trajectories"):
            rows = {name: as_numpy(batch.column(name)) for name in names}
            phase, actor = rows["phase"], rows["actor"]
            known = (phase >= 0) & (phase < len(held)) & (actor >= 0) & (actor < actors)
            expected = {
                "phase": np.where(known, phase, -1),
                "behaviour_version": held[np.where(known, phase, 0), np.where(known, actor, 0)],
                "learner_version": phase,
            }
            for name, values in expected.items():
                if (wrong := np.flatnonzero(rows[name] != values)).size:
                    i = int(wrong[0])
                    where = {"episode_id": int(rows["episode_id"][i]), "step": int(rows["step"][i])}
                    by = "in phases" if name == "behaviour_version" else "specified"
                    return Difference("trajectories", where, name, int(rows[name][i]), int(values[i]), by)
        return None

    def wrong_episode(self) -> Difference | None:
        """See ``Replayer.wrong_episode``: a row must be the sum of its transitions, with consecutive steps."""
        rows = (row for batch in self.run.read("episodes") for row in batch.to_pylist())
        for episode in self.run.training_episodes():
            if (steps := differs(episode.step, np.arange(episode.length, dtype=np.int32))).any():
                i = int(np.flatnonzero(steps)[0])
                where = {"episode_id": episode.episode_id, "step": int(episode.step[i])}
                return Difference("trajectories", where, "step", int(episode.step[i]), i, "in order")
            if not episode.ended:
                continue
            row = next(rows, None)
            if row is None:
                return Difference(
                    "episodes", {"episode_id": episode.episode_id}, "row", "missing", "recorded", "summed"
                )
            for name, value in _summary(episode, self.run.spec.protocol.actors).items():
                if differs(np.asarray(row[name]), np.asarray(value)).any():
                    return Difference("episodes", {"episode_id": row["episode_id"]}, name, row[name], value, "summed")
        if (row := next(rows, None)) is not None:
            return Difference("episodes", {"episode_id": row["episode_id"]}, "row", "recorded", "none", "summed")
        return None


def _summary(episode: TrainingEpisode, actors: int) -> dict[str, Any]:
    return {
        "episode_id": episode.actor + actors * episode.reset,
        "actor": episode.actor,
        "seed": episode.seed,
        "reset": episode.reset,
        "phase": int(episode.phase[-1]),
        "return": episode.episode_return,
        "length": episode.length,
        "terminated": episode.terminated,
        "truncated": episode.truncated,
    }


def _outputs(acting: Acting, seen: Sequence[NDArray[np.float64]]) -> list[NDArray[np.float32]]:
    """The outputs [length, out] for each episode's observations, with the batched products of evaluation."""
    observation = np.zeros((max(map(len, seen)), len(seen), seen[0].shape[1]))
    for j, own in enumerate(seen):
        observation[: len(own), j] = own
    output = np.stack([acting.output(row).copy() for row in observation])
    return [output[: len(own), j] for j, own in enumerate(seen)]
