"""Reruns: a table of the maintainers' runs of a submission, with a record of its origin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pyarrow as pa

from lagbench import LagbenchError, scoring
from lagbench.leaderboard.documents import Count, Document, Name, Seed, Sha256, Version, decode, encode

METADATA = b"rerun"
"""Key of the record in the metadata of the table's schema."""


class Beacon(Document, frozen=True, kw_only=True):
    """A public random value and its source; ``name`` is None if it was drawn locally."""

    value: Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None


class Record(Document, frozen=True, kw_only=True):
    """The origin of a table.

    Attributes:
        submission: SHA-256 of the submission.
        beacon: the training seeds are derived from it and the submission.
        seeds: the training seeds, each with every task and value of the suite's axis.
        of: number of seeds of the suite; more than ``seeds`` for a partial rerun.
        sandbox: the sandbox used; None if the source was trusted.
        lagbench: the version of lagbench that trained it.
        date: date of the rerun, in UTC.
    """

    format_version: Literal[1]
    submission: Sha256
    beacon: Beacon
    seeds: Annotated[tuple[Seed, ...], msgspec.Meta(min_length=1, max_length=1_000)]
    of: Count
    sandbox: Name | None
    lagbench: Version
    date: Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d{2}-\d{2}\Z")]

    @property
    def is_whole(self) -> bool:
        """Whether all cells of the suite were trained."""
        return len(self.seeds) == self.of


@dataclass(frozen=True)
class Rerun:
    """A table of runs (see ``lagbench.scoring.table``), one row per run, and its origin."""

    record: Record
    table: Any


def file_of(submission: Path) -> Path:
    """The file of a submission's rerun: ``reruns/<suite>/<slug>.arrow``, beside ``submissions/``."""
    return submission.resolve().parents[2] / "reruns" / submission.resolve().parent.name / f"{submission.name}.arrow"


def read(file: Path) -> Rerun:
    """Read a rerun. Raises LagbenchError if the file has no table, or the table no record."""
    table = scoring.table.from_file(file)
    with pa.OSFile(str(file)) as source:
        told = (pa.ipc.open_file(source).schema.metadata or {}).get(METADATA)
    if told is None:
        raise LagbenchError(f"{file} is not a rerun of a submission; make one with: lagbench leaderboard rerun PATH")
    return Rerun(decode(Record, told, str(file)), table)


def write(rerun: Rerun, file: Path) -> None:
    """Write a rerun atomically. Raises RecordError."""
    table = rerun.table
    metadata = {**(table.schema.metadata or {}), METADATA: encode(rerun.record)}
    scoring.table.to_file(table.replace_schema_metadata(metadata), file)
