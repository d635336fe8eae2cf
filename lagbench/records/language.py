"""The tables of language runs: one row per completion, with its tokens as lists and its text."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lagbench.records.findings import Difference
from lagbench.records.kind import EVALUATION_COLUMNS, PHASE_COLUMNS, Columns, Evaluated, RecordKind
from lagbench.spec import RunSpec
from lagbench.tasks.gsm8k import grading

if TYPE_CHECKING:
    from lagbench.tasks.gsm8k.task import GSM8kTask


@dataclass(frozen=True, eq=False)
class Completion:
    """A training completion: a row of ``trajectories``, by its columns."""

    episode_id: int
    phase: int
    actor: int
    group: int
    prompt_id: int
    prompt: NDArray[np.int32]
    token: NDArray[np.int32]
    behaviour_log_prob: NDArray[np.float32]
    behaviour_version: NDArray[np.int32]
    learner_version: int
    completion: str
    target: str
    strict: str | None
    flexible: str | None
    grader_version: int
    reward: float
    terminated: bool
    truncated: bool

    @property
    def length(self) -> int:
        """Tokens, including the end token."""
        return len(self.token)

    @property
    def ended(self) -> bool:
        """Always true: a completion without an end token is truncated."""
        return True

    @property
    def episode_return(self) -> float:
        """Its reward."""
        return self.reward


@dataclass(frozen=True, eq=False)
class EvaluatedCompletion(Evaluated):
    """An evaluation's completion: a row of ``evaluations``, by its columns."""

    prompt_id: int
    question: str
    prompt: NDArray[np.int32]
    token: NDArray[np.int32]
    completion: str
    target: str
    strict: str | None
    flexible: str | None
    correct_flexible: bool
    grader_version: int


class LanguageRecords(RecordKind):
    """See ``RecordKind``; there are no ``sizes``."""

    def columns(self, **sizes: int) -> Columns:
        """See ``RecordKind.columns``."""
        tokens = pa.list_(pa.int32())
        graded = [
            ("completion", pa.string()),
            ("target", pa.string()),
            ("strict", pa.string()),
            ("flexible", pa.string()),
        ]
        return {
            "trajectories": [
                ("episode_id", pa.int64()),
                ("phase", pa.int32()),
                ("actor", pa.int32()),
                ("group", pa.int64()),
                ("prompt_id", pa.int32()),
                ("prompt", tokens),
                ("token", tokens),
                ("behaviour_log_prob", pa.list_(pa.float32())),
                ("behaviour_version", tokens),
                ("learner_version", pa.int32()),
                *graded,
                ("grader_version", pa.int32()),
                ("reward", pa.float32()),
                ("terminated", pa.bool_()),
                ("truncated", pa.bool_()),
            ],
            "episodes": [
                ("episode_id", pa.int64()),
                ("phase", pa.int32()),
                ("actor", pa.int32()),
                ("group", pa.int64()),
                ("prompt_id", pa.int32()),
                ("grader_version", pa.int32()),
                ("return", pa.float64()),
                ("length", pa.int32()),
                ("terminated", pa.bool_()),
                ("truncated", pa.bool_()),
            ],
            "evaluations": [
                *EVALUATION_COLUMNS,
                ("prompt_id", pa.int32()),
                ("question", pa.string()),
                ("prompt", tokens),
                ("token", tokens),
                *graded,
                ("correct_flexible", pa.bool_()),
                ("grader_version", pa.int32()),
            ],
            "phases": list(PHASE_COLUMNS),
        }

    def step_columns(self, table: str) -> Sequence[str] | None:
        """See ``RecordKind.step_columns``: evaluations keep all columns, so that a slim copy can be graded again."""
        return None if table == "trajectories" else ()

    def wrong_episode(self, episode: EvaluatedCompletion) -> Iterator[Difference]:
        """Differences of an evaluation's row from its completion, which is graded again."""
        grade = grading.grade(episode.completion, episode.target)
        columns = {
            "strict": (episode.strict, grade.strict),
            "flexible": (episode.flexible, grade.flexible),
            "correct_flexible": (episode.correct_flexible, grade.correct_flexible),
            "return": (episode.episode_return, float(grade.correct)),
            "length": (episode.length, len(episode.token)),
        }
        for name, (recorded, graded) in columns.items():
            if recorded != graded:
                yield Difference("evaluations", episode.name, name, recorded, graded, "graded")

    def wrong_start(self, episode: EvaluatedCompletion, task: GSM8kTask) -> Iterator[Difference]:
        """See ``RecordKind.wrong_start``: an evaluation asks the first questions of the test set, in order."""
        questions = task.questions(task.test)
        if not 0 <= episode.episode < len(questions):
            yield Difference("evaluations", episode.name, "episode", episode.episode, "a question's", "in the test set")
            return
        asked = questions[episode.episode]
        columns = {
            "prompt_id": (episode.prompt_id, asked.number),
            "question": (episode.question, asked.question),
            "target": (episode.target, asked.target),
        }
        for name, (recorded, wanted) in columns.items():
            if recorded != wanted:
                yield Difference("evaluations", episode.name, name, recorded, wanted, "in the test set")

    def evaluation_episodes(self, batches: Iterable[Any]) -> Iterator[EvaluatedCompletion]:
        """See ``RecordKind.evaluation_episodes``."""
        for row in _rows(batches, ("prompt", "token")):
            yield EvaluatedCompletion(fractions=tuple(row.pop("fractions")), episode_return=row.pop("return"), **row)

    def training_episodes(self, batches: Iterable[Any], spec: RunSpec, directory: Path) -> Iterator[Completion]:
        """See ``RecordKind.training_episodes``: one completion per row, so none is open."""
        for row in _rows(batches, ("prompt", "token", "behaviour_log_prob", "behaviour_version")):
            yield Completion(**{name: row[name] for name in _COMPLETION})


_COMPLETION = [field.name for field in dataclasses.fields(Completion)]


def _rows(batches: Iterable[Any], lists: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Rows by column, with the columns ``lists`` as arrays."""
    for batch in batches:
        plain = batch.select([name for name in batch.schema.names if name not in lists]).to_pylist()
        columns = {name: batch.column(name) for name in lists}
        for i, row in enumerate(plain):
            yield {**row, **{name: column[i].values.to_numpy() for name, column in columns.items()}}
