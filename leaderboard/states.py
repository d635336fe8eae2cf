"""How far a submission is checked: computed from what was found, never read; what each state proves and does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from lagbench.leaderboard import agreement
from lagbench.leaderboard.findings import CHECKS
from lagbench.leaderboard.reproduction import Reproduction
from lagbench.leaderboard.validate import Validation
from lagbench.leaderboard.verification import POLICY, REEVALUATION, Verification


@dataclass(frozen=True)
class Level:
    """A state: its name, what it proves, and what it does not."""

    name: str
    proves: str
    does_not_prove: str

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dictionary."""
        return dict(vars(self))


CLAIMED = Level("claimed", "the files are well formed and the grid is complete", "anything else")
RESCORED = Level("rescored", "the scores follow from the episodes", "that the episodes happened")
REPLAYED = Level(
    "replayed",
    "these actions earn these rewards from these seeds, and the policy in the policy file chose them",
    "the training: its budget, its lag, how often it was run",
)
REEVALUATED = Level(
    "re-evaluated",
    "this policy scores like this on seeds that were drawn after the submission was fixed",
    "the training: its budget, its lag, how often it was run",
)
REPRODUCED = Level(
    "reproduced",
    "a maintainer ran the code: at least three cells of the grid came out within three standard errors",
    "how much it was tuned, and which runs were thrown away; the authors state both",
)
LEVELS = (CLAIMED, RESCORED, REPLAYED, REEVALUATED, REPRODUCED)
"""Each stands on those before it."""


@dataclass(frozen=True)
class State:
    """How far a submission is checked.

    Attributes:
        level: the highest state that it has.
        missing: why it does not have the next one, in a sentence; empty for the last.
        notes: sentences on what to bear in mind.
    """

    level: Level
    missing: str
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of the level."""
        return self.level.name

    @property
    def rank(self) -> int:
        """From 0, for ``claimed``."""
        return LEVELS.index(self.level)

    def reaches(self, level: Level) -> bool:
        """Whether it has that state, or a later one."""
        return self.rank >= LEVELS.index(level)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dictionary."""
        return {**self.level.to_json(), "missing": self.missing, "notes": list(self.notes)}


def state(
    validation: Validation, verification: Verification | None = None, reproduction: Reproduction | None = None
) -> State | None:
    """The state of a submission; None where it has not even the first, and belongs on no board.

    Args:
        validation: of the submission.
        verification: as ``verify`` or ``verification.read`` gives it; one of another submission counts for nothing.
        reproduction: likewise.
    """
    submission = validation.submission
    found = verification if submission and verification and verification.submission == submission.sha256 else None
    reached: Level | None = None
    missing = ""
    for level, lacks in (
        (CLAIMED, partial(_not_passed, validation, CLAIMED)),
        (RESCORED, partial(_not_passed, validation, RESCORED)),
        (REPLAYED, partial(_not_replayed, validation, found)),
        (REEVALUATED, partial(_not_reevaluated, validation, found)),
        (REPRODUCED, partial(_not_reproduced, validation, reproduction)),
    ):
        if missing := lacks():
            break
        reached = level
    if reached is None:
        return None
    return State(reached, missing, tuple(_notes(reached, found, reproduction)))


def _not_passed(validation: Validation, level: Level) -> str:
    """Why the checks of validation do not give that state; empty where they do."""
    outcomes = validation.outcomes
    lacking = [check.name for check in CHECKS if check.state == level.name and outcomes[check.name] != "ok"]
    return f"it did not pass {', '.join(lacking)}" if lacking else ""


def _not_replayed(validation: Validation, found: Verification | None) -> str:
    if found is None:
        return "there is no report on it"
    if failed := [check for check in found.failures if check.name != REEVALUATION]:
        return f"{failed[0].run}, {failed[0].name}: {failed[0].message}"
    return _not_all(validation, found, POLICY)


def _not_reevaluated(validation: Validation, found: Verification | None) -> str:
    assert found is not None
    return _not_all(validation, found, REEVALUATION)


def _not_all(validation: Validation, found: Verification, name: str) -> str:
    """Which run that was completed has not passed a check, which is skipped for those that diverged."""
    outcomes = {check.run: check for check in found.checks if check.name == name}
    table: Any = validation.table
    for run, status in zip(table["path"].to_pylist(), table["status"].to_pylist(), strict=True):
        check = outcomes.get(run)
        if status == "completed" and (check is None or check.outcome != "ok"):
            return f"{run}, {name}: {check.message if check else 'not made'}"
    return ""


def _not_reproduced(validation: Validation, reproduction: Reproduction | None) -> str:
    assert validation.submission is not None
    return "nobody has run its code" if reproduction is None else reproduction.lacks(validation.submission)


def _notes(reached: Level, found: Verification | None, reproduction: Reproduction | None) -> Iterator[str]:
    if found is not None and LEVELS.index(reached) >= LEVELS.index(REPLAYED):
        if found.sample is not None:
            yield f"of each final evaluation {found.sample} episodes were replayed, drawn when the submission was fixed"
        if not found.exact:
            yield (
                "some episodes were recorded with another EnvPool, CPU or platform than they were replayed with, and "
                f"were held to its rewards in their first {found.tolerance['elsewhere_steps']:g} steps only, to within "
                f"{found.tolerance['elsewhere_reward']:g}"
            )
        if found.flagged:
            yield (
                f"the claimed mean of {len(found.flagged)} of {len(found.reevaluated)} runs is more than "
                f"{agreement.LIMIT:g} standard errors from the one on fresh seeds, where {found.flagged_by_chance:.1f} "
                "are to be expected by chance of normal returns"
            )
    if reproduction is not None and reached is REPRODUCED:
        cells = "; ".join(map(str, reproduction.cells))
        yield f"reproduced by {reproduction.who} on {reproduction.when}: {cells}"
