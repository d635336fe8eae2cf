"""Reports: a directory with figures as PDF, SVG and PNG, and a self-contained page."""

from __future__ import annotations

import base64
import importlib.metadata
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from lagbench.records.directory import Kind
from lagbench.scoring import measured
from lagbench.scoring.details import Details
from lagbench.scoring.grid import domain_of, short_source
from lagbench.scoring.plots import labels, left_out, names, pictures
from lagbench.scoring.plots.canvas import FORMATS, Picture, written
from lagbench.scoring.results import Results
from lagbench.scoring.sheets import Sheet, sheets

PAGE = "index.html"
REPORT = Kind("report", "report.json")
_PACKAGES = ("lagbench", "rliable", "arch", "matplotlib", "numpy", "pyarrow", "scipy", "seaborn")
_CSS_INCH = 96
Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class _Shown:
    """A figure on the page: ``source`` is its SVG as a data URI, ``width`` its intended width in CSS pixels."""

    picture: Picture
    source: str
    width: int


def files(
    results: Results, details: Details, command: str, progress: Progress = lambda done, total: None
) -> dict[str, bytes]:
    """Name → content of a report's figures and page. The page shows ``command``, which makes the report."""
    total = len(names(results, details))
    found: dict[str, bytes] = {}
    shown = []
    for i, picture in enumerate(pictures(results, details)):
        forms = written(picture.figure)
        found |= {f"{picture.name}.{form}": content for form, content in forms.items()}
        source = f"data:image/svg+xml;base64,{base64.b64encode(forms['svg']).decode()}"
        shown.append(_Shown(picture, source, round(picture.figure.get_figwidth() * _CSS_INCH)))
        progress(i + 1, total)
    return {**found, PAGE: _page(results, details, command, shown).encode(errors="backslashreplace")}


def _page(results: Results, details: Details, command: str, shown: Sequence[_Shown]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lagbench.scoring", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short_source"] = short_source
    # The first table, if scores are normalised, is the main result and precedes the figures.
    tables, answers = sheets(results), int(results.normalized)
    more = measured.sheet(results, details)
    what = {"score": "scores", "accuracy": "accuracy", "return": "returns"}[results.kind]
    return environment.get_template("report.html.j2").render(
        title=f"{results.suite.name if results.suite else 'Runs of no suite'}: {what} over {results.axis}",
        results=results,
        facts=_facts(results, details),
        meaning=labels.meaning(results),
        headline=tables[:answers],
        tables=[(_anchor(sheet), sheet) for sheet in [*tables[answers:], *([more] if more else [])]],
        figures=shown,
        forms=FORMATS,
        left_out=left_out(results, details),
        command=command,
        versions=versions(),
    )


def _facts(results: Results, details: Details) -> list[tuple[str, str]]:
    suite = f"{results.suite.name}, {results.suite.sha256}" if results.suite else "none"
    seeds = ", ".join(map(str, results.seeds))
    return [
        ("suite", suite),
        ("tasks", ", ".join(results.tasks)),
        (results.axis, ", ".join(map(str, results.values))),
        ("scored", domain_of(results.tasks[0]).modes[results.measure]),
        ("seeds", f"{len(results.seeds)} ({seeds})" if len(results.seeds) > 1 else seeds),
        ("budget", f"{details.budget:,} {details.unit} per run"),
        ("runs", f"{sum(line.runs for line in results.lines)}, of {len(results.lines)} algorithms or configurations"),
        ("intervals", f"95%, {results.replications:,} replications of a stratified bootstrap by rliable"),
    ]


def _anchor(sheet: Sheet) -> str:
    return re.sub(r"[^a-z0-9]+", "-", sheet.title.lower()).strip("-")


def versions() -> dict[str, str]:
    """Package → installed version, of all packages that affect a report."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def write(out: Path, content: Mapping[str, bytes], command: str) -> None:
    """Write a report, replacing an earlier one. Raises as ``Kind.write``."""
    REPORT.write(out, content, {"command": command, "versions": versions()})
