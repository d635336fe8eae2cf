"""GSM8k for Gymnasium: ``gymnasium.make("lagbench/GSM8k-v0", data=DIR)``. The observation is the question."""

from __future__ import annotations

from typing import Any

import gymnasium
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Text

from lagbench.errors import UsageError
from lagbench.tasks.gsm8k import grading
from lagbench.tasks.gsm8k.data import TRAIN, Question
from lagbench.tasks.gsm8k.task import GSM8kTask
from lagbench.tasks.spec import load_task


class AnyText(Text):
    """The space of all strings; plain ``Text`` allows only letters and digits, of which samples consist."""

    def __init__(self) -> None:
        super().__init__(max_length=1 << 10, min_length=0)

    def contains(self, x: Any) -> bool:
        """Whether ``x`` is a string."""
        return isinstance(x, str)

    def __repr__(self) -> str:
        return "AnyText()"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AnyText)

    __hash__ = None  # type: ignore[assignment]


class GSM8kEnv(gymnasium.Env[str, str]):
    """One question, one completion: the reward is 1.0 if the strict rule extracts the right answer, else 0.0.

    ``reset`` draws a question; ``options={"number": k}`` selects one. A step's info has the answers that both rules
    extracted.

    Args:
        task: the source of the questions.
        name: the set: ``train``, ``test``, …
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - not a ClassVar: the base class declares it so

    def __init__(self, task: GSM8kTask, name: str = TRAIN) -> None:
        self.observation_space = AnyText()
        self.action_space = AnyText()
        self.questions = task.questions(name)
        self._asked: Question | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Return the question, and its number in the set as info. Raises UsageError for a number not in the set."""
        super().reset(seed=seed)
        given = options or {}
        if given.keys() - {"number"}:
            raise UsageError(f"reset takes the option 'number' only, not {sorted(given)}")
        n = len(self.questions)
        number = given.get("number", int(self.np_random.integers(n)))
        if not 0 <= number < n:
            raise UsageError(f"there is no question {number}; there are {n}, from 0")
        self._asked = self.questions[number]
        return self._asked.question, {"number": number}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Grade a completion. Raises ResetNeeded if there is no current question."""
        if self._asked is None:
            raise ResetNeeded("reset the environment first: each question can be answered once")
        asked, self._asked = self._asked, None
        grade = grading.grade(action, asked.target)
        info = {
            "number": asked.number,
            "target": asked.target,
            "strict": grade.strict,
            "flexible": grade.flexible,
            "correct_flexible": grade.correct_flexible,
            "grader_version": grading.VERSION,
        }
        return asked.question, float(grade.correct), True, False, info


def make(task_id: str, name: str = TRAIN, **options: Any) -> GSM8kEnv:
    """Entry point of ``gymnasium.make("lagbench/<task>")``. Raises UsageError for unknown options or missing data."""
    task = load_task(task_id, options)
    assert isinstance(task, GSM8kTask)
    return GSM8kEnv(task, name)
