"""``lagbench``: load the called command; print errors as a sentence, with an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from types import TracebackType

import click

from lagbench import registry
from lagbench.cli import streams, third_parties
from lagbench.cli.group import LazyGroup
from lagbench.errors import LagbenchError

_COMMANDS = {
    "run": ("lagbench.cli.run:command", "Train one algorithm under lag, and record the run."),
    "resume": ("lagbench.cli.resume:command", "Resume an interrupted run."),
    "sweep": ("lagbench.cli.sweep:command", "Run a grid of cells, or a suite, on one or many machines."),
    "score": ("lagbench.cli.score:command", "Score runs: scores by lag with confidence intervals."),
    "report": ("lagbench.cli.report:command", "Make figures and tables of runs, as files and as a page."),
    "show": ("lagbench.cli.show:command", "Show a run, a suite, a task or an algorithm."),
    "replay": ("lagbench.cli.replay:command", "Replay a run's episodes, and compare bit for bit."),
    "list": ("lagbench.cli.list:command", "List tasks, algorithms or suites."),
    "lag": ("lagbench.cli.lag:command", "Print the histogram of lags of a lag mode."),
    "check": ("lagbench.cli.check:command", "Check an algorithm, in seconds."),
    "export": ("lagbench.cli.export:command", "Export a run as Parquet, Minari dataset or slim copy."),
    "video": ("lagbench.cli.video:command", "Render a recorded evaluation episode as a video."),
}


def _commands() -> dict[str, str]:
    """Name → target of all commands: lagbench's, then those of other packages."""
    return {**{name: target for name, (target, _) in _COMMANDS.items()}, **registry.commands()}


@click.group(
    cls=LazyGroup,
    commands=_commands,
    texts={name: text for name, (_, text) in _COMMANDS.items()},
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="lagbench", message="lagbench %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Policy lag as a controlled variable: run, record and compare RL algorithms on stale data.

    \b
    lagbench run --algo vaco --lag 8
    lagbench run --task HalfCheetah-v5 --algo ppo --lag 16 --budget 300k --seed 3
    lagbench check mine.py:Mine && lagbench run --algo mine.py:Mine --lag 8

    \b
    Exit codes: 0 done, 1 failed or not valid, 2 wrong usage, 3 the run diverged,
    130 and 143 interrupted.
    """  # noqa: D301 - click takes the character itself
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main() -> None:
    """The entry point."""
    _speak_utf8()
    streams.prepare()
    try:
        with third_parties.silenced():
            code = cli.main(prog_name="lagbench", standalone_mode=False)
        sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)
    except LagbenchError as error:
        _fail("; ".join([str(error), *getattr(error, "__notes__", [])]), error.exit_code)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "lagbench"
        message = " ".join(error.format_message().split())
        _fail(f"{message}{'' if message.endswith('.') else '.'} See: {command} --help", 2)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted", 130)
    except BrokenPipeError:
        streams.discard_results()
        sys.exit(1)
    except Exception as error:
        traceback.print_exception(error.with_traceback(_from_the_command(error.__traceback__)))
        sys.exit(1)


def _speak_utf8() -> None:
    """Restart in Python's UTF-8 mode if the locale has another encoding: file names and records are UTF-8."""
    if sys.getfilesystemencoding() != "utf-8" and "utf8" not in sys._xoptions:
        os.environ["PYTHONUTF8"] = "1"  # for the processes that this one starts
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def _fail(sentence: str, code: int) -> None:
    click.echo(sentence if code >= 128 else f"Error: {sentence}", err=True)
    sys.exit(code)


def _from_the_command(trace: TracebackType | None) -> TracebackType | None:
    """A traceback without the frames up to click's call of the command."""
    found = frame = trace
    while frame:
        if Path(frame.tb_frame.f_code.co_filename).is_relative_to(Path(click.__file__).parent):
            found = frame.tb_next
        frame = frame.tb_next
    return found or trace
