"""Reports: a directory with figures as PDF, SVG and PNG, and a self-contained page."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from lagbench.errors import LagbenchError, UsageError
from lagbench.records.files import check_writable, explained, replacing
from lagbench.scoring import measured
from lagbench.scoring.details import Details
from lagbench.scoring.grid import domain_of, short_source
from lagbench.scoring.plots import labels, left_out, names, pictures
from lagbench.scoring.plots.canvas import FORMATS, Picture, written
from lagbench.scoring.results import Results
from lagbench.scoring.sheets import Sheet, sheets

PAGE = "index.html"
MANIFEST = "report.json"
FORMAT_VERSION = 1
_NAME = "lagbench report"
_PACKAGES = ("lagbench", "rliable", "arch", "matplotlib", "numpy", "pyarrow", "scipy", "seaborn")
_CSS_INCH = 96
Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class _Shown:
    """A figure on the page: ``source`` is its SVG as a data URI, ``width`` what it is drawn for, in CSS pixels."""

    picture: Picture
    source: str
    width: int


def files(
    results: Results, details: Details, command: str, progress: Progress = lambda done, total: None
) -> dict[str, bytes]:
    """Name → content of a report's figures and page. ``command`` is what makes them, for the page."""
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
    # The first table is the answer where there is one, and stands before the figures.
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
    """Package → installed version, of all that makes a report."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def check_free(directory: Path) -> bool:
    """Whether a report of before is in the directory, and nothing else; False where nothing is.

    Raises UsageError where something else is in it, or a file of the report that was changed since, and RecordError
    where it cannot be written.
    """
    listed = None
    if directory.is_symlink() or directory.exists():
        if not directory.is_dir():
            raise UsageError(f"{directory} is not a directory; give another one with -o")
        there = sorted(entry.name for entry in directory.iterdir())
        listed = _listed(directory)
        for name in there:
            if name == MANIFEST and listed is not None:
                continue
            if listed is None or name not in listed:
                raise UsageError(
                    f"{directory} contains a file that is not part of a lagbench report, {name!r}; give another "
                    f"directory "
                    "with -o"
                )
            if _digest(directory / name) not in listed[name]:
                raise UsageError(
                    f"{directory / name} has changed since lagbench wrote it; move it away, or give another directory "
                    "with -o"
                )
    check_writable(directory, "make the report again", into=True)
    return listed is not None


def write(directory: Path, content: Mapping[str, bytes], command: str) -> None:
    """Write a report, in place of the one of before. Raises as ``check_free``, and RecordError where that fails.

    ``report.json`` comes first, and names every file with its SHA-256 and, until all are there, that of the file of
    before: so what an interrupt leaves is a report still, and can be replaced.
    """
    check_free(directory)
    before = _listed(directory) or {}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    with explained(directory, "make the report again"):
        directory.mkdir(parents=True, exist_ok=True)
        both = {name: {digests[name]} if name in digests else set() for name in content.keys() | before.keys()}
        _write_manifest(directory, command, {name: sorted(own | before.get(name, set())) for name, own in both.items()})
        for name in before.keys() - content.keys():
            (directory / name).unlink(missing_ok=True)
        for name, data in content.items():
            with replacing(directory / name) as out:
                out.write(data)
        _write_manifest(directory, command, {name: [digest] for name, digest in digests.items()})


def _write_manifest(directory: Path, command: str, sums: Mapping[str, Sequence[str]]) -> None:
    document = {
        "kind": _NAME,
        "format_version": FORMAT_VERSION,
        "command": command,
        "versions": versions(),
        "files": {name: list(sums[name]) for name in sorted(sums)},
    }
    with replacing(directory / MANIFEST) as out:
        out.write(json.dumps(document, indent=2, ensure_ascii=False).encode(errors="backslashreplace") + b"\n")


def _listed(directory: Path) -> dict[str, set[str]] | None:
    """Name → SHA-256s that the file may have, as the manifest says; None where there is none of ours."""
    try:
        document: Any = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        if (document["kind"], document["format_version"]) != (_NAME, FORMAT_VERSION):
            return None
        return {name: set(sums) for name, sums in document["files"].items() if os.path.basename(name) == name}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _digest(file: Path) -> str | None:
    if file.is_symlink() or not file.is_file():
        return None
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise LagbenchError(f"cannot read {file} ({error.strerror}); give another directory with -o") from error
