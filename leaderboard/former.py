"""A submission as it lies on disk: data only, in a directory."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lagbench import LagbenchError, Run, records
from lagbench import open as open_run
from lagbench.leaderboard import manifest, strict_json


@dataclass(frozen=True)
class Named:
    """A name and a SHA-256, in hex: of a suite's meaning, or of an algorithm's source."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Statement:
    """What the authors say of what no file can show.

    Attributes:
        tuning: how hyperparameters were chosen.
        discarded: which runs were thrown away, and why.
    """

    tuning: str
    discarded: str


@dataclass(frozen=True)
class File:
    """What the manifest says of a file: its SHA-256, its bytes, and of a table its rows."""

    sha256: str
    bytes: int
    rows: int | None


@dataclass(frozen=True)
class SubmittedRun:
    """One of a submission's runs.

    Attributes:
        name: its directory, as from the submission's: ``runs/<task>/lag<L>-u<U>-seed<S>``.
        path: its directory.
    """

    name: str
    path: Path

    @functools.cached_property
    def run(self) -> Run:
        """Its record, without single steps. Raises LagbenchError where it cannot be read."""
        return open_run(self.path)

    @property
    def has_final(self) -> bool:
        """Whether it came to its final evaluation; a diverged run did not."""
        return (self.path / records.final.FILE).is_file()

    def final_episodes(self) -> list[Any]:
        """The episodes of the final evaluation by the policy's mode, in order; none of a diverged run.

        On control ``EvaluationEpisode`` without observations, on language ``EvaluatedCompletion``. Raises
        LagbenchError.
        """
        return list(records.final.episodes(self.run, self.path / records.final.FILE)) if self.has_final else []


@dataclass(frozen=True)
class Submission:
    """What submission.json says.

    Attributes:
        path: the directory.
        sha256: of submission.json's bytes: as the manifest has the hash of every other file, it is the submission's.
        suite: the suite that it was run on.
        name: what it is called on the board.
        algorithm: by its name, without the path of any machine, and the SHA-256 of its source.
        authors: at least one.
        url: where more can be read.
        license: of code and data, an SPDX id.
        statement: of tuning and of runs thrown away.
        config: the hyperparameters, the same in all runs.
        lagbench: the version that made the submission.
        files: every other file by its path, as from the directory.
    """

    path: Path
    sha256: str
    suite: Named
    name: str
    algorithm: Named
    authors: tuple[str, ...]
    url: str
    license: str
    statement: Statement
    config: Mapping[str, Any]
    lagbench: str
    files: Mapping[str, File]

    @property
    def slug(self) -> str:
        """The name of its directory."""
        return self.path.name

    @property
    def source(self) -> str:
        """The algorithm's source."""
        return (self.path / manifest.SOURCE).read_text(encoding="utf-8")

    @property
    def bytes(self) -> int:
        """The size of all files together."""
        return (self.path / manifest.FILE).stat().st_size + sum(file.bytes for file in self.files.values())

    def runs(self) -> tuple[SubmittedRun, ...]:
        """Its runs, by name."""
        names = {path.rpartition("/")[0] for path in self.files if path.endswith("/spec.json")}
        return tuple(SubmittedRun(name, self.path / name) for name in sorted(names))


def read(path: Path) -> Submission:
    """The submission in a directory, of which submission.json alone is looked at: for all else see ``validate``.

    Raises LagbenchError where there is none, or it is not what a manifest should be.
    """
    content = strict_json.read_bytes(path / manifest.FILE)
    data = strict_json.parse(content, manifest.FILE)
    for fault in manifest.faults(data, content):
        raise LagbenchError(f"{path / manifest.FILE}: {fault}")
    return of(path, content, data)


def of(path: Path, content: bytes, data: Mapping[str, Any]) -> Submission:
    """The submission that a manifest without ``manifest.faults`` describes."""
    return Submission(
        path=path,
        sha256=hashlib.sha256(content).hexdigest(),
        suite=Named(**data["suite"]),
        name=data["name"],
        algorithm=Named(**data["algorithm"]),
        authors=tuple(data["authors"]),
        url=data["url"],
        license=data["license"],
        statement=Statement(**data["statement"]),
        config=dict(data["config"]),
        lagbench=data["lagbench"],
        files={path: File(at["sha256"], at["bytes"], at.get("rows")) for path, at in sorted(data["files"].items())},
    )
