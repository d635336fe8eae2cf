"""What is said beside the numbers."""

from __future__ import annotations

from lagbench.leaderboard.board import Board, Entry

MEANINGS = {
    "score": "(return − start) / (reference − start) on each task: 0 is the untrained policy, in suites of version 0 "
    "uniform random actions; 1 is PPO at lag 0. Nothing is clipped. On language: accuracy itself.",
    "IQM": "The mean of the middle half of all runs × tasks.",
    "lag score": "The mean height of IQM over the suite’s lags: the trapezoid against log₂(1 + L), divided by its "
    "range. On a forward axis: against log₂(U). It is what ranks.",
    "interval": "95%, by a stratified bootstrap (rliable). With few seeds intervals are too narrow: under each board "
    "stands how often they held the true value when that was measured.",
    "tolerance": "The smallest lag at which IQM falls below 0.9 of that at lag 0, linear between lags in log₂(1 + L); "
    "“≥ 64” where it never does up to the largest lag, 64: it is censored. Undefined unless the lower bound of IQM at "
    "lag 0 exceeds 0.2. It is relative to a method’s own start, and ranks nobody.",
    "rank": "1 + the number of submissions that are surely better: whose p-value of the difference, with Holm’s "
    "correction over all pairs, is at most 0.05. Those that cannot be told apart share a rank: =.",
    "final score": "Of the last evaluation of a run, never of the best. It stands on episodes: where a submission is "
    "re-evaluated, on fresh ones, played by its policies on seeds that were drawn when nothing could be changed any "
    "more; else on those that were submitted, with their seeds and actions.",
    "area": "Under the curve of all evaluations over the budget. It stands on returns as they were reported: of the "
    "evaluations before the last, no actions are kept.",
}
"""Term → what it means."""


def meaning(board: Board) -> str:
    """What a score is, in a sentence."""
    if board.suite.domain.returns_are_scores:
        return "A score is accuracy: the share of questions that are answered right."
    start = "uniform random actions" if _of_version_0(board) else "the untrained policy"
    return f"A score of 0 is that of {start}, 1 that of PPO at lag 0."


def _of_version_0(board: Board) -> bool:
    return board.suite.evaluation.measure == "mode"


def basis(entry: Entry) -> str:
    """What the final scores of an entry stand on, in few words."""
    if entry.fresh and entry.verification:
        return f"on {entry.verification.episodes} fresh episodes a run"
    return "on the episodes submitted"


def stands_on(entry: Entry) -> str:
    """What its numbers stand on, in sentences."""
    if entry.fresh and entry.verification:
        return (
            f"Final scores stand on {entry.verification.episodes} fresh episodes a run, played by the submitted "
            "policies on seeds drawn after the submission was fixed; beside them, what the submitted episodes come to. "
            "Areas stand on reported returns."
        )
    return "Final scores stand on the episodes that were submitted, areas on reported returns."


def facts(board: Board) -> list[str]:
    """What the grid is, a phrase each."""
    suite = board.suite
    return [
        ", ".join(suite.tasks),
        f"{suite.axis} {', '.join(map(str, suite.values))}",
        f"{len(suite.seeds)} seeds",
        f"{suite.budget:,} {suite.domain.budget_unit} a run",
        f"{board.results.replications:,} replications behind the intervals",
    ]


def notes(board: Board, entry: Entry) -> list[str]:
    """What has to be said beside an entry's scores."""
    found = list(entry.state.notes)
    if entry.line.undefined:
        found.append(f"Retention and tolerance are undefined: {entry.line.undefined}")
    if n := entry.line.diverged:
        after = "score 0" if _of_version_0(board) else "count as they began or as they last did, the lower"
        found.append(f"{n} of {entry.line.runs} runs diverged; from there on they {after}")
    return [*found, *filter(None, [board.results.power_note]), board.results.coverage]
