"""Export of a run: Parquet, a Minari dataset of its training episodes, a slim run, or the language model it trained."""

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
"""Told how many rows of how many are done."""


@dataclass(frozen=True)
class Export:
    """What was written where.

    Attributes:
        path: the directory of the tables, of the Minari dataset, or of the model.
        rows: rows by table; of a Minari dataset how many ``episodes`` and ``steps``, of a model how many ``weights``.
        dataset_id: a Minari dataset's.
        notes: sentences on what is not in it.
    """

    path: Path
    rows: dict[str, int]
    dataset_id: str | None = None
    notes: tuple[str, ...] = ()


def export(run: Run, to: str, out: Path, progress: Progress = lambda done, total: None) -> Export:
    """Write a run into ``out`` in one of ``FORMATS``; of a run that is not finished, its committed phases.

    Parquet: ``out`` must be new or empty and gets one ``<table>.parquet`` a table, with the same columns, rows and
    order. Minari: ``out`` is a root as MINARI_DATASETS_PATH names one, which may hold other datasets, and gets one of
    the training episodes that ended, in the order of their ends. Slim: ``out`` must be new or empty and gets a run
    without its steps (``lagbench.records.slim``). Hugging Face: ``out`` must be new or empty and gets the language
    model after the last phase, with its tokenizer. Each is there at the end, whole, or not at all. In memory are a few
    batches at a time, and for Minari the episodes under way.

    Raises UsageError for another format, an output that is there already, a missing extra, for Minari a task that is
    not a control task, and for Hugging Face one that is not of a language model. Raises RecordError where a run without
    trajectories is to give episodes, where the rows are not those that the run recorded, where a run that is not
    finished is to be slim, where one without a policy is to give a model, and where the output cannot be written.
    """
    if to not in FORMATS:
        raise unknown("format", to, FORMATS)
    written: Export = registry.load(FORMATS[to])(run, out, progress)
    if run.result is not None:
        return written
    unfinished = f"{run.path} is not finished; only its committed phases are exported"
    return dataclasses.replace(written, notes=(unfinished, *written.notes))


def refuse_what_is_there(out: Path) -> None:
    """Raise UsageError where ``out`` is anything but an empty directory, RecordError where it cannot be written."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} already exists; delete it, or give another directory with --out")
    check_writable(out, "export again")


@contextmanager
def appearing(out: Path) -> Iterator[Path]:
    """A directory to fill, which becomes ``out`` at the end, or goes where that fails."""
    with explained(out, "export again"):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
            # One inside, for nobody else may read the temporary one.
            directory = Path(scratch) / out.name
            directory.mkdir()
            yield directory
            directory.replace(out)
