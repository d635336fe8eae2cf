"""Explanations of the board's numbers and states."""

from __future__ import annotations

from lagbench.leaderboard import flags
from lagbench.leaderboard.board import Board, Row

STATES = {
    "baseline": (
        "trained by lagbench’s maintainers on the suite’s cells",
        "that it could not be tuned better: its settings were searched on other seeds, by the same maintainers",
    ),
    "rerun": (
        "a maintainer trained this source on the suite’s cells, with seeds drawn after the submission was fixed",
        "that the source contains no manipulation (it is public and can be read), or how much it was tuned (stated by "
        "its author)",
    ),
    "claimed": ("results reported by its author; listed, not ranked", "that the results are real"),
}
"""State → what it proves, and what it does not."""
MEANINGS = {
    "score": "(return − start) / (reference − start) on each task: 0 is the untrained policy, 1 is PPO at lag 0. "
    "Scores are not clipped. On language the score is accuracy.",
    "IQM": "Interquartile mean: the mean of the middle half of all runs × tasks.",
    "lag score": "The average IQM over the suite’s lags: the area by the trapezoidal rule over log₂(1 + L), divided "
    "by its range; on a forward axis over log₂(U). Ranks are based on it.",
    "interval": "Nominal 95%, by a stratified bootstrap (rliable). With few seeds intervals are too narrow: their "
    "measured coverage is stated under each board.",
    "tolerance": "The smallest lag at which IQM falls below 0.9 of that at lag 0, interpolated linearly in log₂(1 + "
    "L); “≥ 64”: it never does up to the largest lag, 64 (censored). Undefined unless the lower bound of IQM at lag 0 "
    "exceeds 0.2. It is relative to a method’s own score at lag 0, and not used for ranking.",
    "rank": "1 + the number of significantly better methods: those for which the p-value of the difference, with "
    "Holm’s correction over all pairs, is at most 0.05. Methods that do not differ significantly share a rank: =.",
    "the same method": "Several names of one method share its rank and count once, as the earliest entry. Entries are "
    "the same method if they have the same source, up to names of files and classes, or claims that agree to the last "
    "digit in most evaluations, unless their results differ significantly under other settings.",
    "TV(π_T, β)": "The total variation between the policy before a phase’s updates and the behaviour policies, "
    "measured in training, which shows how off-policy the data was at lag L; the median over runs. If it is less than "
    f"1/{flags.FAR_BELOW:.0f} of the median of {flags.FEWEST_OTHERS} or more other methods, lag may be switched off "
    f"by the source, or the policy hardly changes: read the source.",
    "differs from its claim": "A rerun’s final returns differ from the claim by more than the spread over seeds of "
    "both explains: Student’s t of two samples per cell, and for the lag score as between any two rows, with Holm’s "
    "correction over all of these, p ≤ 0.05. Only the rerun is ranked.",
}
"""Term → what it means."""


def empty(board: Board) -> str:
    """The text of a board without ranks."""
    return f"Nothing is ranked on {board.suite.name} yet: neither baselines nor submissions have been trained on it."


def state(row: Row) -> str:
    """The row's state, a key of ``STATES``."""
    return "baseline" if row.method.is_baseline else "claimed" if row.is_claim else "rerun"


def facts(board: Board) -> list[str]:
    """The grid and the replications, in short phrases."""
    suite = board.suite
    replications = f"{board.results.replications:,} replications behind the intervals" if board.results else ""
    found = [
        ", ".join(suite.tasks),
        f"{suite.axis} {', '.join(map(str, suite.values))}",
        f"{len(suite.seeds)} seeds",
        f"{suite.budget:,} {suite.domain.budget_unit} per run",
    ]
    return found + [replications] * bool(replications)


def warnings(board: Board, row: Row) -> list[str]:
    """Short warnings about a row."""
    found = []
    if row.without_lag:
        at = ", ".join(map(str, row.without_lag))
        found.append(f"lag may be switched off: TV(π_T, β) far below the others’ at {board.suite.axis} {at}")
    if row.agreement is not None and row.agreement.apart:
        found.append("differs from its claim by more than the spread over seeds explains")
    if row.method.stale:
        found.append("changed since its rerun, which therefore does not count")
    return found


def notes(board: Board, row: Row) -> list[str]:
    """Remarks on a method's scores."""
    found = []
    if row.head != row.method.key:
        found.append(
            f"its claim agrees with {row.head}: for the ranks of others they count once"
            if row.by_claim
            else f"the same method as {row.head}, whose rank it shares"
        )
    if row.method.record is not None and not row.method.record.is_whole:
        seeds, of = len(row.method.record.seeds), row.method.record.of
        found.append(f"partial rerun: {seeds} of {of} seeds of every task and {board.suite.axis}")
    for line in row.results.lines:
        if line.undefined:
            found.append(f"{line.label}: retention and tolerance are undefined: {line.undefined}")
        if n := line.diverged:
            found.append(
                f"{line.label}: {n} of {line.runs} runs diverged; their missing evaluations count as their first or "
                f"last one, the lower"
            )
    return [*found, *row.results.notes, row.results.power_note, row.results.coverage]
