"""Export of a run: Parquet, a Minari dataset of training episodes, a slim run, or the trained language model."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lagbench import registry
from lagbench.errors import UsageError, unknown
from lagbench.records.files import check_writable, explained
from lagbench.records.reader import Run

FORMATS = {
    "parquet": "lagbench.records.parquet:write",
    "minari": "lagbench.records.minari:write",
    "slim": "lagbench.records.slim:write",
    "huggingface": "lagbench.records.huggingface:write",
}
Progress = Callable[[int, int], None]
"""Called with the number of rows done and in total."""


@dataclass(frozen=True)
class Export:
    """The result of an export.

    Attributes:
        path: the directory of the tables, of the Minari dataset, or of the model.
        rows: rows by table; for a Minari dataset the numbers of ``episodes`` and ``steps``, for a model of ``weights``.
        dataset_id: the id of a Minari dataset.
        notes: sentences on what the export lacks.
    """

    path: Path
    rows: dict[str, int]
    dataset_id: str | None = None
    notes: tuple[str, ...] = ()


def export(run: Run, to: str, out: Path, progress: Progress = lambda done, total: None) -> Export:
    """Write a run to ``out`` in one of ``FORMATS``; of an unfinished run, its committed phases.

    Parquet: ``out`` must be new or empty; one ``<table>.parquet`` per table, with the same columns, rows and order.
    Minari: ``out`` is a root such as MINARI_DATASETS_PATH, which may contain other datasets; a dataset of the finished
    training episodes, ordered by end. Slim: ``out`` must be new or empty; a run without its steps
    (``lagbench.records.slim``). Hugging Face: ``out`` must be new or empty; the language model after the last phase,
    with its tokenizer. The output is written completely or not at all. Memory holds a few batches and, for Minari, the
    open episodes.

    Raises UsageError for an unknown format, an existing output, a missing extra, and a task that the format does not
    support (Minari: control, Hugging Face: language). Raises RecordError if the run lacks the trajectories or policy
    that the format needs, is damaged, or (slim) is not finished, and if the output cannot be written.
    """
    if to not in FORMATS:
        raise unknown("format", to, FORMATS)
    written: Export = registry.load(FORMATS[to])(run, out, progress)
    if run.result is not None:
        return written
    unfinished = f"{run.path} is not finished; only its committed phases are exported"
    return dataclasses.replace(written, notes=(unfinished, *written.notes))


def refuse_what_is_there(out: Path) -> None:
    """Raise UsageError unless ``out`` is new or an empty directory, RecordError if it cannot be written."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} already exists; delete it, or give another directory with --out")
    check_writable(out, "export again")


@contextmanager
def appearing(out: Path) -> Iterator[Path]:
    """Yield a directory to fill, which becomes ``out`` at the end and is deleted on failure."""
    with explained(out, "export again"):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
            # A subdirectory: only its owner may read the temporary directory itself.
            directory = Path(scratch) / out.name
            directory.mkdir()
            yield directory
            directory.replace(out)
