"""Explanations that stand beside the numbers of the board."""

from __future__ import annotations

from lagbench.leaderboard import flags
from lagbench.leaderboard.board import Board, Row

STATES = {
    "baseline": (
        "lagbench’s own maintainers trained it on the suite’s cells",
        "that it could not be tuned better: its settings were searched on other seeds, by the same people",
    ),
    "rerun": (
        "a maintainer trained this source on the suite’s cells, on seeds drawn after the submission was fixed",
        "that the source hides nothing: it is public, read it; how much it was tuned, its author states",
    ),
    "claimed": ("its author reports these results; it is listed, not ranked", "that they happened"),
}
"""State → what it proves, and what it does not."""
MEANINGS = {
    "score": "(return − start) / (reference − start) on each task: 0 is the untrained policy, 1 is PPO at lag 0. "
    "Nothing is clipped. On language: accuracy itself.",
    "IQM": "The mean of the middle half of all runs × tasks.",
    "lag score": "The mean height of IQM over the suite’s lags: the trapezoid against log₂(1 + L), divided by its "
    "range. On a forward axis: against log₂(U). It is what ranks.",
    "interval": "95%, by a stratified bootstrap (rliable). With few seeds intervals are too narrow: under each "
    "board stands how often they held the true value when that was measured.",
    "tolerance": "The smallest lag at which IQM falls below 0.9 of that at lag 0, linear between lags in log₂(1 + "
    "L); “≥ 64” where it never does up to the largest lag, 64: it is censored. Undefined unless the lower bound of "
    "IQM at lag 0 exceeds 0.2. It is relative to a method’s own start, and ranks nobody.",
    "rank": "1 + the number of methods that are surely better: whose p-value of the difference, with Holm’s "
    "correction over all pairs, is at most 0.05. Those that cannot be told apart share a rank: =.",
    "the same method": "Several names of one method share its rank and count once, as the one that was there first. "
    "One method is what has one source, whatever its files and classes are called, or claims that agree to the last "
    "digit in most evaluations; unless under other settings it came out differently.",
    "TV(π_T, β)": "The total variation between the policy before a phase’s updates and the policies that acted, "
    "measured in training: what the lag L came to; the median over runs. Where it is less than "
    f"1/{flags.FAR_BELOW:.0f} of the median of {flags.FEWEST_OTHERS} others or more, lag may be switched off from "
    "inside, or the policy hardly moves: read the source.",
    "differs from its claim": "A rerun’s final returns differ from what was claimed by more than the spread over "
    "seeds of both allows: Student’s t of two samples by cell, and of the lag score as between any two rows, with "
    "Holm’s correction over all of these, p ≤ 0.05. The rerun is what counts.",
}
"""Term → what it means."""


def empty(board: Board) -> str:
    """What is said of a board where nothing is ranked."""
    return f"Nothing is ranked on {board.suite.name} yet: neither baselines nor submissions have been trained on it."


def state(row: Row) -> str:
    """A key of ``STATES``."""
    return "baseline" if row.method.is_baseline else "claimed" if row.is_claim else "rerun"


def facts(board: Board) -> list[str]:
    """What the grid is, a phrase each."""
    suite = board.suite
    replications = f"{board.results.replications:,} replications behind the intervals" if board.results else ""
    found = [
        ", ".join(suite.tasks),
        f"{suite.axis} {', '.join(map(str, suite.values))}",
        f"{len(suite.seeds)} seeds",
        f"{suite.budget:,} {suite.domain.budget_unit} a run",
    ]
    return found + [replications] * bool(replications)


def warnings(board: Board, row: Row) -> list[str]:
    """What has to be seen at once, in few words."""
    found = []
    if row.without_lag:
        at = ", ".join(map(str, row.without_lag))
        found.append(f"lag may be switched off: TV(π_T, β) far below the others’ at {board.suite.axis} {at}")
    if row.agreement is not None and row.agreement.apart:
        found.append("differs from its claim by more than both spreads allow")
    if row.method.stale:
        found.append("changed since it was trained again, so that the rerun does not count")
    return found


def notes(board: Board, row: Row) -> list[str]:
    """What has to be said beside a method's scores."""
    found = []
    if row.head != row.method.key:
        found.append(f"the same method as {row.head}, whose rank it shares")
    if row.method.record is not None and not row.method.record.is_whole:
        seeds, of = len(row.method.record.seeds), row.method.record.of
        found.append(f"cells were drawn for the rerun: {seeds} of {of} seeds of every task and {board.suite.axis}")
    for line in row.results.lines:
        if line.undefined:
            found.append(f"{line.label}: retention and tolerance are undefined: {line.undefined}")
        if n := line.diverged:
            found.append(
                f"{line.label}: {n} of {line.runs} runs diverged; from there on they count as they began or as they "
                "last did, the lower"
            )
    return [*found, *row.results.notes, row.results.power_note, row.results.coverage]
