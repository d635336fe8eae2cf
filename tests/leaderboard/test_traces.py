"""Traces are means of what the phases have."""

from __future__ import annotations

from math import ceil

import pytest

from lagbench.leaderboard import traces
from lagbench.leaderboard.former import Submission


def test_of_real_runs(laid_out: Submission) -> None:
    found = {(one.value, one.name): one for one in traces.of(laid_out, "lag")}
    assert {value for value, _ in found} == {0, 2}
    assert {name for _, name in found} == {"tv", "ess", "kl", "clipped_fraction"}
    for submitted in laid_out.runs():
        run = submitted.run
        rows = run.phases.to_table(columns=["budget_used", "tv", "metrics"]).to_pylist(maps_as_pydicts="strict")
        bins: dict[int, list[tuple[float, float]]] = {}
        for row in rows:
            at = min(ceil(40 * row["budget_used"] / run.spec.budget) - 1, 39)
            bins.setdefault(at, []).append((row["tv"], row["metrics"]["clipped_fraction"]))
        for name, i in (("tv", 0), ("clipped_fraction", 1)):
            one = found[run.spec.protocol.lag, name]
            assert one.task == "Hopper-v5"
            assert one.fractions == tuple((at + 0.5) / 40 for at in sorted(bins))
            means = [sum(pair[i] for pair in bins[at]) / len(bins[at]) for at in sorted(bins)]
            assert one.means == pytest.approx(means)


def test_over_seeds_that_measured_different_things() -> None:
    """What one of them has not is the mean of the others."""
    fractions, means = traces._over_seeds([{0: 1.0, 2: 5.0}, {0: 3.0}])
    assert fractions == (0.5 / 40, 2.5 / 40)
    assert means == (2.0, 5.0)
