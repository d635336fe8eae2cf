"""Cost of recording every transition: speed, memory and bytes.

    python -m benchmarks.recording [--quick] [--task Hopper-v5] [--json]

Speed: collecting with a writer against collecting the same phases without one, alternating block by block as in
``benchmarks/throughput.py``. Memory: growth of the process's peak after the warm-up. Bytes: of a transition as NumPy
arrays, as Arrow on disk, and as Parquet (zstd).
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.throughput import CORES, QUICK, Collector, Plan, Result, _both_collect, _spec, context
from lagbench import diagnostics
from lagbench.actors.base import Transitions
from lagbench.records.export import export
from lagbench.records.reader import open_run
from lagbench.records.rows import PhaseRecord
from lagbench.records.writer import RunWriter
from lagbench.spec import RunSpec
from lagbench.tasks.spec import load_task

TARGETS = {"Hopper-v5": 0.95, "Humanoid-v5": 0.90}
# The share of the recorded bytes below which growth is noise of the allocator.
GROWTH = 0.05


@dataclass(frozen=True)
class Cost:
    """Cost of recording on one task.

    Attributes:
        speed: the ratio, and the speeds with and without recording.
        commit_ms: median time of a phase's commit.
        recorded_mib: bytes recorded between the two measurements of memory.
        grown_mib: growth of the process's peak resident set between them.
        raw: bytes per transition as NumPy arrays.
        arrow: bytes per transition in the finished trajectories file.
        parquet: bytes per transition as Parquet with zstd.
    """

    speed: Result
    commit_ms: float
    recorded_mib: float
    grown_mib: float
    raw: float
    arrow: float
    parquet: float

    @property
    def memory_verdict(self) -> str:
        """Whether memory stays constant."""
        return "met" if self.grown_mib <= GROWTH * self.recorded_mib else "missed"


class _Writer(RunWriter):
    """Notes each commit's seconds and bytes, and the process's peak memory after it."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.looks: list[tuple[float, int, int]] = []

    def commit(self, record: PhaseRecord) -> None:
        start = time.perf_counter()
        super().commit(record)
        self.looks.append((time.perf_counter() - start, _bytes(record.transitions), _largest()))


def cost(task: str, plan: Plan) -> Cost:
    """Measure the cost on one task."""
    spec = _spec(task, plan, lag=8)
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch) / "run"
        with _writer(run, spec) as writer:
            duel = _both_collect(Collector(spec, writer), Collector(spec), plan)
            writer.finish("completed", {}, {})
        rows = open_run(run).trajectories.count_rows()
        arrow = (run / "trajectories" / "data.arrow").stat().st_size
        tables = export(open_run(run), "parquet", Path(scratch) / "tables").path
        parquet = (tables / "trajectories.parquet").stat().st_size
    counted = writer.looks[plan.warm_up :]
    recorded = sum(size for _, size, _ in counted)
    return Cost(
        speed=duel.result("recording", task, "collect and record ÷ collect", TARGETS.get(task), plan),
        commit_ms=1e3 * statistics.median(seconds for seconds, *_ in counted),
        recorded_mib=recorded / 2**20,
        grown_mib=(counted[-1][2] - writer.looks[plan.warm_up - 1][2]) / 2**20,
        raw=sum(size for _, size, _ in writer.looks) / rows,
        arrow=arrow / rows,
        parquet=parquet / rows,
    )


def _writer(path: Path, spec: RunSpec) -> _Writer:
    sizes = load_task(spec.task, spec.task_options).record_sizes
    return _Writer.create(path, spec, None, **sizes, diagnostics=diagnostics.NAMES, threads=CORES)


def _bytes(transitions: Transitions) -> int:
    return sum(values.nbytes for values in (*transitions.columns.values(), transitions.final_observation))


def _largest() -> int:
    """The process's peak resident set, in bytes (getrusage counts in KiB on Linux, in bytes on macOS)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure(tasks: Sequence[str], plan: Plan) -> Iterator[Cost]:
    """Yield each cost as soon as it is measured."""
    torch.set_num_threads(1)
    for task in tasks:
        yield cost(task, plan)


_ROW = "{:<12} {:>6} {:>7} {:>15}  {:<7} {:>9} {:>11}  {:<7} {:>6} {:>6} {:>8}"
_HEADINGS = ("task", "target", "median", "quartiles", "", "commit ms", "grown MiB", "", "raw", "Arrow", "Parquet")


def _row(c: Cost) -> str:
    return _ROW.format(
        c.speed.task,
        "" if c.speed.target is None else f"{c.speed.target:.2f}",
        f"{c.speed.ratio:.3f}",
        "{:.3f} … {:.3f}".format(*c.speed.quartiles),
        c.speed.verdict,
        f"{c.commit_ms:.2f}",
        f"{c.grown_mib:.1f}/{c.recorded_mib:,.0f}",
        c.memory_verdict,
        f"{c.raw:,.0f}",
        f"{c.arrow:,.0f}",
        f"{c.parquet:,.0f}",
    ).rstrip()


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="What it costs to record every transition.")
    parser.add_argument("--quick", action="store_true", help="fewer blocks")
    parser.add_argument("--task", action="append", metavar="ID", help=f"instead of {' and '.join(TARGETS)}")
    parser.add_argument("--json", action="store_true", help="one document on stdout, nothing else")
    options = parser.parse_args(arguments)
    plan = QUICK if options.quick else Plan()
    costs = measure(options.task or list(TARGETS), plan)
    if options.json:
        found = [{**asdict(c), "memory_verdict": c.memory_verdict, "verdict": c.speed.verdict} for c in costs]
        print(json.dumps({"context": context(), "plan": asdict(plan), "results": found}, indent=2))
        return
    print("collect and record ÷ collect; memory grown / MiB recorded meanwhile; bytes a transition\n")
    print(_ROW.format(*_HEADINGS))
    for c in costs:
        print(_row(c), flush=True)


if __name__ == "__main__":
    main()
