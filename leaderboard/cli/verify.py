"""``lagbench leaderboard verify``."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lagbench import LagbenchError, cli

if TYPE_CHECKING:
    from lagbench.leaderboard.states import State
    from lagbench.leaderboard.verification import Verification

_LABELS = {"ok": "ok", "failed": "FAIL", "skipped": "skip"}
_COLOURS = {"ok": "green", "failed": "red", "skipped": "yellow"}


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="For the report.  [default: verifications/<suite>/<slug>.json beside submissions/, where the board looks]",
)
@click.option("--overwrite", is_flag=True, help="Replace a report that is there.")
@click.option(
    "--episodes", type=click.IntRange(min=2), default=30, metavar="K", help="Fresh ones a policy.", show_default=True
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="K",
    help="Replay K episodes of each final evaluation, drawn.  [default: all]",
)
@click.option(
    "--nonce", metavar="HEX", help="Draw the seeds of an earlier report again, which has it.  [default: a new one]"
)
@cli.options.threads_option
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Runs at once, which share the cores: on many cores, of which one run keeps few busy.",
    show_default=True,
)
@cli.options.json_option
@cli.options.quiet_option
@click.pass_context
def command(
    ctx: click.Context,
    path: Path,
    out: Path | None,
    overwrite: bool,
    episodes: int,
    sample: int | None,
    nonce: str | None,
    threads: int,
    jobs: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Replay a submission's episodes, play its policies on fresh seeds, and write a report.

    \b
    lagbench leaderboard verify leaderboard/submissions/mujoco-mini-v0/mine
    lagbench leaderboard verify mine/ -o report.json --nonce HEX

    PATH is validated first. The episodes of the final evaluations are stepped again, or graded again, and their actions
    recomputed from the policies. Then each policy plays on seeds that follow from the submission's hash and a nonce,
    drawn now, which the report names. Nothing of the submission is run: policies are weights.

    Exit code 0 where all agrees, 1 where something does not. A claimed mean further than three standard errors from the
    one that is found is flagged, and no failure: some are, by chance. With -q only what does not agree.
    """  # noqa: D301 - click takes the character itself
    quiet_progress = quiet or as_json
    with cli.follow.starting(quiet_progress):
        from lagbench.leaderboard import states, verification
        from lagbench.leaderboard.validate import validate
        from lagbench.leaderboard.verify import verify

        file = out or verification.file_of(path)
        verification.check_free(file, overwrite)
        validation = validate(path)
    if validation.problems or validation.submission is None:
        first = validation.problems[0]
        raise LagbenchError(f"{path} is not valid: {first}; all of it: lagbench leaderboard validate {path}")
    with _stdout_free(), cli.progress.progress("verifying", quiet_progress) as told:
        found = verify(
            validation.submission,
            episodes=episodes,
            sample=sample,
            nonce=nonce,
            threads=threads,
            jobs=jobs,
            progress=told,
        )
    verification.write(found, file, overwrite=overwrite)
    state = states.state(validation, found)
    assert state is not None
    if as_json:
        about = {"file": str(file), "passed": found.passed, "state": state.to_json()}
        click.echo(cli.output.document({**about, "report": found.to_json()}))
    else:
        for line in _lines(found, state, quiet):
            click.echo(line)
        click.echo(f"wrote {file}", err=True)
    ctx.exit(0 if found.passed else 1)


@contextlib.contextmanager
def _stdout_free() -> Iterator[None]:
    """Send to stderr what MuJoCo's own code prints, of actions that are no numbers."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _lines(found: Verification, state: State, quiet: bool) -> Iterator[str]:
    """What was found: a check a line, and below it the runs that did not pass."""
    width = max(len(check.name) for check in found.checks)
    for name in dict.fromkeys(check.name for check in found.checks):
        own = [check for check in found.checks if check.name == name]
        for outcome, label in _LABELS.items():
            those = [check for check in own if check.outcome == outcome]
            if not those or (quiet and outcome != "failed"):
                continue
            reasons = {check.message for check in those}
            why = f": {reasons.pop()}" if outcome == "skipped" and len(reasons) == 1 else ""
            styled = click.style(f"{label:<4}", fg=_COLOURS[outcome])
            yield f"{styled}  {name:<{width}}  {len(those)} of {len(own)} runs{why}"
            if outcome == "failed":
                yield from (f"      {check.run}: {check.message}" for check in those)
    for one in found.flagged:
        apart = "with no spread in either" if one.z is None else f"{one.z:+.1f} standard errors"
        yield f"flagged: {one.run}: claimed {one.claimed.mean:.6g}, found {one.mean:.6g}, {apart}"
    if not quiet:
        flagged = f"{len(found.flagged)} of {len(found.reevaluated)} claimed means flagged"
        yield f"{flagged}, where {found.flagged_by_chance:.2f} are to be expected by chance of normal returns"
        yield f"{state.name}: {state.level.proves}; not proven: {state.level.does_not_prove}"
        yield from (f"note: {note}" for note in state.notes)
        if state.missing:
            yield f"missing for more: {state.missing}"
