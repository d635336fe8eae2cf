"""Submissions on disk: a method's source and settings, and its authors' results."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from lagbench import LagbenchError, Source
from lagbench.leaderboard.documents import (
    LONG,
    NAME,
    PROSE,
    URL,
    Count,
    Document,
    Name,
    Seed,
    Sha256,
    Version,
    decode,
    encode,
)
from lagbench.leaderboard.files import entries
from lagbench.leaderboard.text import line_fault, name_fault, prose_fault, shown

MANIFEST, RESULTS, SOURCE = "submission.json", "results.json", "source"
MANIFEST_BYTES, RESULTS_BYTES, SOURCE_BYTES, SOURCE_FILES = 1 << 16, 1 << 22, 1 << 20, 100
"""Size limits of the parts of a submission, checked before reading."""
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,63}", re.ASCII)
_MODULE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*/){0,8}[A-Za-z_][A-Za-z0-9_.-]*\.py", re.ASCII)
_URL = re.compile(r"https://[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(:[0-9]{1,5})?(/[!#-;=?-\[\]_a-z~]*)?", re.ASCII)
_LICENSE = re.compile(r"[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*", re.ASCII)
_CLASS = r"^[A-Za-z_][A-Za-z0-9_]*\Z"
# Names that some systems reserve, so that a checkout of the repository would fail there.
_RESERVED = {"con", "prn", "aux", "nul", "index", *(f"{port}{i}" for port in ("com", "lpt") for i in range(10))}


class Installed(Document, frozen=True, kw_only=True):
    """The distribution from which an algorithm's source was copied, and the algorithm's name there."""

    name: Name
    distribution: Name
    version: Version


class Algorithm(Document, frozen=True, kw_only=True):
    """The method.

    Attributes:
        main: path of the module with its class, relative to ``source/``.
        cls: name of the class; ``class`` in the document.
        sha256: SHA-256 of the source, as in the specification of a run.
        installed: where the source was copied from, if the authors ran it installed.
    """

    main: Annotated[str, msgspec.Meta(max_length=200)]
    cls: Annotated[str, msgspec.Meta(pattern=_CLASS, max_length=60)] = msgspec.field(name="class")
    sha256: Sha256
    installed: Installed | None

    @property
    def name(self) -> str:
        """Its name on the command line: ``mine.py:Mine``, or its installed name."""
        return self.installed.name if self.installed else f"{self.main}:{self.cls}"


class SuiteName(Document, frozen=True, kw_only=True):
    """A suite and the SHA-256 of its definition."""

    name: Name
    sha256: Sha256


class Statement(Document, frozen=True, kw_only=True):
    """The authors' statement: how they tuned, and which runs they discarded, and why."""

    tuning: Annotated[str, msgspec.Meta(min_length=1, max_length=PROSE)]
    discarded: Annotated[str, msgspec.Meta(min_length=1, max_length=PROSE)]


class Manifest(Document, frozen=True, kw_only=True):
    """submission.json. ``results`` is the SHA-256 of results.json, so its own SHA-256 identifies the submission."""

    format_version: Literal[2]
    name: Name
    slug: str
    authors: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1, max_length=50)]
    url: Annotated[str, msgspec.Meta(max_length=URL)]
    license: Annotated[str, msgspec.Meta(max_length=NAME)]
    algorithm: Algorithm
    config: Annotated[
        dict[Name, bool | int | float | Annotated[str, msgspec.Meta(max_length=LONG)] | None],
        msgspec.Meta(max_length=100),
    ]
    suite: SuiteName
    statement: Statement
    results: Sha256
    lagbench: Version

    def faults(self) -> Iterator[str]:
        """Faults that the types do not exclude, each in a sentence."""
        texts: list[tuple[str, str | None]] = [
            ("name", name_fault(self.name)),
            ("slug", slug_fault(self.slug)),
            *((f"authors[{i}]", line_fault(author)) for i, author in enumerate(self.authors)),
            ("url", None if _URL.fullmatch(self.url) else "is not an https address"),
            ("license", None if _LICENSE.fullmatch(self.license) else "is not an SPDX licence expression, such as MIT"),
            ("algorithm.main", None if is_module(self.algorithm.main) else "is not a module path"),
            *(("config", line_fault(name)) for name in self.config),
            *((f"config.{k}", line_fault(x)) for k, x in self.config.items() if isinstance(x, str) and x),
            ("statement.tuning", prose_fault(self.statement.tuning)),
            ("statement.discarded", prose_fault(self.statement.discarded)),
        ]
        yield from (f"{where} {fault}" for where, fault in texts if fault)


class Cell(Document, frozen=True, kw_only=True):
    """A run reported by its author: a cell of the suite, and its evaluations at the planned fractions of the budget.

    Attributes:
        task: task id; with ``lag``, ``updates`` and ``seed`` it identifies a cell of the suite.
        status: ``completed``, or ``diverged`` with fewer evaluations.
        returns: mean returns with sampled actions, which are scored.
        errors: their standard errors; None from a single episode.
        mode_returns: mean returns with the mean action or greedy answers, which are not scored.
        mode_errors: their standard errors.
    """

    task: Name
    lag: Count
    updates: Count
    seed: Seed
    status: Literal["completed", "diverged"]
    returns: Annotated[tuple[float, ...], msgspec.Meta(min_length=1, max_length=1000)]
    errors: Annotated[tuple[float | None, ...], msgspec.Meta(max_length=1000)]
    mode_returns: Annotated[tuple[float, ...], msgspec.Meta(max_length=1000)]
    mode_errors: Annotated[tuple[float | None, ...], msgspec.Meta(max_length=1000)]


class Claim(Document, frozen=True, kw_only=True):
    """results.json.

    Attributes:
        budget: budget of each run.
        episodes: episodes per evaluation with sampled actions.
        mode_episodes: episodes per evaluation with the mean action.
        intervals: number of intervals of the budget; evaluations are at the fractions 0, 1/intervals, …, 1.
        device: the device of all runs.
        torch_threads: number of torch threads of all runs.
        packages: versions of lagbench and EnvPool that made the runs.
        cells: the runs, by task, lag, updates and seed.
    """

    format_version: Literal[2]
    budget: Count
    episodes: Count
    mode_episodes: Count
    intervals: Annotated[int, msgspec.Meta(ge=1, le=999)]
    device: Name
    torch_threads: Annotated[int, msgspec.Meta(ge=1, le=10_000)]
    packages: Annotated[
        dict[Name, Annotated[tuple[Version, ...], msgspec.Meta(max_length=20)]], msgspec.Meta(max_length=20)
    ]
    cells: Annotated[tuple[Cell, ...], msgspec.Meta(max_length=10_000)]


@dataclass(frozen=True)
class Submission:
    """A submission.

    Attributes:
        path: its directory.
        sha256: SHA-256 of submission.json, which contains the hashes of everything else.
        manifest: authors, method and settings.
        claim: the authors' results.
        source: the method's modules.
    """

    path: Path
    sha256: str
    manifest: Manifest
    claim: Claim
    source: Source

    @property
    def slug(self) -> str:
        """Its name in URLs and file names."""
        return self.manifest.slug

    @property
    def bytes(self) -> int:
        """Total size of its files."""
        return sum((self.path / name).stat().st_size for name in listed(self.path))


def read(path: Path) -> Submission:
    """Read a submission, verifying its hashes and the form of its documents. ``validate`` checks the rest.

    Its source is neither imported nor parsed. Raises LagbenchError if the submission is not valid.
    """
    files = listed(path)
    content, results = (_content(path / name, files) for name in (MANIFEST, RESULTS))
    manifest = _checked(content)
    claim = decode(Claim, results, RESULTS)
    main = manifest.algorithm.main
    modules = {name.removeprefix(f"{SOURCE}/"): name for name in files if name.startswith(f"{SOURCE}/")}
    if main not in modules:
        raise LagbenchError(f"{SOURCE}/{main} is missing, which {MANIFEST} names as the algorithm's module")
    source = Source(main, {module: (path / name).read_bytes() for module, name in sorted(modules.items())})
    for name, told, found in (
        (RESULTS, manifest.results, hashlib.sha256(results).hexdigest()),
        (f"{SOURCE}/", manifest.algorithm.sha256, source.sha256),
    ):
        if told != found:
            raise LagbenchError(f"{name} has the SHA-256 {found[:12]}…, but {MANIFEST} says {told[:12]}…")
    return Submission(path, hashlib.sha256(content).hexdigest(), manifest, claim, source)


def check(manifest: Manifest) -> None:
    """Raise LagbenchError if a manifest is not valid; its ``results`` may still be empty."""
    _checked(encode(msgspec.structs.replace(manifest, results=manifest.results or "0" * 64)))


def _checked(content: bytes) -> Manifest:
    manifest = decode(Manifest, content, MANIFEST)
    for fault in manifest.faults():
        raise LagbenchError(f"{MANIFEST}: {fault}")
    return manifest


def listed(path: Path) -> Mapping[str, int]:
    """Path in the submission → size in bytes of its files.

    Raises LagbenchError for an unexpected file, a link or a file that is too large.
    """
    if path.is_symlink() or not path.is_dir():
        raise LagbenchError(f"{path} is not a directory")
    found: dict[str, int] = {}
    for file, size in entries(path):
        name = file.relative_to(path).as_posix()
        if size is None:
            continue
        if size < 0:
            raise LagbenchError(f"'{shown(name)}' is not a regular file")
        if len(found) > SOURCE_FILES + 2:
            raise LagbenchError(f"too many files; at most {SOURCE_FILES} modules are allowed")
        found[name] = size
    limits = {MANIFEST: MANIFEST_BYTES, RESULTS: RESULTS_BYTES}
    for name, size in found.items():
        module = name.removeprefix(f"{SOURCE}/")
        if name not in limits and not (module != name and is_module(module)):
            raise LagbenchError(
                f"'{shown(name)}' does not belong in a submission, which has {MANIFEST}, {RESULTS} and modules in "
                f"{SOURCE}/"
            )
        if size > (limit := limits.get(name, SOURCE_BYTES)):
            raise LagbenchError(f"{name} has {size:,} bytes; at most {limit:,} are allowed")
    modules = [name for name in found if name not in limits]
    if (size := sum(found[name] for name in modules)) > SOURCE_BYTES:
        raise LagbenchError(f"{SOURCE}/ has {size:,} bytes; at most {SOURCE_BYTES:,} are allowed")
    if len({name.casefold() for name in modules}) < len(modules):
        raise LagbenchError(f"{SOURCE}/ has two files whose names differ only in case")
    return dict(sorted(found.items()))


def _content(file: Path, files: Mapping[str, int]) -> bytes:
    if file.name not in files:
        raise LagbenchError(f"{file.name} is missing")
    return file.read_bytes()


def slug_fault(slug: str) -> str | None:
    """The fault in the name of a submission's directory; None if it is valid."""
    if not _SLUG.fullmatch(slug):
        return f"must be a-z, 0-9 and -, at most 64, not '{shown(slug)}'"
    return "is a reserved name on some systems" if slug in _RESERVED else None


def is_module(path: str) -> bool:
    """Whether a path is a module's, and valid on any system."""
    parts = [part.partition(".")[0].casefold() for part in path.split("/")]
    return _MODULE.fullmatch(path) is not None and len(path) <= 200 and not _RESERVED.intersection(parts) - {"index"}


def slug_of(name: str) -> str:
    """The default directory name for a submission of this name; empty if it has no Latin letter or digit."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:64].rstrip("-")


def write(path: Path, manifest: Manifest, claim: Claim, source: Source) -> Submission:
    """Write a submission into an empty directory; ``manifest.results`` is filled in."""
    results = encode(claim)
    manifest = msgspec.structs.replace(manifest, results=hashlib.sha256(results).hexdigest())
    for name, content in {f"{SOURCE}/{module}": text for module, text in source.files.items()}.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    (path / RESULTS).write_bytes(results)
    (path / MANIFEST).write_bytes(encode(manifest))
    return read(path)
