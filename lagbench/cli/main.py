"""``lagbench``: finds the command, loads it alone, and turns errors into a sentence and an exit code."""

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
    "run": ("lagbench.cli.run:command", "Run one algorithm under one lag, to a finished record."),
    "resume": ("lagbench.cli.resume:command", "Go on with a run that was cut off."),
    "sweep": ("lagbench.cli.sweep:command", "Run a grid of cells, or a suite, on one machine or many."),
    "score": ("lagbench.cli.score:command", "Score runs: who does how well as lag grows, and how sure that is."),
    "report": ("lagbench.cli.report:command", "Figures and tables of runs, as files and as one page."),
    "show": ("lagbench.cli.show:command", "Show a run, a task or an algorithm."),
    "replay": ("lagbench.cli.replay:command", "Step a run's recorded episodes again, and compare bit for bit."),
    "list": ("lagbench.cli.list:command", "List tasks, algorithms or suites."),
    "lag": ("lagbench.cli.lag:command", "Show how old the data is that a lag mode gives, without training."),
    "check": ("lagbench.cli.check:command", "Check an algorithm against the harness's contract, in seconds."),
    "export": ("lagbench.cli.export:command", "Write a run as Parquet, or as a Minari dataset."),
    "video": ("lagbench.cli.video:command", "Film a recorded evaluation episode."),
}


def _commands() -> dict[str, str]:
    """Name → target: those of lagbench, then those of other packages."""
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
    """In a locale of another encoding start again in Python's UTF-8 mode, as names of files and records are UTF-8."""
    if sys.getfilesystemencoding() != "utf-8" and "utf8" not in sys._xoptions:
        os.environ["PYTHONUTF8"] = "1"  # for the processes that this one starts
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def _fail(sentence: str, code: int) -> None:
    click.echo(sentence if code >= 128 else f"Error: {sentence}", err=True)
    sys.exit(code)


def _from_the_command(trace: TracebackType | None) -> TracebackType | None:
    """A traceback without its beginning, up to where click calls the command: that helps nobody."""
    found = frame = trace
    while frame:
        if Path(frame.tb_frame.f_code.co_filename).is_relative_to(Path(click.__file__).parent):
            found = frame.tb_next
        frame = frame.tb_next
    return found or trace
