"""What axes and captions say."""

from __future__ import annotations

from lagbench.scoring.results import Kind
from lagbench.suites import Axis

SCORE = {
    "score": "normalised score",
    "accuracy": "accuracy",
    "return": "return",
}
MEANING = {
    "score": "A score of 0 is that of uniform random actions, 1 that of PPO at lag 0.",
    "accuracy": "The score is accuracy, the share of questions that are answered right.",
    "return": "Returns are not normalised.",
}
AXIS = {"lag": "largest backward lag L, policy versions", "updates": "updates a phase U"}
SCALE = {"lag": "log₂(1 + L)", "updates": "log₂ U"}
BAND = "95% intervals"


def axis_label(axis: Axis) -> str:
    """Of the axis of values, with its unit and scale."""
    return f"{AXIS[axis]} ({SCALE[axis]} scale)"


def score(kind: Kind, of: str = "") -> str:
    """What is drawn on a score's axis."""
    return f"{of} of {SCORE[kind]}" if of else SCORE[kind]


def budget(unit: str, largest: int) -> tuple[float, str]:
    """What to divide a budget by, and the label of an axis of it."""
    for size, name in ((1_000_000, "millions of "), (1_000, "thousands of ")):
        if largest >= size:
            return float(size), f"{name}{unit}"
    return 1.0, unit
