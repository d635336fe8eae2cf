"""``lagbench``: finds the command, loads it alone, and turns errors into a sentence and an exit code."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import os
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

import click

from lagbench import registry
from lagbench.errors import LagbenchError, unknown

_COMMANDS = {
    "run": ("lagbench.cli.run:command", "Run one algorithm under one lag, to a finished record."),
    "resume": ("lagbench.cli.resume:command", "Go on with a run that was cut off."),
    "sweep": ("lagbench.cli.sweep:command", "Run a grid of cells, or a suite, on one machine or many."),
    "score": ("lagbench.cli.score:command", "Score runs: who does how well as lag grows, and how sure that is."),
    "report": ("lagbench.cli.report:command", "Figures and tables of runs, as files and as one page."),
    "show": ("lagbench.cli.show:command", "Show a run, a task or an algorithm."),
    "replay": ("lagbench.cli.replay:command", "Step a run's recorded episodes again, and compare bit for bit."),
    "list": ("lagbench.cli.list:command", "List tasks, algorithms or suites."),
    "check": ("lagbench.cli.check:command", "Check an algorithm against the harness's contract, in seconds."),
    "export": ("lagbench.cli.export:command", "Write a run as Parquet, or as a Minari dataset."),
    "video": ("lagbench.cli.video:command", "Film a recorded evaluation episode."),
}


class _Group(click.Group):
    """Commands as strings: ``--help`` and completion import none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_COMMANDS, *registry.commands()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = _COMMANDS[cmd_name][0] if cmd_name in _COMMANDS else registry.commands().get(cmd_name)
        if target is None:
            return None
        command: click.Command = registry.load(target)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        known = self.list_commands(ctx)
        if args and not args[0].startswith("-") and args[0] not in known and not ctx.resilient_parsing:
            raise unknown("command", args[0], known)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, text) for name, (_, text) in _COMMANDS.items()]
        rows += [(name, _first_line(target)) for name, target in registry.commands().items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _first_line(target: str) -> str:
    """Of the docstring of another package's command, which is read and not imported; empty where that fails."""
    module, _, attribute = target.partition(":")
    with contextlib.suppress(ImportError, OSError, SyntaxError, ValueError):
        found = importlib.util.find_spec(module)
        if found is not None and found.origin is not None:
            for node in ast.parse(Path(found.origin).read_text(encoding="utf-8")).body:
                if isinstance(node, ast.FunctionDef) and node.name == attribute:
                    return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


@click.group(cls=_Group, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
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
    try:
        code = cli.main(prog_name="lagbench", standalone_mode=False)
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
        # Nobody reads stdout any more; when it is flushed at the end, Python must not complain of that again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        traceback.print_exception(error.with_traceback(_from_the_command(error.__traceback__)))
        sys.exit(1)


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
