"""The board of a suite as data: ranked baselines and reruns, and unranked claims."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lagbench import Suite, scoring
from lagbench.leaderboard import clones, flags, methods
from lagbench.leaderboard.flags import Agreement
from lagbench.leaderboard.methods import Method

FORMAT_VERSION = 2
RERUN, CLAIM = "rerun", "claim"
Details = scoring.details.Details
Entries = Sequence[scoring.grid.Entry]
Line = scoring.results.Line
Results = scoring.results.Results
Scores = scoring.normalize.Scores
Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Row:
    """A method on the board.

    Attributes:
        method: the method.
        results: the method scored on its own: the maintainers' runs, if any, then the claim, if any.
        details: details of ``results``.
        rank: 1 + the number of significantly better methods; None if not ranked.
        head: the key of the method that this one duplicates; else its own key.
        by_claim: whether only the claims show the duplication. As anyone can copy a claim, each is then still ranked by
            its own runs, but they count as one method in the ranks of others.
        agreement: between claim and rerun, if both exist.
        tv: measured TV(π_T, β) by value of the suite's axis.
        without_lag: values of the axis at which TV is far below that of other methods → the others' median.
    """

    method: Method
    results: Results
    details: Details
    rank: int | None
    head: str
    by_claim: bool
    agreement: Agreement | None
    tv: Mapping[int, float]
    without_lag: Mapping[int, float]

    @property
    def line(self) -> Line:
        """The displayed results: the maintainers' runs if there are any, else the claim."""
        return self.results.lines[0]

    @property
    def is_claim(self) -> bool:
        """Whether only its authors have trained it."""
        return self.method.runs is None

    def to_json(self) -> dict[str, Any]:
        """The row as a JSON-able dictionary, without scores."""
        submission, record = self.method.submission, self.method.record
        return {
            "key": self.method.key,
            "label": self.method.label,
            "name": self.method.name,
            "state": "baseline" if self.method.is_baseline else CLAIM if self.is_claim else RERUN,
            "rank": self.rank,
            "same_by_claim": self.by_claim,
            "same_as": None if self.head == self.method.key else self.head,
            "submission": submission and submission.sha256,
            "seeds": record and list(record.seeds),
            "agreement": self.agreement and dataclasses.asdict(self.agreement),
            "tv_backward": dict(self.tv),
            "lag_may_be_off": list(self.without_lag),
        }


@dataclass(frozen=True)
class Board:
    """The board of a suite. ``results`` and ``details`` cover the rows ranked on their own; None without such rows."""

    suite: Suite
    results: Results | None
    details: Details | None
    ranked: tuple[Row, ...]
    claims: tuple[Row, ...]

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows, ranked ones first."""
        return self.ranked + self.claims

    def to_json(self) -> dict[str, Any]:
        """All rows and results, as a JSON-able dictionary."""
        return {
            "format_version": FORMAT_VERSION,
            "suite": {"name": self.suite.name, "sha256": self.suite.sha256},
            "rows": [row.to_json() for row in self.rows],
            "results": self.results and self.results.to_json(),
        }


def board(
    suite: Suite,
    found: Sequence[Method],
    *,
    replications: int,
    progress: Progress = lambda done, total: None,
) -> Board:
    """Rank the methods of a suite (``methods.find``).

    Args:
        suite: the suite.
        found: its methods.
        replications: number of bootstrap replications.
        progress: called with the number of methods scored and in total.

    Raises UsageError and LagbenchError as ``scoring.grid.read`` if the maintainers' runs cannot be compared.
    """
    own = {}
    for method in found:
        own[method.key] = _own(suite, method, replications)
        progress(len(own), len(found))
    trained = [method for method in found if method.runs is not None]
    prints = {one.key: clones.fingerprint(one.source) if one.source else one.key for one in trained}
    heads = _heads(suite, trained, prints, replications)
    by_claim = {method.key for method in trained if prints[method.key] != prints[heads[method.key]]}
    ranking = [method for method in trained if heads[method.key] == method.key]
    results, details, ranks = None, None, {}
    if ranking:
        scores = _scores(suite, ranking)
        results, details = _scored(scores, replications)
        ranks = {line.label: line.rank for line in results.lines}
    for method in trained:
        if method.key in by_claim:
            instead = [method if one.key == heads[method.key] else one for one in ranking]
            lines = scoring.score.score_grid(_scores(suite, instead), replications=replications).lines
            ranks |= {line.label: line.rank for line in lines if line.label == method.label}
    labels = {method.key: method.label for method in found}
    tv = {method.key: flags.measured_tv(method.runs, suite.axis) for method in trained}
    rows = []
    for method in found:
        head = heads.get(method.key, method.key)
        others = [tv[other.key] for other in ranking if other.key != head]
        its_results, its_details, agreed = own[method.key]
        rows.append(
            Row(
                method=method,
                results=its_results,
                details=its_details,
                rank=ranks.get(method.label, ranks.get(labels[head])),
                head=head,
                by_claim=method.key in by_claim,
                agreement=agreed,
                tv=tv.get(method.key, {}),
                without_lag=flags.without_lag(tv.get(method.key, {}), others),
            )
        )
    height = {row.method.key: _height(row) for row in rows}
    ranked = [row for row in rows if not row.is_claim]
    # Within a rank by lag score; duplicates follow their head.
    ranked.sort(
        key=lambda row: (row.rank or len(rows) + 1, -height[row.head], row.head != row.method.key, row.method.key)
    )
    return Board(suite, results, details, tuple(ranked), tuple(row for row in rows if row.is_claim))


def _own(suite: Suite, method: Method, replications: int) -> tuple[Results, Details, Agreement | None]:
    entries: list[scoring.grid.Entry] = []
    notes: tuple[str, ...] = ()
    if method.runs is not None:
        grid = scoring.grid.read(method.runs, suite=suite.name)
        notes = grid.notes
        (entry,) = grid.entries
        entries.append(entry if method.is_baseline else dataclasses.replace(entry, label=RERUN))
    if method.submission is not None:
        entries.append(_claimed(suite, method))
    scores = scoring.normalize.scores(_grid(suite, entries, notes))
    results, details = _scored(scores, replications)
    both = len(entries) == 2
    return results, details, flags.agreement(scores, results.comparisons[0].p) if both else None


def _claimed(suite: Suite, method: Method) -> scoring.grid.Entry:
    """The authors' results as a table of runs."""
    assert method.submission is not None
    manifest = method.submission.manifest
    runs: dict[tuple[int, str], tuple[scoring.grid.ScoredRun, ...]] = {}
    for cell in sorted(method.submission.claim.cells, key=lambda cell: cell.seed):
        run = scoring.grid.ScoredRun(cell.seed, cell.returns, cell.status == "diverged", mode_returns=cell.mode_returns)
        place = getattr(cell, suite.axis), cell.task
        runs[place] = (*runs.get(place, ()), run)
    return scoring.grid.Entry(CLAIM, method.algorithm, (manifest.algorithm.sha256,), manifest.config, runs, ())


def _grid(suite: Suite, entries: Entries, notes: tuple[str, ...]) -> scoring.grid.Grid:
    return scoring.grid.Grid(
        suite=suite.version,
        measure=suite.evaluation.measure,
        axis=suite.axis,
        forward=suite.protocol(suite.values[0]).forward,
        values=suite.values,
        tasks=suite.tasks,
        seeds=tuple(suite.seeds),
        budget=suite.budget,
        fractions=suite.evaluation.fractions,
        entries=tuple(entries),
        notes=notes,
    )


def _scores(suite: Suite, trained: Sequence[Method]) -> Scores:
    table = scoring.table.concat([method.runs for method in trained])
    return scoring.normalize.scores(scoring.grid.read(table, suite=suite.name))


def _scored(scores: Scores, replications: int) -> tuple[Results, Details]:
    return (
        scoring.score.score_grid(scores, replications=replications),
        scoring.details.details(scores, replications=replications),
    )


def _heads(suite: Suite, trained: Sequence[Method], prints: Mapping[str, str], replications: int) -> dict[str, str]:
    """Key → key of the method that it duplicates, or its own key.

    The head of a group of duplicates is the earliest entry, baselines first, not the best: otherwise submitting more
    names would raise the chance of a good result. Two entries are duplicates if they have the same source, or results
    that agree beyond chance. Entries with different settings or sources are not if their lag scores differ
    significantly, with Bonferroni's correction over the entries with that source.
    """
    first = sorted(trained, key=lambda one: (not one.is_baseline, one.record.date if one.record else "", one.key))
    returns = {one.key: methods.numbers(one, suite) for one in first}
    alike = Counter(prints.values())

    def same(one: Method, head: Method) -> bool:
        source = prints[one.key] == prints[head.key]
        if source and _config(one) == _config(head):
            return True
        if not source and not clones.agree(returns[one.key], returns[head.key]):
            return False
        level = scoring.significance.LEVEL / max(1, alike[prints[one.key]] - 1)
        (pair,) = scoring.score.score_grid(_scores(suite, [head, one]), replications=replications).comparisons
        # Too few runs for a test: the same source makes a duplicate, matching claims alone do not.
        return source if pair.p is None else pair.p > level

    heads: list[Method] = []
    found = {}
    for one in first:
        head = next((head for head in heads if same(one, head)), one)
        if head is one:
            heads.append(one)
        found[one.key] = head.key
    return found


def _config(method: Method) -> Any:
    assert method.runs is not None
    return method.runs["config"][0].as_py()


def _height(row: Row) -> float:
    return float("-inf") if row.line.lag_score is None else row.line.lag_score.value
