"""Actors on language: prompt groups are dealt to slots, which complete them with the versions that they drew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lagbench import divergence
from lagbench.actors.base import Actors, Collection, EndedEpisode, Played, Transitions
from lagbench.policies.base import Version
from lagbench.policies.causal_lm import CausalLMPolicy, padded
from lagbench.policies.sampling import Completions, Request, Sampler, side_by_side
from lagbench.rollout import Rollout
from lagbench.seeding import Stream, generator, torch_generator
from lagbench.spec import RunSpec
from lagbench.tasks.gsm8k import grading
from lagbench.tasks.gsm8k.data import TRAIN, Question
from lagbench.tasks.gsm8k.grading import Grade
from lagbench.tasks.gsm8k.task import GSM8kTask
from lagbench.tasks.spec import load_task

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class EndedCompletion(EndedEpisode):
    """A training completion, with its prompt, its group and the version of the grading rules."""

    group: int
    prompt_id: int
    grader_version: int = grading.VERSION


@dataclass(frozen=True, kw_only=True)
class PlayedCompletion(Played):
    """An evaluation's completion and its grades; fields are named like the columns."""

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
        """Tokens, including the end token."""
        return len(self.token)

    @property
    def episode_return(self) -> float:
        """1 if the answer is correct by the strict rule, else 0."""
        return float(self.correct)


_ROUNDS = 10
"""Rounds of sampling per phase with ``resample_uniform_groups``, at most, including the first."""


@dataclass(frozen=True)
class _Round:
    """Groups that were completed together: completions [T, groups × copies], their texts and grades.

    ``group`` [groups] are their numbers in the run, ``actor`` [groups] their actors. ``mismatch`` [tokens] is, for each
    valid token, the log-probability of its behaviour version as the learner computes it minus the recorded one.
    """

    group: NDArray[np.int64]
    actor: NDArray[np.int64]
    asked: Sequence[Question]
    prompts: Sequence[list[int]]
    completions: Completions
    texts: Sequence[str]
    grades: Sequence[Grade]
    mismatch: Tensor

    def uniform(self, copies: int) -> NDArray[np.bool_]:
        """Which groups [groups] have completions that are all correct or all incorrect."""
        right = np.array([g.correct for g in self.grades]).reshape(-1, copies)
        uniform: NDArray[np.bool_] = right.all(1) == right.any(1)
        return uniform


class LanguageActors(Actors):
    """The actors of a run on a language task. Every draw is determined by phase and seed.

    The only state is the number of completed groups, which varies if uniform groups are resampled.

    Args:
        spec: the run.
        threads: not used.
        part: the indices of the run's actors to create; None: all. Each acts as it would with the others present.
    """

    def __init__(self, spec: RunSpec, threads: int = 0, part: range | None = None) -> None:
        task = load_task(spec.task, spec.task_options)
        assert isinstance(task, GSM8kTask)
        self._task = task
        self._spec = spec
        self._part = range(spec.protocol.actors) if part is None else part
        self._model = task.pretrained()
        self._train, self._test = task.questions(TRAIN), task.questions(task.test)
        self._copies = task.group_size
        self._groups = spec.protocol.samples // task.group_size
        self._longest = task.max_new_tokens
        self._completed = 0  # groups
        self._acting: CausalLMPolicy | None = None  # computes log-probabilities as the learner does
        self._sampler: Sampler | None = None
        self._holds: int | None = None
        self._measured: dict[str, float] = {}

    def make_policy(self) -> CausalLMPolicy:
        """See ``Actors.make_policy``: the pretrained weights, independent of the seed."""
        policy: CausalLMPolicy = self._spec.network(torch_generator(self._spec.seed, Stream.WEIGHTS))
        return policy

    def collect(self, versions: Sequence[Version], phase: int) -> Collection:
        """See ``Actors.collect`` and ``collect_by_step``."""
        return self.collect_by_step([[version] * self._longest for version in versions], phase)

    def collect_by_step(self, versions: Sequence[Sequence[Version]], phase: int) -> Collection:
        """See ``Actors.collect_by_step``: groups are dealt to the actors in turn; completions [T, groups × copies].

        With ``resample_uniform_groups`` the actors of uniform groups sample others in their place, in rounds, until
        no uniform group is left, 10 rounds were made, or the budget does not suffice for another.
        """
        if self._spec.steady:
            self._completed = phase * self._groups
        first, copies = self._completed, self._copies
        paid = self._spec.phases * self._groups
        place, kept, rounds = np.arange(self._groups), np.arange(self._groups), list[_Round]()
        while True:
            rounds.append(self._round(versions, phase, len(rounds), place % len(versions)))
            kept[place] = self._completed - first + np.arange(len(place))
            self._completed += len(place)
            place = place[rounds[-1].uniform(copies)]
            if self._spec.steady or not len(place) or len(rounds) == _ROUNDS or self._completed + len(place) > paid:
                return self._graded(rounds, kept, _numbers(versions), phase)

    def act(self, versions: Sequence[Version], phase: int) -> _Round:
        """See ``Actors.act``: the groups of these actors."""
        self._completed = phase * self._groups
        by_step = [[version] * self._longest for version in versions]
        return self._round(by_step, phase, 0, np.arange(self._groups) % self._spec.protocol.actors)

    def gather(self, shares: Sequence[_Round], versions: NDArray[np.int64], phase: int) -> Collection:
        """See ``Actors.gather``."""
        by_step = np.tile(versions[:, None], self._longest)
        return self._graded([_merged(shares, self._copies)], np.arange(self._groups), by_step, phase)

    def _round(
        self, versions: Sequence[Sequence[Version]], phase: int, number: int, actor: NDArray[np.int64]
    ) -> _Round:
        """Complete the next questions, one per group, by ``actor`` [groups]; returns those of these actors."""
        copies, held = self._copies, _numbers(versions)
        key = (phase, number) if number else (phase,)
        drawn = generator(self._spec.seed, Stream.ACTION, *key).random((self._longest, len(actor), copies))
        mine = np.flatnonzero((self._part.start <= actor) & (actor < self._part.stop))
        asked = [self._train[i] for i in self._drawn(self._completed, len(actor))[mine]]
        prompts = self._task.prompts(tuple(asked))
        noise = torch.from_numpy(drawn[:, mine].reshape(self._longest, -1))
        actor = actor[mine]
        parts, order, mismatch = [], [], []
        for first, steps in enumerate(versions):
            alike = (held == held[first]).all(1)
            own = np.flatnonzero(alike[actor - self._part.start])
            if alike[:first].any() or not len(own):
                continue
            columns = (own[:, None] * copies + np.arange(copies)).ravel()
            part, apart = self._by_step(steps, [prompts[g] for g in own], copies, noise[:, columns])
            parts.append(part)
            mismatch.append(apart)
            order.append(columns)
        completions = _in_order(parts, np.concatenate(order))
        length = completions.valid.sum(0)
        texts = [self._model.text(completions.token[: length[i], i].tolist()) for i in range(len(length))]
        grades = [grading.grade(text, asked[i // copies].target) for i, text in enumerate(texts)]
        group = self._completed + mine
        return _Round(group, actor, asked, prompts, completions, texts, grades, torch.cat(mismatch))

    def _by_step(
        self, versions: Sequence[Version], prompts: Sequence[list[int]], copies: int, noise: Tensor
    ) -> tuple[Completions, Tensor]:
        """Completions with token t by ``versions[t]``, and their ``_Round.mismatch``.

        When the version changes, unfinished completions become prompts of the new version, which recomputes keys and
        values of all earlier tokens, as AReaL does (arXiv 2505.24298, 4.1): each token's log-probability is that of its
        version given all tokens before.
        """
        until = next((t for t, version in enumerate(versions) if version.number != versions[0].number), len(versions))
        done = self._complete(versions[0], prompts, copies, until, noise[:until])
        mismatch = self._mismatch(prompts, copies, done)
        going = [i for i, t in enumerate(done.valid.sum(0).tolist()) if t == until < len(versions)]
        going = [i for i in going if int(done.token[-1, i]) not in self._model.ends]
        if not going:
            return done, mismatch
        seen = [[*prompts[i // copies], *done.token[:, i].tolist()] for i in going]
        rest, apart = self._by_step(versions[until:], seen, 1, noise[until:, going])
        wide = [x.new_zeros(len(x), done.token.shape[1]).index_copy(1, torch.tensor(going), x) for x in rest]
        whole = Completions(*(torch.cat(pieces) for pieces in zip(done, wide, strict=True)))
        return whole, torch.cat([mismatch, apart])

    @torch.no_grad()
    def _mismatch(self, prompts: Sequence[list[int]], copies: int, completions: Completions) -> Tensor:
        """``_Round.mismatch`` of completions by the version that is loaded."""
        assert self._acting is not None
        token, log_prob, valid = completions
        prompt = padded(prompts).repeat_interleave(copies, dim=1)
        new = self._acting.evaluate_tokens(*(x.to(self._spec.device) for x in (prompt, token, valid)))
        return (new.log_prob.cpu() - log_prob)[valid]

    def _drawn(self, first: int, groups: int) -> NDArray[np.int64]:
        """Indices [groups] of the questions from number ``first`` on; each epoch over the training set is shuffled."""
        n = len(self._train)
        at = first + np.arange(groups)
        orders = {
            int(e): generator(self._spec.seed, Stream.ENVIRONMENT, int(e)).permutation(n) for e in np.unique(at // n)
        }
        return np.array([orders[int(i // n)][i % n] for i in at])

    def _complete(
        self, version: Version, prompts: Sequence[list[int]], copies: int, longest: int, noise: Tensor | None
    ) -> Completions:
        if self._acting is None or self._sampler is None:
            self._acting = self._spec.network().to(self._spec.device)
            self._sampler = self._task.make_sampler(self._acting)
        if self._holds != version.number:
            self._acting.model.load_state_dict(version.state)
            self._sampler.hold(version)
            self._holds = version.number
        return self._sampler.complete(Request(prompts, copies, longest, self._model.ends, noise))

    def _graded(
        self,
        rounds: Sequence[_Round],
        kept: NDArray[np.int64],
        versions: NDArray[np.int64],
        phase: int,
    ) -> Collection:
        """The collection of a phase: records of all groups, a rollout of the ``kept`` ones; ``versions`` [N, steps]."""
        copies = self._copies
        asked, prompts = [q for r in rounds for q in r.asked], [p for r in rounds for p in r.prompts]
        texts, grades = [t for r in rounds for t in r.texts], [g for r in rounds for g in r.grades]
        actor = np.concatenate([r.actor for r in rounds])
        n = len(asked) * copies
        token, log_prob, valid = side_by_side([r.completions for r in rounds])
        length = valid.sum(0)
        tokens = [token[: length[i], i].numpy() for i in range(n)]
        correct = torch.tensor([g.correct for g in grades])
        last = torch.arange(len(token)).unsqueeze(1) == length - 1
        ended = torch.tensor([int(t[-1]) in self._model.ends for t in tokens])
        group = torch.arange(len(asked)).repeat_interleave(copies)
        version = torch.from_numpy(versions[actor].T[: len(token)])[:, group]
        column = torch.from_numpy(kept[:, None] * copies + np.arange(copies)).flatten()
        rollout = Rollout(
            observation=padded([prompts[g] for g in kept])[:, group[: len(column)]],
            action=token[:, column],
            reward=(last & correct)[:, column].float(),
            terminated=(last & ended)[:, column],
            truncated=(last & ~ended)[:, column],
            valid=valid[:, column],
            behaviour_version=version[:, column],
            behaviour_log_prob=log_prob[:, column],
            group=group[: len(column)],
            longest=self._longest,
            group_size=copies,
        )
        mismatch = torch.cat([r.mismatch for r in rounds])
        self._measured = {
            "accuracy": float(correct.float().mean()),
            "accuracy_flexible": float(np.mean([g.correct_flexible for g in grades])),
            "response_length": float(length.double().mean()),
            "ended_fraction": float(ended.float().mean()),
            "groups_without_signal": float(np.concatenate([r.uniform(copies) for r in rounds]).mean()),
            "sampler_mismatch_mean": float(mismatch.abs().mean()),
            "sampler_mismatch_max": float(mismatch.abs().max()),
            "sampler_mismatch_kl": float(divergence.kl(mismatch.double())),
        }
        number = np.concatenate([r.group for r in rounds])
        columns = {
            "episode_id": (number[:, None] * copies + np.arange(copies)).ravel(),
            "phase": np.full(n, phase, np.int32),
            "actor": actor[group].astype(np.int32),
            "group": number[group],
            "prompt_id": np.array([asked[g].number for g in group], np.int32),
            "prompt": [np.array(prompts[g], np.int32) for g in group],
            "token": tokens,
            "behaviour_log_prob": [log_prob[: length[i], i].numpy() for i in range(n)],
            "behaviour_version": [version[: length[i], i].numpy().astype(np.int32) for i in range(n)],
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
        return Collection(rollout, Transitions(columns), episodes, n)

    def diagnostics(self) -> dict[str, float]:
        """See ``Actors.diagnostics``: the rewards, which are not scaled, and the phase's completions."""
        return {"reward_scale": 1.0, **self._measured}

    def play(
        self, version: Version, seeds: Sequence[int], *, stochastic: bool = False, drawn: bool = False
    ) -> list[PlayedCompletion]:
        """See ``Actors.play``: episode j is on question j of the test set; with ``stochastic``, sampled by seed j.

        With ``drawn``, questions are drawn by seed and may repeat.
        """
        asked = tuple(self._drawn_from_test(seed) for seed in seeds) if drawn else self._test[: len(seeds)]
        prompts = self._task.prompts(asked)
        noise = None
        if stochastic:
            own = [evaluation_noise(seed, version.number, self._longest) for seed in seeds]
            noise = torch.from_numpy(np.stack(own, axis=1))
        completions = self._complete(version, prompts, 1, self._longest, noise)
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
        """See ``Actors.state``: the number of completed groups."""
        return {"completed": self._completed}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See ``Actors.restore``."""
        self._completed = int(state["completed"])


def evaluation_noise(seed: int, version: int, tokens: int) -> NDArray[np.float64]:
    """The sampling noise [tokens] of a version's answer; a longer one has the same prefix."""
    return generator(seed, Stream.EVALUATION_ACTION, version).random(tokens)


def _numbers(versions: Sequence[Sequence[Version]]) -> NDArray[np.int64]:
    """The version numbers [actors, steps]."""
    return np.array([[version.number for version in steps] for steps in versions])


def _merged(rounds: Sequence[_Round], copies: int) -> _Round:
    """Merge rounds into one, with groups in the order of their numbers."""
    group = np.concatenate([r.group for r in rounds])
    order = np.argsort(group)
    column = (order[:, None] * copies + np.arange(copies)).ravel()

    def sorted_by(order: NDArray[np.int64], parts: Iterable[Sequence[_T]]) -> list[_T]:
        every = [x for part in parts for x in part]
        return [every[i] for i in order]

    return _Round(
        group=group[order],
        actor=np.concatenate([r.actor for r in rounds])[order],
        asked=sorted_by(order, (r.asked for r in rounds)),
        prompts=sorted_by(order, (r.prompts for r in rounds)),
        completions=Completions(*(x[:, column] for x in side_by_side([r.completions for r in rounds]))),
        texts=sorted_by(column, (r.texts for r in rounds)),
        grades=sorted_by(column, (r.grades for r in rounds)),
        mismatch=torch.cat([r.mismatch for r in rounds]),
    )


def _in_order(parts: Sequence[Completions], columns: NDArray[np.int64]) -> Completions:
    """Concatenate parts along columns; column i of the result is moved to ``columns[i]``."""
    back = torch.from_numpy(np.argsort(columns))
    return Completions(*(x[:, back] for x in side_by_side(parts)))
