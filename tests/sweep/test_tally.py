"""How far a sweep is: counted in work, not in cells."""

from pathlib import Path

import pytest

from lagbench.sweep.cells import Planned, State
from lagbench.sweep.tally import Tally
from tests.sweep.conftest import small

MISSING = State("missing")


@pytest.fixture
def cells() -> list[Planned]:
    """Four of a hundred phases each, and one of four hundred."""
    return [*small(Path("out"), budget=6400, seeds=[0, 1, 2, 3]), *small(Path("out"), budget=25600, seeds=[4])]


@pytest.fixture(autouse=True)
def _as_many_seconds_as_phases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lagbench.sweep.cost.seconds", lambda spec: float(spec.phases))


def test_time_left_goes_by_what_was_done(cells: list[Planned]) -> None:
    now = [0.0]
    tally = Tally(dict.fromkeys(cells, MISSING), clock=lambda: now[0])
    assert tally.seconds_left() is None
    tally.begin(cells[0])
    tally.begin(cells[4])
    assert tally.running == [cells[0], cells[4]]
    now[0] = 10.0
    tally.advance(cells[0], 0)
    tally.advance(cells[4], 0)
    assert tally.seconds_left() is None
    tally.advance(cells[0], 60)
    tally.advance(cells[4], 40)
    assert (tally.share(cells[0]), tally.share(cells[4])) == (0.6, 0.1)
    assert tally.pace(cells[0]) == 60 * 64 / 10
    # A hundred phases in ten seconds; of eight hundred seven hundred are left.
    assert tally.seconds_left() == pytest.approx(70)
    now[0] = 20.0
    assert tally.end(cells[0], State("completed")) == 20.0
    assert tally.over == 1
    assert tally.seconds_left() == pytest.approx(660 / (140 / 20))


def test_what_was_done_before_counts_for_nothing(cells: list[Planned]) -> None:
    now = [0.0]
    states = {**dict.fromkeys(cells, MISSING), cells[0]: State("completed"), cells[1]: State("unfinished")}
    tally = Tally(states, clock=lambda: now[0])
    assert tally.over == 1
    tally.begin(cells[1])
    tally.advance(cells[1], 50)
    now[0] = 10.0
    tally.advance(cells[1], 75)
    # 25 phases in ten seconds; of 500 of the cut off one and three others 25 + 600 are left.
    assert tally.seconds_left() == pytest.approx(625 / 2.5)
    tally.end(cells[1], State("diverged"))
    assert tally.counts == {"missing": 3, "completed": 1, "diverged": 1}
    assert tally.seconds_left() == pytest.approx(600 / (50 / 10))


def test_what_others_do_counts_too(cells: list[Planned]) -> None:
    now = [0.0]
    tally = Tally(dict.fromkeys(cells, MISSING), clock=lambda: now[0])
    now[0] = 10.0
    tally.begin(cells[0])
    tally.leave(cells[0])
    assert tally.running == []
    assert tally.end(cells[0], State("completed")) == 0.0
    assert tally.seconds_left() == pytest.approx(70)


def test_where_a_cost_is_unknown_phases_count(cells: list[Planned], monkeypatch: pytest.MonkeyPatch) -> None:
    costs = iter([5.0, None, 5.0, 5.0, 5.0])
    monkeypatch.setattr("lagbench.sweep.cost.seconds", lambda spec: next(costs))
    now = [0.0]
    tally = Tally(dict.fromkeys(cells, MISSING), clock=lambda: now[0])
    now[0] = 10.0
    tally.end(cells[0], State("completed"))
    assert tally.seconds_left() == pytest.approx(70)
