"""Progress of long work where stderr is no terminal: a line now and then."""

import pytest

from lagbench.cli import progress


@pytest.mark.parametrize(("every", "quiet", "shown"), [(0.0, False, "drawing: 25%\ndrawing: 100%\n"), (0.0, True, "")])
def test_lines(
    every: float, quiet: bool, shown: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_PLAIN_EVERY_S", every)
    with progress.progress("drawing", quiet) as told:
        told(1, 4)
        told(4, 4)
    assert capsys.readouterr() == ("", shown)


def test_seldom(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with progress.progress("drawing", False) as told:
        for now[0] in (3.0, 9.0, 10.0, 19.0, 20.0):
            told(int(now[0]), 20)
    assert capsys.readouterr().err == "drawing: 50%\ndrawing: 100%\n"
