"""Runs made into a submission: first what is missing of the grid, then a directory, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lagbench import LagbenchError, Run, Suite, UsageError, load_suite, records, scoring
from lagbench import open as open_run
from lagbench.leaderboard import arrow_guard, layout, manifest
from lagbench.leaderboard.findings import Problem
from lagbench.leaderboard.former import Statement, Submission, read
from lagbench.leaderboard.validate import validate

_SCORED = ("completed", "diverged")
_BARE = tuple(table for table in records.schema.TABLES if table not in layout.KEPT)


@dataclass(frozen=True)
class Missing:
    """A cell of the grid without a result, and why."""

    place: layout.Place
    reason: str

    def __str__(self) -> str:
        return f"{self.place.name.removeprefix(manifest.RUNS + '/')}: {self.reason}"


class Incomplete(LagbenchError):
    """Cells of the grid have no result; ``missing`` are they."""

    def __init__(self, message: str, missing: Sequence[Missing]) -> None:
        super().__init__(message)
        self.missing = tuple(missing)


class Invalid(LagbenchError):
    """What was to be submitted would not be valid, for these ``problems``."""

    def __init__(self, message: str, problems: Sequence[Problem]) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Chosen:
    """The runs to submit: one a cell of the suite, of one algorithm with one set of hyperparameters."""

    suite: Suite
    runs: dict[str, Run]

    @property
    def one(self) -> Run:
        """Any of them."""
        return next(iter(self.runs.values()))


@dataclass(frozen=True)
class Words:
    """What the authors say: see ``Submission``."""

    name: str
    authors: tuple[str, ...]
    url: str
    license: str
    statement: Statement

    def to_json(self) -> dict[str, Any]:
        """As the manifest has it."""
        return {**asdict(self), "authors": list(self.authors)}

    def check(self) -> None:
        """Raise UsageError for what a manifest must not say."""
        for fault in manifest.word_faults(self.to_json()):
            raise UsageError(fault)


def choose(paths: Sequence[Path], *, algo: str | None = None, suite: str | None = None) -> Chosen:
    """The runs in and below some directories, as a whole grid of one algorithm over one suite.

    Args:
        paths: directories.
        algo: the algorithm, by the name that its runs have; the one that there is, where there is one.
        suite: the suite; likewise.

    Raises:
        UsageError: what is to be submitted is not decided by that.
        Incomplete: a cell has no result.
        LagbenchError: a run cannot be read.
    """
    runs = [open_run(path) for path in scoring.find.find_runs(paths)]
    named = load_suite(suite).runs.name if suite else None
    runs = _of_one("suite", "--suite", [r for r in runs if r.spec.suite], lambda r: str(r.spec.suite_name), named)
    runs = _of_one("algorithm", "--algo", runs, lambda r: r.spec.algorithm.name, algo)
    whole = load_suite(suite or str(runs[0].spec.suite_name))
    for run in runs:
        try:
            whole.check(run.spec)
        except UsageError as error:
            raise UsageError(f"{run.path}: {error}") from None
    return Chosen(whole, _grid(whole, runs))


def _of_one(
    what: str, option: str, runs: Sequence[Run], name_of: Callable[[Run], str], wanted: str | None
) -> list[Run]:
    """The runs of which something has the name ``wanted``, or the only name that there is."""
    names = sorted({name_of(run) for run in runs})
    if wanted is None:
        if len(names) > 1:
            raise UsageError(f"there are runs of more than one {what}; choose one with {option}: {', '.join(names)}")
        wanted = names[0] if names else None
    if wanted not in names:
        known = f"; there are runs of {', '.join(names)}" if names else ""
        raise UsageError(f"there is no run of {f'the {what} {wanted}' if wanted else f'a {what}'}{known}")
    return [run for run in runs if name_of(run) == wanted]


def _grid(suite: Suite, runs: Iterable[Run]) -> dict[str, Run]:
    found: dict[str, list[Run]] = {}
    for run in runs:
        spec = run.spec
        found.setdefault(layout.directory(spec.task, spec.protocol, spec.seed), []).append(run)
    chosen: dict[str, Run] = {}
    missing = []
    for place in layout.places(suite):
        own = found.get(place.name, [])
        finished = [run for run in own if run.status in _SCORED]
        if len(finished) > 1:
            raise UsageError(
                f"{finished[0].path} and {finished[1].path} are both of {place.name}; give directories with one run a "
                "cell: which of them counts must not be chosen by their scores"
            )
        if finished:
            chosen[place.name] = finished[0]
        else:
            missing.append(Missing(place, _why(own)))
    if missing:
        total = len(chosen) + len(missing)
        raise Incomplete(f"{len(missing)} of the {total} cells of {suite.name} have no result", missing)
    _check_one_method(list(chosen.values()))
    return chosen


def _why(runs: Sequence[Run]) -> str:
    if not runs:
        return "no run"
    run = runs[0]
    return f"{run.path} is {run.status}" + (f": {reason}" if (reason := run.summary.get("reason")) else "")


def _check_one_method(runs: Sequence[Run]) -> None:
    """Raise UsageError where the runs are of several sources, or sets of hyperparameters."""
    values = {
        "the source": [run.spec.algorithm.source for run in runs],
        **{
            name: [json.dumps(run.spec.config.get(name)) for run in runs]
            for name in sorted({name for run in runs for name in run.spec.config})
        },
    }
    for name, own in values.items():
        (usual, _), *others = Counter(own).most_common()
        if others:
            odd = [str(run.path) for run, value in zip(runs, own, strict=True) if value != usual]
            raise UsageError(
                f"all runs must be of one method, and {name} is {usual} in most and {others[0][0]} in {odd[0]}"
                + (f" and {len(odd) - 1} more" if len(odd) > 1 else "")
            )


def submit(
    chosen: Chosen,
    words: Words,
    out: Path,
    *,
    source: bytes | None = None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> Submission:
    """Write a submission. The same runs and words give the same bytes.

    Args:
        chosen: the runs.
        words: what is said of them.
        out: the directory, which must not be there; its name is the submission's on the board.
        source: the algorithm's, where it is no longer where its runs had it.
        progress: told how many runs of how many are done.

    Raises:
        UsageError: the directory is there, or cannot be called so; the words cannot be said so; or the source is not
            that of the runs.
        Invalid: it would not be valid.
        LagbenchError: a run cannot be read, or is slim, or the directory cannot be written.
    """
    check_out(out)
    words.check()
    source = source_of(chosen, source)
    with records.export.appearing(out) as directory:
        for i, (name, run) in enumerate(chosen.runs.items()):
            _write_run(run, directory / name)
            progress(i + 1, len(chosen.runs))
        (directory / manifest.SOURCE).write_bytes(source)
        (directory / manifest.FILE).write_bytes(manifest.dump(_manifest(chosen, words, directory)))
        if problems := validate(directory).problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise Invalid(f"this would not be a valid submission: {problems[0]}{more}", problems)
    return read(out)


def check_out(out: Path) -> None:
    """Raise UsageError where a submission cannot lie there, LagbenchError where it cannot be written."""
    if not manifest.SLUG.fullmatch(out.name):
        raise UsageError(f"a submission's directory is called by a-z, 0-9 and -, and not {out.name!r}; give another -o")
    if out.exists() or out.is_symlink():
        raise UsageError(f"{out} is there already, and a submission is not changed; move it away, or give another -o")
    records.files.check_writable(out, "submit again")


def source_of(chosen: Chosen, source: bytes | None = None) -> bytes:
    """The algorithm's source: ``source``, or what its runs name. Raises UsageError where it is not theirs."""
    spec = chosen.one.spec
    try:
        found, what = (spec.source(), "that is here") if source is None else (source, "given")
        digest = hashlib.sha256(found).hexdigest()
        theirs = manifest.source_sha256(spec, digest)
        if digest != theirs:
            raise UsageError(
                f"the source {what} is not that of the runs: its SHA-256 is {digest[:12]}…, theirs {theirs[:12]}…"
            )
    except UsageError as error:
        if source is None:
            error.add_note("where the source of the runs is elsewhere, give it with --source FILE")
        raise
    return found


def _write_run(run: Run, directory: Path) -> None:
    records.slim.write(run, directory, lambda done, total: None, _BARE)
    if records.final.expected(run):
        records.final.write(run, directory / layout.FINAL)
    shutil.rmtree(directory / "source", ignore_errors=True)  # that of all runs is beside them
    assert run.result is not None
    if layout.POLICY not in layout.wanted(run.spec, run.result):
        (directory / layout.POLICY).unlink(missing_ok=True)


def _manifest(chosen: Chosen, words: Words, directory: Path) -> dict[str, Any]:
    spec, suite = chosen.one.spec, chosen.suite
    files = sorted(file for file in directory.rglob("*") if file.is_file())
    return {
        "format_version": manifest.FORMAT_VERSION,
        "suite": {"name": suite.name, "sha256": suite.sha256},
        "algorithm": {
            "name": manifest.public_name(spec.algorithm.name),
            "sha256": _file(directory / manifest.SOURCE)["sha256"],
        },
        **words.to_json(),
        "config": dict(spec.config),
        "lagbench": version("lagbench"),
        "files": {file.relative_to(directory).as_posix(): _file(file) for file in files},
    }


def _file(file: Path) -> dict[str, Any]:
    content = file.read_bytes()
    rows = {"rows": arrow_guard.declared(file).rows} if file.suffix == ".arrow" else {}
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), **rows}
