"""What a run shows on a terminal, and where there is none."""

import functools
import io
import re

import pytest

from lagbench.sinks import console as module
from lagbench.sinks.base import Sinks
from lagbench.sinks.console import Console
from tests.sinks.conftest import Followed


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    @property
    def text(self) -> str:
        """What was written, without the codes that move the cursor and colour."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue())


def write_to(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of stderr, which is pytest's own between a fixture and its test."""
    monkeypatch.setattr(module, "Terminal", functools.partial(module.Terminal, file=stream))


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    terminal = Terminal()
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}.items():
        monkeypatch.setenv(name, value)
    write_to(terminal, monkeypatch)
    return terminal


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    write_to(stream, monkeypatch)
    return stream


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in its one element."""
    now = [1000.0]
    monkeypatch.setattr("lagbench.sinks.console.time.monotonic", lambda: now[0])
    return now


def test_without_a_terminal_plain_lines(followed: Followed, plain: io.StringIO) -> None:
    followed.tell(Console())
    text = plain.getvalue()
    assert "\x1b" not in text
    lines = text.splitlines()
    assert not any(line != line.rstrip() for line in lines)
    assert lines[:9] == [
        "algorithm   vaco",
        "task        Hopper-v5 max_episode_steps=200",
        "lag         3 (uniform)",
        "updates     20 per phase (reuse: 10 epochs of 2, minibatches of 32)",
        "budget      330 actor steps: 5 phases of 4 actors × 16 steps",
        "evaluation  2 episodes of sampled actions and 2 of deterministic actions, at every 1/2 of the budget",
        "seed        0",
        "config      learning_rate=0.001 anneal=true max_grad_norm=0.5 gamma=0.99 lam=0.95 value_coef=0.5 "
        "entropy_coef=0.0 standardize=full prepare_every=phase updates=none delta=0.2 reference=behaviour align=true "
        "filter=true",
        f"records     {followed.path} (trajectories)",
    ]
    sampled, mode = (followed.run.summary["final"][name] for name in ("stochastic", "mode"))
    assert lines[-5:-2] == [
        "status            completed",
        f"final evaluation  {sampled['mean']:.1f} ± {sampled['standard_error']:.1f} over 2 episodes of sampled actions",
        f"not scored        {mode['mean']:.1f} ± {mode['standard_error']:.1f} over 2 episodes of deterministic actions",
    ]
    assert re.fullmatch(r"time +\d s", lines[-2])
    assert lines[-1] == f"records           {followed.path}"


def test_a_plain_line_now_and_then(followed: Followed, plain: io.StringIO, clock: list[float]) -> None:
    """After evaluations, at the end, and every ten seconds."""
    sink = Console()
    sink.start(followed.spec, followed.path, 0)
    shown = []
    for result, seconds in zip(followed.results, (1, 1, 1, 11, 1), strict=True):
        clock[0] += seconds
        plain.truncate(0)
        sink.write(result)
        shown.append(plain.getvalue().strip("\0").count("\n"))
    assert [bool(r.record.evaluations) for r in followed.results] == [True, False, True, False, True]
    assert shown == [1, 0, 1, 1, 1]


def test_a_plain_line_says_all_there_is(followed: Followed, plain: io.StringIO, clock: list[float]) -> None:
    sink = Console()
    sink.start(followed.spec, followed.path, 0)
    for result in followed.results:
        clock[0] += 0.5
        sink.write(result)
    last = followed.results[-1].record
    sampled, mode = (f"{e.mean_return:.1f} ± {e.standard_error:.1f}" for e in last.evaluations)
    assert plain.getvalue().splitlines()[-1] == (
        f"320 of 320 actor steps · 128/s · 0 s left · evaluation {sampled} at 100% · "
        f"deterministic actions {mode} · "
        f"backward lag {last.diagnostics['backward_lag_mean']:.1f} · TV {last.diagnostics['tv']:.3f} · "
        f"filtered {last.metrics['filtered_fraction']:.1%}"
    )


def test_without_a_terminal_a_signal_is_answered_at_once(
    followed: Followed, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(2, "w", closefd=False) as stderr:
        monkeypatch.setattr(module, "Terminal", functools.partial(module.Terminal, file=stderr))
        sink = Console()
        sink.start(followed.spec, followed.path, 0)
        stderr.flush()
        capfd.readouterr()
        stderr.write("half a line")  # being printed when the signal came
        sink.stopping()
        assert capfd.readouterr().err == "stopping at the end of this phase; Ctrl-C again to stop at once\n"


def test_the_pace_is_that_of_the_last_phases(followed: Followed, plain: io.StringIO, clock: list[float]) -> None:
    """Seconds of set-up are forgotten with the second phase."""
    sink = Console()
    sink.start(followed.spec, followed.path, 0)
    paces = []
    for result, seconds in zip(followed.results, (32, 2, 2, 2, 2), strict=True):
        clock[0] += seconds
        sink.write(result)
        paces.append(sink._pace)
    assert paces == [
        "2.0/s · 2 min 08 s left",
        "32/s · 6 s left",
        "32/s · 4 s left",
        "32/s · 2 s left",
        "32/s · 0 s left",
    ]


def test_on_a_terminal_a_display_that_goes_away(followed: Followed, terminal: Terminal, clock: list[float]) -> None:
    sink = Console()
    sink.start(followed.spec, followed.path, 0)
    assert sink._live is not None
    clock[0] += 3
    sink._live.refresh()
    assert "setting up, first evaluation and collection · 3 s" in terminal.text
    sink.write(followed.results[0])
    sink._live.refresh()
    assert "64 of 320 actor steps · 21/s · 12 s left" in terminal.text
    number = r"-?[\d.]+ ± [\d.]+"
    evaluated = f"evaluation {number} at 0% · deterministic actions {number}"
    shown = rf"{evaluated} · backward lag 0\.0 · TV 0\.\d{{3}} · filtered [\d.]+%"
    assert re.search(shown, " ".join(terminal.text.split()))
    assert "stopping" not in terminal.text
    sink.stopping()
    sink._live.refresh()
    assert "stopping at the end of this phase; Ctrl-C again to stop at once" in terminal.text
    sink.close()
    sink.close()
    end = len(terminal.getvalue())
    sink.finish(followed.run)
    assert "completed" in terminal.getvalue()[end:]
    assert terminal.getvalue().count("\x1b[?25l") == terminal.getvalue().count("\x1b[?25h") == 1


@pytest.mark.parametrize("width", [30, 200])
def test_no_terminal_is_too_narrow(
    followed: Followed, terminal: Terminal, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    followed.tell(Console())
    assert max(len(line) for line in re.split(r"[\r\n]+", terminal.text)) <= width
    assert "filter=true" in terminal.text


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(
    followed: Followed, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    followed.tell(Console())
    assert "\x1b" not in terminal.getvalue()
    assert "320 of 320 actor steps · " in terminal.getvalue()


def test_a_resumed_run_says_where_it_goes_on(followed: Followed, plain: io.StringIO, clock: list[float]) -> None:
    sink = Console()
    sink.start(followed.spec, followed.path, 3)
    clock[0] += 2
    sink.write(followed.results[3])
    lines = plain.getvalue().splitlines()
    assert lines[9] == "resumed     after phase 3 of 5"
    assert lines[10] == "setting up"
    assert lines[11].startswith("256 of 320 actor steps · 32/s · 2 s left · backward lag ")


def test_names_are_no_markup(followed: Followed, plain: io.StringIO) -> None:
    sink = Console()
    sink.start(followed.spec, followed.path / "[bold]x[/bold]", 0)
    assert "/[bold]x[/bold] (trajectories)" in plain.getvalue()


def test_a_reader_who_leaves_does_not_end_the_run(
    followed: Followed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`lagbench run … 2>&1 | head`: rich would exit."""

    class Closed(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    write_to(Closed(), monkeypatch)
    sinks = Sinks([Console()])
    sinks.start(followed.spec, followed.path, 0)
    for result in followed.results:
        sinks.write(result)
    sinks.finish(followed.run)
    assert "Console failed and was dropped: BrokenPipeError" in capsys.readouterr().err
