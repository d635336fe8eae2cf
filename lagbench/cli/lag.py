"""``lagbench lag``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from lagbench import registry
from lagbench.cli.options import ASSIGNMENT, INTEGER, Name, json_option
from lagbench.errors import UsageError

_PHASES, _ACTORS = 488, 64
_FORMATS = ("pdf", "png", "svg")


@click.command()
@click.argument("mode", type=Name("mode", registry.lag_modes))
@click.option("--lag", type=INTEGER, default=0, metavar="L", help="Maximum staleness, if the mode has none of its own.")
@click.option(
    "--lag-set",
    "options",
    type=ASSIGNMENT,
    multiple=True,
    metavar="NAME=VALUE",
    help="Set an option of the lag mode. May be repeated.",
)
@click.option(
    "--actors",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Number of actors.  [default: {_ACTORS}, or that of the trace]",
)
@click.option(
    "--phases",
    type=click.IntRange(min=1),
    metavar="K",
    help=f"Number of phases.  [default: {_PHASES}, or that of the trace]",
)
@click.option("--seed", type=INTEGER, default=0, metavar="S", help="Seed of the run.", show_default=True)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), metavar="FILE", help="Also plot it to a .pdf, .png or .svg file."
)
@json_option
def command(
    mode: str,
    lag: int,
    options: tuple[tuple[str, str], ...],
    actors: int | None,
    phases: int | None,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Print the histogram of lags that a lag mode produces, without training.

    \b
    lagbench lag uniform --lag 8
    lagbench lag queue:impala -o lag.pdf
    lagbench lag queue --lag-set capacity=2 --lag-set learner=1.5
    lagbench lag trace:RUN

    Counts every actor in every phase, including the first phases, in which few versions exist.
    """  # noqa: D301 - click takes the character itself
    from lagbench.lag import staleness, traces
    from lagbench.lag.histogram import Histogram
    from lagbench.protocol import Protocol
    from lagbench.records.files import check_writable, explained, replacing

    if out is not None:
        if out.suffix.removeprefix(".") not in _FORMATS:
            raise UsageError(f"{out} has no suffix of a known format; use one of {', '.join(_FORMATS)}")
        check_writable(out, "try again")
    if mode.partition(":")[0] == "trace":
        given = Protocol.resolve(lag_mode=mode, minibatch=1, actors=1, phase_steps=2, lag_options=dict(options))
        shape = traces.versions(given.lag_options["trace_sha256"]).shape
        phases, actors = phases or shape[0], actors or shape[1]
    actors, phases = actors or _ACTORS, phases or _PHASES
    protocol = Protocol.resolve(
        lag=lag, lag_mode=mode, lag_options=dict(options), minibatch=actors, actors=actors, phase_steps=2
    )
    protocol = staleness.settled(protocol, seed, phases)
    found = Histogram.of_mode(protocol, seed, phases)
    if out is not None:
        from lagbench.scoring.plots import canvas
        from lagbench.scoring.plots.lag import histogram

        with explained(out, "try again"), replacing(out) as file:
            file.write(canvas.written(histogram(mode, found))[out.suffix.removeprefix(".")])
    if as_json:
        document = {"mode": mode, "protocol": protocol.to_json(), "phases": phases, "seed": seed, **found.to_json()}
        click.echo(json.dumps(document, indent=2))
        return
    click.echo(f"{mode}, {actors} actors, {phases} phases, seed {seed}: lag {found.summary()}\n")
    click.echo("\n".join(found.lines()))
