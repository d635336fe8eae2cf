"""A sink that fails costs a run nothing."""

import sys
from pathlib import Path
from typing import Any

import pytest

from lagbench.sinks.base import Sink, Sinks
from tests.sinks.conftest import Followed


class Diary(Sink):
    """Writes down what it is told, and fails where it is asked to."""

    def __init__(self, fails: str = "") -> None:
        self.told: list[str] = []
        self.fails = fails

    def note(self, what: str) -> None:
        self.told.append(what)
        if what == self.fails:
            raise ValueError(f"no {what}")

    def start(self, spec: Any, path: Path, phases_done: int) -> None:
        self.note("start")

    def write(self, result: Any) -> None:
        self.note("write")

    def stopping(self) -> None:
        self.note("stopping")

    def finish(self, run: Any) -> None:
        self.note("finish")

    def close(self) -> None:
        self.note("close")


def tell(sinks: Sinks, followed: Followed) -> None:
    sinks.start(followed.spec, followed.path, 0)
    sinks.write(followed.results[0])
    sinks.stopping()
    sinks.close()
    sinks.finish(followed.run)


def test_each_sink_is_told_everything(followed: Followed, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = Diary(), Diary()
    tell(Sinks([first, second]), followed)
    assert first.told == second.told == ["start", "write", "stopping", "close", "finish"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("fails", ["start", "write", "stopping", "close", "finish"])
def test_a_sink_that_raises_is_reported_closed_and_dropped(
    followed: Followed, fails: str, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = Diary(), Diary(fails)
    tell(Sinks([bad, good]), followed)
    assert good.told == ["start", "write", "stopping", "close", "finish"]
    order = ["start", "write", "stopping", "close", "finish"]
    assert bad.told == [*order[: order.index(fails) + 1], "close"]
    assert capsys.readouterr().err == f"warning: Diary failed and was dropped: ValueError: no {fails}\n"


def test_it_does_not_matter_that_nobody_reads_the_report(followed: Followed, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def write(self, _: str) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    good = Diary()
    tell(Sinks([Diary("write"), good]), followed)
    assert good.told[-1] == "finish"


def test_a_sink_need_not_say_anything(followed: Followed) -> None:
    tell(Sinks([Sink()]), followed)
