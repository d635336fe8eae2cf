"""Actors on questions: prompt groups dealt to slots, each of which completes them with the version that it drew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lagbench.actors.base import Actors, Collection, EndedEpisode, Played, Transitions
from lagbench.policies.base import Version
from lagbench.policies.causal_lm import CausalLMPolicy, padded
from lagbench.policies.sampling import Completions, complete
from lagbench.rollout import Rollout
from lagbench.seeding import Stream, generator
from lagbench.spec import RunSpec
from lagbench.tasks.gsm8k import grading
from lagbench.tasks.gsm8k.data import TRAIN, Question
from lagbench.tasks.gsm8k.grading import Grade
from lagbench.tasks.gsm8k.task import GSM8kTask
from lagbench.tasks.spec import load_task


@dataclass(frozen=True, kw_only=True)
class EndedCompletion(EndedEpisode):
    """A completion of training: of which prompt, in which group, and by which version of the rules it was graded."""

    group: int
    prompt_id: int
    grader_version: int = grading.VERSION


@dataclass(frozen=True, kw_only=True)
class PlayedCompletion(Played):
    """A completion of an evaluation, and how it was graded; by the names of its columns."""

    prompt_id: int
    question: str
    prompt: NDArray[np.int32]
    token: NDArray[np.int32]
    completion: str
    target: str
    strict: str | None
    flexible: str | None
    correct: bool
    correct_flexible: bool
    grader_version: int = grading.VERSION

    @property
    def length(self) -> int:
        """Tokens, the end token included."""
        return len(self.token)

    @property
    def episode_return(self) -> float:
        """1 where the strict rule finds the answer, else 0."""
        return float(self.correct)


class LanguageActors(Actors):
    """The actors of a run on questions. Nothing is carried from phase to phase: every draw is by phase and seed.

    Args:
        spec: the run.
        threads: of no use here.
    """

    def __init__(self, spec: RunSpec, threads: int = 0) -> None:
        task = load_task(spec.task, spec.task_options)
        assert isinstance(task, GSM8kTask)
        self._task = task
        self._spec = spec
        self._model = task.pretrained()
        self._train, self._test = task.questions(TRAIN), task.questions(task.test)
        self._copies = task.group_size
        self._groups = spec.protocol.samples // task.group_size
        self._longest = task.max_new_tokens
        self._acting: CausalLMPolicy | None = None
        self._holds: int | None = None
        self._measured: dict[str, float] = {}

    def make_policy(self) -> CausalLMPolicy:
        """See ``Actors.make_policy``: the pretrained weights, whatever the seed."""
        return self._task.policy(self._model.model())

    def collect(self, versions: Sequence[Version], phase: int) -> Collection:
        """See ``Actors.collect``: the groups are dealt to the actors in turn; completions [T, groups × copies]."""
        groups, copies = self._groups, self._copies
        asked = [self._train[i] for i in self._drawn(phase)]
        prompts = self._task.prompts(tuple(asked))
        noise = torch.from_numpy(
            generator(self._spec.seed, Stream.ACTION, phase).random((self._longest, groups * copies))
        )
        actor = np.arange(groups) % len(versions)
        held = np.array([v.number for v in versions])[actor]
        parts, order = [], []
        for version in {v.number: v for v in versions}.values():
            own = np.flatnonzero(held == version.number)
            columns = (own[:, None] * copies + np.arange(copies)).ravel()
            parts.append(self._complete(version, [prompts[g] for g in own], copies, noise[:, columns]))
            order.append(columns)
        completions = _in_order(parts, np.concatenate(order))
        return self._graded(completions, asked, prompts, actor, held, phase)

    def _drawn(self, phase: int) -> NDArray[np.int64]:
        """The questions [groups] of a phase: the training set in an order drawn anew each time through it."""
        n = len(self._train)
        at = phase * self._groups + np.arange(self._groups)
        orders = {
            int(e): generator(self._spec.seed, Stream.ENVIRONMENT, int(e)).permutation(n) for e in np.unique(at // n)
        }
        return np.array([orders[int(i // n)][i % n] for i in at])

    def _complete(
        self, version: Version, prompts: Sequence[list[int]], copies: int, noise: Tensor | None
    ) -> Completions:
        if self._acting is None:
            self._acting = self._task.policy(self._model.model(weights=False)).to(self._spec.device)
        if self._holds != version.number:
            self._acting.model.load_state_dict(version.state)
            self._holds = version.number
        return complete(self._acting, prompts, copies=copies, longest=self._longest, ends=self._model.ends, noise=noise)

    def _graded(
        self,
        completions: Completions,
        asked: Sequence[Question],
        prompts: Sequence[list[int]],
        actor: NDArray[np.int64],
        held: NDArray[np.int64],
        phase: int,
    ) -> Collection:
        copies, n = self._copies, len(asked) * self._copies
        token, log_prob, valid = completions
        length = valid.sum(0)
        tokens = [token[: length[i], i].numpy() for i in range(n)]
        texts = [self._model.text(t.tolist()) for t in tokens]
        grades = [grading.grade(text, asked[i // copies].target) for i, text in enumerate(texts)]
        correct = torch.tensor([g.correct for g in grades])
        last = torch.arange(len(token)).unsqueeze(1) == length - 1
        ended = torch.tensor([int(t[-1]) in self._model.ends for t in tokens])
        group = torch.arange(len(asked)).repeat_interleave(copies)
        version = torch.from_numpy(held)[group]
        rollout = Rollout(
            observation=padded(prompts)[:, group],
            action=token,
            reward=(last & correct).float(),
            terminated=last & ended,
            truncated=last & ~ended,
            valid=valid,
            behaviour_version=version.expand(token.shape),
            behaviour_log_prob=log_prob,
            group=group,
            longest=self._longest,
            group_size=copies,
        )
        per_group = correct.view(-1, copies).float().mean(1)
        self._measured = {
            "accuracy": float(correct.float().mean()),
            "accuracy_flexible": float(np.mean([g.correct_flexible for g in grades])),
            "response_length": float(length.double().mean()),
            "ended_fraction": float(ended.float().mean()),
            "groups_without_signal": float(((per_group == 0) | (per_group == 1)).float().mean()),
        }
        columns = {
            "episode_id": phase * n + np.arange(n),
            "phase": np.full(n, phase, np.int32),
            "actor": actor[group].astype(np.int32),
            "group": phase * len(asked) + group.numpy(),
            "prompt_id": np.array([asked[g].number for g in group], np.int32),
            "prompt": [np.array(prompts[g], np.int32) for g in group],
            "token": tokens,
            "behaviour_log_prob": [log_prob[: length[i], i].numpy() for i in range(n)],
            "behaviour_version": [np.full(int(length[i]), int(version[i]), np.int32) for i in range(n)],
            "learner_version": np.full(n, phase, np.int32),
            "completion": texts,
            "target": [asked[g].target for g in group],
            "strict": [g.strict for g in grades],
            "flexible": [g.flexible for g in grades],
            "grader_version": np.full(n, grading.VERSION, np.int32),
            "reward": correct.float().numpy(),
            "terminated": ended.numpy(),
            "truncated": ~ended.numpy(),
        }
        episodes = [
            EndedCompletion(
                episode_id=int(columns["episode_id"][i]),
                actor=int(columns["actor"][i]),
                phase=phase,
                episode_return=float(correct[i]),
                length=int(length[i]),
                terminated=bool(ended[i]),
                truncated=not ended[i],
                group=int(columns["group"][i]),
                prompt_id=int(columns["prompt_id"][i]),
            )
            for i in range(n)
        ]
        return Collection(rollout, Transitions(columns), episodes)

    def diagnostics(self) -> dict[str, float]:
        """See ``Actors.diagnostics``: rewards are not scaled; the rest is of the completions of the phase."""
        return {"reward_scale": 1.0, **self._measured}

    def play(
        self, version: Version, seeds: Sequence[int], *, stochastic: bool = False, drawn: bool = False
    ) -> list[PlayedCompletion]:
        """See ``Actors.play``: seed j stands for question j of the test set, always the same; greedy, or a sample.

        A sample of question j is drawn from seed j. Questions that are ``drawn`` may come more than once.
        """
        asked = tuple(self._drawn_from_test(seed) for seed in seeds) if drawn else self._test[: len(seeds)]
        prompts = self._task.prompts(asked)
        noise = None
        if stochastic:
            own = [generator(seed, Stream.EVALUATION_ACTION, version.number).random(self._longest) for seed in seeds]
            noise = torch.from_numpy(np.stack(own, axis=1))
        completions = self._complete(version, prompts, 1, noise)
        length = completions.valid.sum(0)
        return [
            self._played(seeds[j], asked[j], prompts[j], completions.token[: length[j], j].numpy())
            for j in range(len(seeds))
        ]

    def _drawn_from_test(self, seed: int) -> Question:
        return self._test[int(generator(seed, Stream.EVALUATION).integers(len(self._test)))]

    def _played(self, seed: int, asked: Question, prompt: list[int], token: NDArray[np.int64]) -> PlayedCompletion:
        text = self._model.text(token.tolist())
        grade: Grade = grading.grade(text, asked.target)
        ended = int(token[-1]) in self._model.ends
        return PlayedCompletion(
            seed=seed,
            terminated=ended,
            truncated=not ended,
            prompt_id=asked.number,
            question=asked.question,
            prompt=np.array(prompt, np.int32),
            token=token.astype(np.int32),
            completion=text,
            target=asked.target,
            strict=grade.strict,
            flexible=grade.flexible,
            correct=grade.correct,
            correct_flexible=grade.correct_flexible,
        )

    def state(self) -> dict[str, Any]:
        """See ``Actors.state``: none."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See ``Actors.restore``."""


def _in_order(parts: Sequence[Completions], columns: NDArray[np.int64]) -> Completions:
    """Parts side by side, each column at its place: column i of them belongs at ``columns[i]``."""
    longest = max(len(part.token) for part in parts)
    back = torch.from_numpy(np.argsort(columns))

    def joined(pieces: Sequence[Tensor]) -> Tensor:
        padded = [torch.nn.functional.pad(x, (0, 0, 0, longest - len(x))) for x in pieces]
        return torch.cat(padded, dim=1)[:, back]

    return Completions(*(joined(pieces) for pieces in zip(*parts, strict=True)))
