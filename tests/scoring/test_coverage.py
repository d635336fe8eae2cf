"""How far the intervals can be trusted is measured, not asserted."""

from __future__ import annotations

import pytest

from lagbench import suites
from lagbench.scoring import coverage

# In fewer draws and replications than the tabled numbers were.
FEW = {"draws": 1000, "replications": 500}


@pytest.mark.parametrize(("seeds", "tasks"), [(3, 2), (20, 3), (3, 1)])
def test_what_is_said_is_what_is_measured(seeds: int, tasks: int) -> None:
    assert coverage.measure(seeds, tasks, **FEW) == pytest.approx(coverage.MEASURED[seeds, tasks], abs=0.03)


@pytest.mark.parametrize("name", [name for name in suites.names() if name != "TESTING"])
def test_every_suite_has_its_own(name: str) -> None:
    suite = suites.load(name)
    assert (len(suite.seeds), len(suite.tasks)) in coverage.MEASURED


def test_the_notes() -> None:
    assert coverage.note(3, 2) == (
        "Measured coverage of the 95% intervals: 0.85 with 3 seeds on 2 tasks; on three tasks 0.83/0.90/0.935/0.95 "
        "with 3/5/10/20 seeds."
    )
    assert coverage.note(4, 1).startswith(
        "Measured coverage of the 95% intervals: 0.74 with 3 seeds on 1 task, the nearest to 4 seeds on 1 task; on one"
    )
    assert coverage.note(1, 3) == "With one run on a task there is no interval."
