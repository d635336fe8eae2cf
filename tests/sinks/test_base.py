"""A sink that fails costs a run nothing."""

import sys
from unittest import mock

import pytest

from lagbench.sinks.base import Sink, Sinks
from tests.sinks.conftest import Followed

ORDER = ["start", "write", "stopping", "close", "finish"]


def diary(fails: str = "") -> mock.Mock:
    """A sink that notes what it is told, and fails where it is asked to."""
    sink = mock.Mock(spec=Sink)
    if fails:
        getattr(sink, fails).side_effect = ValueError(f"no {fails}")
    return sink


def told(sink: mock.Mock) -> list[str]:
    return [name for name, *_ in sink.mock_calls]


def tell(sinks: Sinks, followed: Followed) -> None:
    sinks.start(followed.spec, followed.path, 0)
    sinks.write(followed.results[0])
    sinks.stopping()
    sinks.close()
    sinks.finish(followed.run)


def test_each_sink_is_told_everything(followed: Followed, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = diary(), diary()
    tell(Sinks([first, second]), followed)
    assert told(first) == told(second) == ORDER
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("fails", ORDER)
def test_a_sink_that_raises_is_reported_closed_and_dropped(
    followed: Followed, fails: str, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = diary(), diary(fails)
    tell(Sinks([bad, good]), followed)
    assert told(good) == ORDER
    assert told(bad) == [*ORDER[: ORDER.index(fails) + 1], "close"]
    assert capsys.readouterr().err == f"warning: Mock failed and was dropped: ValueError: no {fails}\n"


def test_it_does_not_matter_that_nobody_reads_the_report(followed: Followed, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def write(self, _: str) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    good = diary()
    tell(Sinks([diary("write"), good]), followed)
    assert told(good)[-1] == "finish"


def test_a_sink_need_not_say_anything(followed: Followed) -> None:
    tell(Sinks([Sink()]), followed)
