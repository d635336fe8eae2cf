"""Replay of language runs: completions graded again, tokens compared with the policy file."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from lagbench.actors.language import evaluation_noise
from lagbench.errors import UsageError
from lagbench.lag import staleness
from lagbench.policies.causal_lm import CausalLMPolicy
from lagbench.records.findings import Difference, ReplayCheck
from lagbench.records.language import Completion, EvaluatedCompletion, LanguageRecords
from lagbench.records.replaying import Recomputed, Replayed, Replayer, counted
from lagbench.tasks.gsm8k import grading
from lagbench.tasks.gsm8k.task import GSM8kTask
from lagbench.tasks.spec import load_task

LOGIT_TOLERANCE = {"float32": 1e-2, "bfloat16": 1.0}
"""How far below the largest a greedy token's logit may be, in nats, by precision: rounding depends on the machine.

The largest logits of real models are between 32 and 64, where bfloat16 has steps of 0.25.
"""
_CHOSEN = {
    "mode": ("greedy", "{:.2g} nats below the most probable one"),
    "stochastic": ("sampled", "{:.2g} in cumulative probability from the one drawn"),
}
"""By action mode, the words of messages for a token and for its distance from the policy's choice."""


class LanguageReplayer(Replayer):
    """See ``Replayer``. Grading needs only the record; the policy check also needs the model's configuration."""

    evaluations_check: ClassVar[str] = "evaluation grades"
    training_check: ClassVar[str] = "training grades"

    chosen: Sequence[EvaluatedCompletion]

    @property
    def tolerance(self) -> Mapping[str, float]:
        """See ``Replayer.tolerance``."""
        return {"logit": LOGIT_TOLERANCE[self._task().coarsest]}

    def wrong_version(self) -> Difference | None:
        """See ``Replayer.wrong_version``; a token's version must be that of its group's actor at that step."""
        spec, longest = self.run.spec, self._task().longest_episode
        in_flight = staleness.mode(spec.protocol, spec.seed).in_flight
        versions = self.run.phases.to_table(columns=["versions"])["versions"].to_pylist()

        @functools.lru_cache(maxsize=1)
        def held(phase: int) -> NDArray[np.int64]:
            if in_flight:
                return staleness.by_step(spec.protocol, spec.seed, phase, longest)
            return np.tile(versions[phase], (longest, 1))

        for row in self.run.training_episodes():
            where = _where(row)
            if not (0 <= row.phase < self.phases and 0 <= row.actor < spec.protocol.actors):
                return Difference("trajectories", where, "actor", row.actor, "one of its phase", "specified")
            if row.learner_version != row.phase:
                return Difference("trajectories", where, "learner_version", row.learner_version, row.phase, "specified")
            found = row.behaviour_version
            if len(found) > longest:
                return Difference("trajectories", where, "token", len(found), f"at most {longest}", "specified")
            wanted = held(row.phase)[: len(found), row.actor]
            if (wrong := np.flatnonzero(found != wanted)).size:
                i = int(wrong[0])
                return Difference(
                    "trajectories", where, f"behaviour_version[{i}]", int(found[i]), int(wanted[i]), "in phases"
                )
        return None

    def wrong_episode(self) -> Difference | None:
        """See ``Replayer.wrong_episode``."""
        rows = (row for batch in self.run.read("episodes") for row in batch.to_pylist())
        for completion in self.run.training_episodes():
            if (row := next(rows, None)) is None:
                return Difference("episodes", _where(completion), "row", "missing", "recorded", "summed")
            if len({completion.length, len(completion.behaviour_log_prob), len(completion.behaviour_version)}) > 1:
                return Difference(
                    "trajectories", _where(completion), "token", completion.length, "one a log-probability", "summed"
                )
            for name, value in row.items():
                attribute = "episode_return" if name == "return" else name
                if (expected := getattr(completion, attribute)) != value:
                    return Difference("episodes", {"episode_id": row["episode_id"]}, name, value, expected, "summed")
        if (row := next(rows, None)) is not None:
            return Difference("episodes", {"episode_id": row["episode_id"]}, "row", "recorded", "none", "summed")
        return None

    def evaluations(self) -> Replayed:
        """See ``Replayer.evaluations``: each completion is graded again."""
        first, tokens, kind = None, 0, LanguageRecords()
        for episode in self.chosen:
            tokens += episode.length
            first = first or next(kind.wrong_episode(episode), None)
            self.told(episode.length)
        message = f"{counted(len(self.chosen), 'completion')} graded again, by version {grading.VERSION} of the rules"
        return Replayed(len(self.chosen), tokens, first, message)

    def training(self) -> Replayed:
        """See ``Replayer.training``."""
        first, rows, tokens = None, 0, 0
        for row in self.run.training_episodes():
            grade = grading.grade(row.completion, row.target)
            columns = {
                "strict": (row.strict, grade.strict),
                "flexible": (row.flexible, grade.flexible),
                "reward": (row.reward, float(grade.correct)),
            }
            first = first or _first("trajectories", _where(row), columns)
            rows, tokens = rows + 1, tokens + row.length
            self.told(1)
        return Replayed(rows, tokens, first, f"{counted(rows, 'completion')} graded again")

    def policy(self, final: Sequence[int]) -> Recomputed:
        """See ``Replayer.policy``: each token must be the policy's choice, within rounding.

        For a greedy answer the choice is the most probable token, for a sampled one the token that the noise of the
        run's seed selects. The text of each answer must be that of its tokens up to its end, and its question one of
        the task's test set.
        """
        episodes = [self.chosen[i] for i in final]
        tolerance = self.tolerance["logit"]
        try:
            policy, task = self.run.policy(), self._task()
            wrong_text = _wrong_text(task, episodes)
        except UsageError as error:
            return Recomputed(0, None, ReplayCheck("policy", "skipped", str(error)))
        if wrong_text is not None:
            return Recomputed(0, None, ReplayCheck.of("policy", wrong_text, ""))
        assert isinstance(policy, CausalLMPolicy)
        # Other samplers draw their own noise.
        chosen = [e for e in episodes if e.mode == "mode" or task.sampler == "transformers"]
        if not chosen:
            return Recomputed(0, None, ReplayCheck("policy", "skipped", f"{task.sampler} drew every answer"))
        largest, difference, count = dict.fromkeys(_CHOSEN, 0.0), None, 0
        for episode in chosen:
            apart = _apart(policy, episode, self.phases)
            count += len(apart)
            largest[episode.mode] = float(np.fmax(largest[episode.mode], apart.max(initial=0.0)))
            if difference is None and (wrong := ~(apart <= tolerance)).any():
                i = int(np.argmax(wrong))
                said = _CHOSEN[episode.mode][1].format(apart[i])
                difference = Difference(
                    "evaluations", episode.name, f"token[{i}]", int(episode.token[i]), said, "by the policy file"
                )
        modes = {e.mode for e in chosen}
        texts = [
            f"{kind} ones at most {far.format(largest[mode])}" for mode, (kind, far) in _CHOSEN.items() if mode in modes
        ]
        message = f"{counted(count, 'token')} of the final evaluation: {', '.join(texts)}"
        return Recomputed(count, max(largest.values()), ReplayCheck.of("policy", difference, message))

    def notes(self) -> list[str]:
        """See ``Replayer.notes``."""
        others = sorted({e.grader_version for e in self.chosen} - {grading.VERSION})
        if others:
            listed = " and ".join(map(str, others))
            return [
                f"it was graded by version {listed} of the rules and again by {grading.VERSION}: differences may be "
                f"due to this"
            ]
        return []

    def _task(self) -> GSM8kTask:
        task = load_task(self.run.spec.task, self.run.spec.task_options)
        assert isinstance(task, GSM8kTask)
        return task


def _where(row: Completion) -> dict[str, Any]:
    return {"episode_id": row.episode_id}


def _first(
    table: str, where: Mapping[str, Any], columns: Mapping[str, tuple[Any, Any]], by: str = "graded"
) -> Difference | None:
    for name, (recorded, expected) in columns.items():
        if recorded != expected:
            return Difference(table, where, name, recorded, expected, by)
    return None


def _wrong_text(task: GSM8kTask, episodes: Sequence[EvaluatedCompletion]) -> Difference | None:
    """The first completion that is not of the task or whose text differs from its tokens. May raise UsageError."""
    model, questions = task.pretrained(), task.questions(task.test)
    for episode in episodes:
        if not 0 <= episode.prompt_id < len(questions):
            return Difference(
                "evaluations", episode.name, "prompt_id", episode.prompt_id, f"0 … {len(questions) - 1}", "specified"
            )
        asked = questions[episode.prompt_id]
        (prompt,) = task.prompts((asked,))
        columns: dict[str, tuple[Any, Any]] = {
            "question": (episode.question, asked.question),
            "target": (episode.target, asked.target),
            "prompt": (episode.prompt.tolist(), prompt),
        }
        if difference := _first("evaluations", episode.name, columns, "specified"):
            return difference
        tokens = episode.token.tolist()
        for i, token in enumerate(tokens):
            if not 0 <= token < model.vocabulary:
                return Difference("evaluations", episode.name, f"token[{i}]", token, "one of the model's", "specified")
        end = next((i for i, token in enumerate(tokens) if token in model.ends), None)
        length = task.max_new_tokens if end is None else end + 1
        columns = {
            "length": (episode.length, length),
            "terminated": (episode.terminated, end is not None),
            "truncated": (episode.truncated, end is None),
            "completion": (episode.completion, model.text(tokens)),
        }
        if difference := _first("evaluations", episode.name, columns, "by its tokens"):
            return difference
    return None


@torch.no_grad()
def _apart(policy: CausalLMPolicy, episode: EvaluatedCompletion, version: int) -> NDArray[np.float32]:
    """The distance of each token [length] from the policy's choice: in nats, or in probability if sampled."""
    tokens = torch.from_numpy(np.concatenate([episode.prompt, episode.token])).long().unsqueeze(0)
    logits = policy.logits(tokens, torch.ones_like(tokens, dtype=torch.bool), last=episode.length + 1)[0, :-1]
    token = tokens[0, -episode.length :].unsqueeze(1)
    if episode.mode == "mode":
        below = logits.amax(1) - logits.gather(1, token).squeeze(1)
        return below.float().numpy()
    noise = torch.from_numpy(evaluation_noise(episode.seed, version, episode.length))
    apart = []
    for row, u, chosen in zip(logits, noise, token, strict=True):
        probability = (row.float() / policy.temperature).softmax(0).double()
        below = probability[: int(chosen)].sum()
        u = u * probability.sum()
        apart.append(float(torch.clamp(torch.maximum(below - u, u - below - probability[chosen]), min=0.0)))
    return np.array(apart, np.float32)
