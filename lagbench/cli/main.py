"""``lagbench``: finds the command, loads it alone, and turns errors into a sentence and an exit code."""

from __future__ import annotations

import sys
from typing import Any

import click

from lagbench import registry
from lagbench.errors import LagbenchError, nearest

_COMMANDS = {
    "run": ("lagbench.cli.run:command", "Run one algorithm under one lag, to a finished record."),
    "resume": ("lagbench.cli.resume:command", "Go on with a run that was cut off."),
    "show": ("lagbench.cli.show:command", "Show a run, a task or an algorithm."),
    "list": ("lagbench.cli.list:command", "List tasks, algorithms or suites."),
    "check": ("lagbench.cli.check:command", "Check an algorithm against the harness's contract, in seconds."),
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
        if args and not args[0].startswith("-") and args[0] not in known:
            close = nearest(args[0], known)
            hint = f" Did you mean {close!r}?" if close else ""
            raise click.UsageError(f"no command {args[0]!r}.{hint} Commands: {', '.join(known)}.", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, text) for name, (_, text) in _COMMANDS.items()]
        rows += [(name, "") for name in registry.commands()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lagbench")
def cli() -> None:
    """Policy lag as a controlled variable: run, record and compare RL algorithms on stale data.

    \b
    lagbench run --algo vaco --lag 8
    lagbench run --task HalfCheetah-v5 --algo ppo --lag 16 --budget 300k --seed 3
    lagbench check mine.py:Mine && lagbench run --algo mine.py:Mine --lag 8
    """


def main() -> None:
    """The entry point. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 diverged, 130 or 143 interrupted."""
    try:
        code = cli.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except LagbenchError as error:
        _say(str(error))
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted")
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


def _say(sentence: str) -> None:
    click.echo(f"Error: {sentence}", err=True)
