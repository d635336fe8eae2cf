"""The order of things in a sweep: what is started, what is left, and how it ends."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock
from unittest.mock import call

import pytest

from lagbench.errors import UsageError
from lagbench.sweep import claims, driver
from lagbench.sweep.cells import Planned, State
from lagbench.sweep.driver import CellOutcome, SweepEnded, run_grid
from lagbench.sweep.executor import Advanced, Ended, Event, Executor
from lagbench.sweep.watcher import Watcher
from tests.sweep.conftest import small


class World(Executor):
    """Runs cells in no time: what becomes of each is said beforehand, and ``look`` stands for its directory."""

    def __init__(self, slots: int = 2) -> None:
        self.slots = slots
        self.states: dict[Planned, State] = {}
        self.ends: dict[Planned, list[Ended]] = {}
        self.started: list[Planned] = []
        self.running: list[Planned] = []
        self.most = 0
        self.calls: list[str] = []
        self.on_wait: Callable[[], None] = lambda: None

    def look(self, cell: Planned) -> State:
        return self.states.get(cell, State("missing"))

    def start(self, cell: Planned) -> None:
        self.started.append(cell)
        self.running.append(cell)
        self.most = max(self.most, len(self.running))

    def wait(self, seconds: float) -> Sequence[Event]:
        self.on_wait()
        if not self.running:
            time.sleep(0.001)
            return []
        cell = self.running.pop(0)
        ended = self.ends.get(cell, [])
        end = ended.pop(0) if ended else Ended(cell)
        if end == Ended(cell) and self.look(cell).status == "missing":
            self.states[cell] = State("completed", score=1.0)
        return [Advanced(cell, 5), end]

    def stop(self) -> None:
        self.calls.append("stop")

    def close(self) -> None:
        self.calls.append("close")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr("lagbench.sweep.cells.look", world.look)
    monkeypatch.setattr(driver, "look", world.look)
    return world


@pytest.fixture
def cells(tmp_path: Path) -> list[Planned]:
    return small(tmp_path, seeds=[0, 1, 2, 3])


def statuses(outcomes: Sequence[CellOutcome]) -> list[str]:
    return [outcome.state.status for outcome in outcomes]


def test_every_cell_is_run_so_many_at_once(world: World, cells: list[Planned]) -> None:
    listener = mock.Mock(spec=Watcher)
    outcomes = run_grid(cells, executor=world, watcher=listener)
    assert world.started == cells
    assert world.most == world.slots == 2
    assert [outcome.cell for outcome in outcomes] == cells
    assert [outcome.state for outcome in outcomes] == [State("completed", score=1.0)] * 4
    assert listener.mock_calls[:5] == [
        call.start(mock.ANY, 2),
        call.begun(cells[0]),
        call.begun(cells[1]),
        call.advanced(cells[0], 5),
        call.ended(cells[0], State("completed", score=1.0)),
    ]
    assert listener.mock_calls[-1] == call.close()
    assert world.calls == ["close"]


def test_what_is_over_is_left_alone(world: World, cells: list[Planned]) -> None:
    world.states = dict(zip(cells, map(State, ["completed", "failed", "unusable", "unfinished"]), strict=True))  # type: ignore[arg-type]
    world.ends[cells[3]] = [Ended(cells[3])]
    world.on_wait = lambda: world.states.update({cells[3]: State("diverged")})
    outcomes = run_grid(cells, executor=world)
    assert world.started == cells[3:]
    assert statuses(outcomes) == ["completed", "failed", "unusable", "diverged"]
    assert [outcome.state.is_failure for outcome in outcomes] == [False, True, True, False]


def test_a_cell_that_crashes_stops_nothing(world: World, cells: list[Planned]) -> None:
    world.ends = {cells[0]: [Ended(cells[0], "killed by SIGSEGV")], cells[2]: [Ended(cells[2], "no such luck")]}
    outcomes = run_grid(cells, executor=world)
    assert statuses(outcomes) == ["crashed", "completed", "crashed", "completed"]
    assert outcomes[0].state == State("crashed", "killed by SIGSEGV")
    assert outcomes[0].state.is_failure
    # Nothing says so on the disk: the next sweep tries again.
    assert statuses(run_grid(cells, executor=world)) == ["completed"] * 4


def test_a_reason_that_stops_all_ends_the_sweep(world: World, cells: list[Planned]) -> None:
    world.ends = {
        cells[0]: [Ended(cells[0], "no space left", is_general=True)],
        cells[1]: [Ended(cells[1], "interrupted")],
    }
    with pytest.raises(SweepEnded, match=r"^no cell can continue: no space left$") as ended:
        run_grid(cells, executor=world)
    assert ended.value.exit_code == 1
    assert world.started == cells[:2]
    assert world.calls == ["stop", "close"]
    assert statuses(ended.value.outcomes) == ["crashed", "missing", "missing", "missing"]


def test_other_peoples_cells_are_waited_for(world: World, cells: list[Planned]) -> None:
    claim = claims.take(cells[0].path)
    assert claim is not None
    waits = 0

    def others() -> None:
        nonlocal waits
        waits += 1
        if waits == 10:
            world.states[cells[0]] = State("completed")

    world.on_wait = others
    listener = mock.Mock(spec=Watcher)
    assert statuses(run_grid(cells, executor=world, watcher=listener)) == ["completed"] * 4
    assert world.started == cells[1:]
    assert waits >= 10
    listener.elsewhere.assert_any_call(1)
    told = [one for one in listener.mock_calls if one != call.elsewhere(0)]
    assert told[-2:] == [call.ended(cells[0], State("completed")), call.close()]


def test_a_claim_that_is_let_go_is_taken_up(world: World, cells: list[Planned]) -> None:
    claim = claims.take(cells[0].path)
    assert claim is not None
    waits = 0

    def others() -> None:
        nonlocal waits
        waits += 1
        if waits == 10:
            claim.release()

    world.on_wait = others
    assert statuses(run_grid(cells, executor=world)) == ["completed"] * 4
    assert world.started == [*cells[1:], cells[0]]


def test_a_cell_that_another_took_first_is_no_failure(world: World, cells: list[Planned]) -> None:
    world.ends = {cells[0]: [Ended(cells[0], elsewhere=True)]}
    listener = mock.Mock(spec=Watcher)
    assert statuses(run_grid(cells, executor=world, watcher=listener)) == ["completed"] * 4
    assert world.started == [*cells, cells[0]]
    listener.left.assert_called_once_with(cells[0])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_lets_what_runs_end_its_phase(world: World, cells: list[Planned], number: int, code: int) -> None:
    world.ends = {cell: [Ended(cell, "interrupted")] for cell in cells[:2]}
    listener = mock.Mock(spec=Watcher)
    world.on_wait = lambda: None if listener.stopping.called else os.kill(os.getpid(), number)
    before = signal.getsignal(number)
    world.states[cells[3]] = State("completed")
    with pytest.raises(SweepEnded, match=r"^interrupted after 1 of 4 cells$") as ended:
        run_grid(cells, executor=world, watcher=listener)
    assert signal.getsignal(number) == before
    assert ended.value.exit_code == code
    assert world.started == cells[:2]
    assert world.calls == ["stop", "close"]
    assert listener.mock_calls[-1] == call.close()
    # What the first one had begun is not called crashed: nobody let it end.
    assert statuses(ended.value.outcomes)[2:] == ["missing", "completed"]


def test_a_second_signal_ends_it_at_once(world: World, cells: list[Planned]) -> None:
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)

    world.on_wait = twice
    with pytest.raises(SweepEnded, match="interrupted after 0 of 4") as ended:
        run_grid(cells, executor=world)
    assert ended.value.exit_code == 143
    assert world.calls == ["close"]


def test_nothing_is_started_where_a_directory_holds_another_run(world: World, cells: list[Planned]) -> None:
    world.states[cells[2]] = State("other", "out holds another run: seed is 1, was 0")
    with pytest.raises(UsageError, match="out holds another run: seed is 1, was 0; sweep into another"):
        run_grid(cells, executor=world)
    assert world.started == []
    assert world.calls == []


def test_a_display_that_fails_is_dropped(
    world: World, cells: list[Planned], capsys: pytest.CaptureFixture[str]
) -> None:
    broken = mock.Mock(spec=Watcher)
    broken.begun.side_effect = BrokenPipeError("its reader has closed it")
    assert statuses(run_grid(cells, executor=world, watcher=broken)) == ["completed"] * 4
    assert broken.mock_calls == [call.start(mock.ANY, 2), call.begun(cells[0])]
    assert capsys.readouterr().err == "warning: the display failed: BrokenPipeError: its reader has closed it\n"
