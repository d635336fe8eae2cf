"""Claims: at most one holder, none for ever, whatever the clocks and whoever dies."""

import json
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from lagbench.sweep import claims
from lagbench.sweep.claims import STALE_S, Claim, Holder, clear, holder, renewed, take
from tests.cli.processes import CONTEXT


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    return tmp_path / "Hopper-v5/ppo/lag0-u80-seed0"


def hold(cell: Path, by: Holder, age: float = 0.0) -> Path:
    """A claim of another process, renewed so many seconds ago by the file system's clock."""
    claim = take(cell)
    assert claim is not None
    file = cell.with_name(f"{cell.name}.claim-{claim.number}")
    file.write_text(json.dumps(vars(by)))
    renewed_at = file.stat().st_mtime - age
    os.utime(file, (renewed_at, renewed_at))
    return file


ELSEWHERE = Holder("other", "another kernel", 1)


def dead_process() -> int:
    process = CONTEXT.Process(target=int)
    process.start()
    process.join()
    assert process.pid is not None
    return process.pid


def test_one_has_it_until_it_lets_go(cell: Path) -> None:
    claim = take(cell)
    assert claim == Claim(cell, 1)
    assert take(cell) is None
    assert holder(cell) == Holder.here()
    assert claim.renew()
    claim.release()
    assert holder(cell) is None
    second = take(cell)
    assert second == Claim(cell, 2)
    assert not claim.renew()
    clear(cell)
    assert list(cell.parent.iterdir()) == []
    second.release()  # harmless, as its file is gone
    assert not second.renew()


def test_claims_of_cells_with_alike_names_are_their_own(cell: Path) -> None:
    other = cell.with_name("lag0-u80-seed0[1]")
    assert take(cell)
    assert take(other)
    clear(other)
    assert holder(cell)
    assert not holder(other)


def test_of_those_who_try_at_once_one_succeeds(cell: Path) -> None:
    for generation in range(1, 6):
        barrier = threading.Barrier(16)
        won: list[Claim | None] = []

        def attempt(barrier: threading.Barrier = barrier, won: list[Claim | None] = won) -> None:
            barrier.wait()
            won.append(take(cell))

        threads = [threading.Thread(target=attempt) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (claim,) = [claim for claim in won if claim]
        assert claim.number == generation
        claim.release()


def test_a_process_of_another_machine_counts_as_dead_after_a_while(cell: Path) -> None:
    hold(cell, ELSEWHERE, STALE_S - 60)
    assert holder(cell) == ELSEWHERE
    assert take(cell) is None
    file = hold(cell.with_name("b"), ELSEWHERE, STALE_S + 60)
    assert holder(file.with_name("b")) is None
    assert take(file.with_name("b")) == Claim(file.with_name("b"), 2)


def test_a_clock_that_is_wrong_changes_nothing(cell: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    hold(cell, ELSEWHERE, STALE_S - 60)
    for wrong in (-86400, 86400):
        monkeypatch.setattr(time, "time", lambda wrong=wrong: now() + wrong)
        assert take(cell) is None


def test_a_dead_process_of_this_machine_holds_nothing(cell: Path) -> None:
    pid = dead_process()
    here = Holder.here()
    hold(cell, Holder(here.host, here.kernel, pid))
    assert take(cell) == Claim(cell, 2)
    # The same number means another process elsewhere, be the name of the machine the same.
    other = cell.with_name("other")
    hold(other, Holder(here.host, "another container", pid))
    assert take(other) is None
    # Init belongs to root, and lives.
    third = cell.with_name("third")
    hold(third, Holder(here.host, here.kernel, 1))
    assert take(third) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": "a"}'])
def test_a_claim_that_says_nothing_yet_counts(cell: Path, text: str) -> None:
    file = hold(cell, ELSEWHERE)
    file.write_text(text)
    assert take(cell) is None
    assert holder(cell) == Holder("another machine", "", 0)


def test_a_claim_that_cannot_be_written_is_let_go(cell: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(claims, "asdict", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            take(cell)
    assert take(cell) == Claim(cell, 2)


def test_it_is_renewed_from_a_thread(cell: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "BEAT_S", 0.01)
    claim, lost = take(cell), threading.Event()
    assert claim is not None
    file = cell.with_name(f"{cell.name}.claim-1")
    with renewed(claim, lost.set):
        for _ in range(3):
            os.utime(file, (1, 1))
            until = time.monotonic() + 10
            while file.stat().st_mtime == 1:
                assert time.monotonic() < until
        assert not lost.is_set()
        file.with_name(f"{cell.name}.claim-2").touch()
        assert lost.wait(10)


def test_who_cannot_renew_gives_up_before_others_take_it_for_dead(cell: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Away:
        cell = Path("away")

        def renew(self) -> bool:
            raise OSError("the file system is away")

    lost = threading.Event()
    monkeypatch.setattr(claims, "BEAT_S", 0.01)
    with renewed(Away(), lost.set):  # type: ignore[arg-type]
        assert not lost.wait(0.1)
    monkeypatch.setattr(claims, "STALE_S", 0.05)
    with renewed(Away(), lost.set):  # type: ignore[arg-type]
        assert lost.wait(10)


class Processes(RuleBasedStateMachine):
    """Processes take, renew, let go, fall silent and finish, in any order."""

    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.cell = Path(self.directory.name, "cell")
        # What each claim is to its maker: his to work under, given up, or silent for too long.
        self.live: Claim | None = None
        self.finished = False

    def teardown(self) -> None:
        self.directory.cleanup()

    @rule(target=held)
    def take(self) -> Any:
        claim = take(self.cell)
        assert (claim is not None) == (self.live is None)
        if claim is not None:
            self.live = claim
            return claim
        return self.live

    @rule(claim=held)
    def renew(self, claim: Claim) -> None:
        fell_silent = claim != self.live and not self.after(claim)
        renewed = claim.renew()
        if self.after(claim):
            assert not renewed
        if claim == self.live:
            assert renewed
        if fell_silent and renewed:
            self.live = claim  # nobody had taken it over meanwhile

    def after(self, claim: Claim) -> bool:
        """Whether another took the cell over, or finished it."""
        files = self.cell.parent.glob("cell.claim-*")
        return max((int(f.name.rpartition("-")[2]) for f in files), default=claim.number + 1) > claim.number

    @rule(claim=held)
    def release(self, claim: Claim) -> None:
        claim.release()
        if claim == self.live:
            self.live = None

    @rule(seconds=st.floats(STALE_S + 1, 1e6))
    def fall_silent(self, seconds: float) -> None:
        if self.live is not None:
            file = self.cell.with_name(f"cell.claim-{self.live.number}")
            at = file.stat().st_mtime - seconds
            os.utime(file, (at, at))
            self.live = None

    @rule(claim=consumes(held))
    def finish(self, claim: Claim) -> None:
        if claim == self.live:
            clear(self.cell)
            self.live = None

    @invariant()
    def the_live_one_holds_it(self) -> None:
        assert (holder(self.cell) is not None) == (self.live is not None)


TestProcesses = Processes.TestCase
TestProcesses.settings = settings(max_examples=25, stateful_step_count=25)
