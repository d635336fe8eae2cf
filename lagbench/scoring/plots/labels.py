"""Texts of axes and captions."""

from __future__ import annotations

from lagbench.scoring.grid import domain_of
from lagbench.scoring.results import Results
from lagbench.suites import Axis

SCORE = {
    "score": "normalised score",
    "accuracy": "accuracy",
    "return": "return",
}
_MEANING = {
    "score": "A score of 0 is that of {start}, 1 that of PPO at lag 0, with {modes}.",
    "accuracy": "The score is accuracy, the share of correctly answered questions, with {modes}.",
    "return": "Returns are not normalised; they were measured with {modes}.",
}
AXIS = {"lag": "largest backward lag L, policy versions", "updates": "updates per phase U"}
SCALE = {"lag": "log₂(1 + L)", "updates": "log₂ U"}
BAND = "95% intervals"


def meaning(results: Results) -> str:
    """The definition of a score, in a sentence."""
    start = "uniform random actions" if results.measure == "mode" else "the untrained policy"
    return _MEANING[results.kind].format(start=start, modes=domain_of(results.tasks[0]).modes[results.measure])


def axis_label(axis: Axis) -> str:
    """The label of the axis of values, with unit and scale."""
    return f"{AXIS[axis]} ({SCALE[axis]} scale)"


def budget(unit: str, largest: int) -> tuple[float, str]:
    """The divisor of a budget axis, and its label."""
    for size, name in ((1_000_000, "millions of "), (1_000, "thousands of ")):
        if largest >= size:
            return float(size), f"{name}{unit}"
    return 1.0, unit
