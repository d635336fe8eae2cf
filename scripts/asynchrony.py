"""Whether simulated lag predicts real lag: the runs and the analysis planned in docs/asynchrony.md.

    python -m scripts.asynchrony -o runs/asynchrony-v1

For each algorithm, task, queue and seed: an asynchronous run, and four synchronous runs with lag derived from it: its
trace, a queue with its rates, and uniform and fixed lag with its mean. Runs are sequential, so that none slows another.
Finished runs are kept in results/asynchrony-v1.arrow, one row each; when started again, it runs the missing ones and
resumes interrupted ones. Then it prints the analysis.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
from scipy import stats

import lagbench
from lagbench.lag import traces
from lagbench.lag.histogram import Histogram
from lagbench.records.files import replacing
from lagbench.sinks import description
from lagbench.sweep.cells import go_on
from scripts.results import RESULTS

REAL, SIMULATED = "asynchronous", ("trace", "queue", "uniform", "fixed")
REFERENCE = "reference"
"""Synchronous PPO at lag 0, which scores 1."""
ALGORITHMS = ("ppo", "vaco", "impala", "decoupled-ppo")
TASKS = ("Hopper-v5", "HalfCheetah-v5")
QUEUES = (1, 7, 31)
SEEDS = tuple(range(5))
OPTIONS: Mapping[str, Any] = {
    "budget": 300_000,
    "actors": 64,
    "phase_steps": 32,
    "minibatch": 256,
    "eval_episodes": 20,
    "eval_mode_episodes": 1,
    "eval_intervals": 1,
    "record": "episodes",
}
MARGIN, LEVEL = 0.1, 0.05
CLOSE = 0.05
"""Largest accepted Kolmogorov distance of the queue's lags."""
WIDE = 0.2
REPLICATIONS = 10_000

SCHEMA = pa.schema(
    [
        ("arm", pa.string()),
        ("algorithm", pa.string()),
        ("task", pa.string()),
        ("queue", pa.int32()),
        ("seed", pa.int32()),
        ("status", pa.string()),
        ("start", pa.float64()),
        ("final", pa.float64()),
        ("lags", pa.list_(pa.int64())),
        ("seconds_learner", pa.float64()),
        ("seconds_segment", pa.float64()),
        ("content_hash", pa.string()),
        ("spec", pa.string()),
        ("environment", pa.string()),
    ]
)
Row = Mapping[str, Any]


@dataclass(frozen=True, order=True)
class Cell:
    """The settings shared by the runs of all arms; ``queue`` 0: the reference, without a queue."""

    task: str
    algorithm: str
    queue: int
    seed: int

    def path(self, out: Path, arm: str) -> Path:
        """The directory of a run."""
        return out / arm / self.task / self.algorithm / f"queue{self.queue}-seed{self.seed}"


def cells() -> Iterator[Cell]:
    """All cells, seed by seed, so that an interrupted study has complete seeds."""
    for seed in SEEDS:
        for task in TASKS:
            yield Cell(task, "ppo", 0, seed)
            yield from (Cell(task, *at, seed) for at in itertools.product(ALGORITHMS, QUEUES))


def arms(cell: Cell) -> tuple[str, ...]:
    """The arms of a cell; each depends only on earlier ones."""
    return (REAL, *SIMULATED) if cell.queue else (REFERENCE,)


def simulated(arm: str, real: Row) -> dict[str, Any]:
    """The lag options of an arm for ``lagbench.resolve``, derived from the row of the asynchronous run."""
    mean = Histogram(tuple(real["lags"])).mean
    if arm == "queue":
        engine = json.loads(real["spec"])["protocol"]["lag_options"]
        rates = {"learner": real["seconds_learner"] / real["seconds_segment"], "times": "constant"}
        held = {"batch": engine["actor_processes"], "capacity": float(engine["queue"]), "take": "each"}
        return {"lag_mode": "queue", "lag_options": {**held, **rates}}
    return {"lag_mode": arm, "lag": round(2 * mean) if arm == "uniform" else round(mean)}


def traced(run: lagbench.Run, file: Path) -> str:
    """The lag mode that replays a run's versions; if it diverged, the missing phases have no lag."""
    if run.status == "completed":
        return f"trace:{run.path}"
    protocol, phases = run.spec.protocol, run.spec.phases
    held = np.tile(np.arange(phases)[:, None], (1, protocol.actors))
    found = run.phases.to_table(columns=["versions"])["versions"].to_pylist()
    held[: len(found)] = found
    with replacing(file) as out:
        out.write(traces.to_bytes(held))
    return f"trace:{file}"


def spec(cell: Cell, arm: str, out: Path, real: Row | None, processes: int) -> lagbench.RunSpec:
    """The spec of a cell's run in an arm, given the row of its asynchronous run."""
    own: dict[str, Any] = {}
    if arm == REAL:
        own = {"execution": REAL, "queue": cell.queue, "actor_processes": processes}
    elif arm == "trace":
        path = cell.path(out, REAL)
        own = {"lag_mode": traced(lagbench.open(path), path.with_suffix(".trace.arrow"))}
    elif arm != REFERENCE:
        assert real is not None
        own = simulated(arm, real)
    return lagbench.resolve(algo=cell.algorithm, task=cell.task, seed=cell.seed, **OPTIONS, **own)


def row(cell: Cell, arm: str, run: lagbench.Run) -> Row:
    """The table's row for a finished run."""
    learner = segment = math.nan
    if run.spec.is_asynchronous:
        table = run.phases.to_table().slice(1)  # the first phase waits for the processes to start
        seconds = {name: np.array(table[name]) for name in table.column_names if name.startswith("seconds_")}
        busy = seconds["seconds_collecting"] - seconds["seconds_waiting"] + seconds["seconds_updating"]
        learner = float((busy + seconds["seconds_evaluating"]).mean())
        segment = float((seconds["seconds_acting"] + seconds["seconds_fetching"]).mean())
    curve = run.curve()
    start, last = curve[0].mean, curve[-1].mean
    return {
        "arm": arm,
        "algorithm": cell.algorithm,
        "task": cell.task,
        "queue": cell.queue,
        "seed": cell.seed,
        "status": run.status,
        "start": start,
        "final": last if run.status == "completed" else min(start, last),
        "lags": description.lags(run).counts,
        "seconds_learner": learner,
        "seconds_segment": segment,
        "content_hash": json.dumps(run.content_hash()),
        "spec": json.dumps(run.spec.to_json()),
        "environment": json.dumps(run.environment[0]),
    }


def read(file: Path) -> dict[tuple[str, Cell], Row]:
    """Read the rows of a table, by arm and cell."""
    if not file.exists():
        return {}
    with pa.OSFile(str(file)) as source:
        rows = pa.ipc.open_file(source).read_all().to_pylist()
    return {(r["arm"], Cell(r["task"], r["algorithm"], r["queue"], r["seed"])): r for r in rows}


def write(file: Path, rows: Mapping[tuple[str, Cell], Row]) -> None:
    """Write all rows atomically."""
    file.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist([*rows.values()], SCHEMA)
    with replacing(file) as out, pa.ipc.new_file(out, SCHEMA, options=pa.ipc.IpcWriteOptions(compression="zstd")) as to:
        to.write_table(table)


def run_all(out: Path, file: Path, processes: int, told: Callable[[str], None]) -> dict[tuple[str, Cell], Row]:
    """Run what is missing in the table; return all of its rows."""
    rows = read(file)
    planned = [(arm, cell) for cell in cells() for arm in arms(cell)]
    for number, (arm, cell) in enumerate(planned):
        if (arm, cell) in rows:
            continue
        told(f"{number + 1} of {len(planned)}: {arm}, {cell.algorithm} on {cell.task}, queue {cell.queue}, {cell.seed}")
        path = cell.path(out, arm)
        go_on(spec(cell, arm, out, rows.get((REAL, cell)), processes), path, threads=0, sinks=[])
        rows[arm, cell] = row(cell, arm, lagbench.open(path))
        write(file, rows)
    return rows


@dataclass(frozen=True)
class Equivalence:
    """Comparison of two arms in a cell: mean difference of scores, its 90% interval, the larger of the two p values."""

    mean: float
    low: float
    high: float
    p: float

    @property
    def verdict(self) -> str:
        """The verdict on |difference| < margin."""
        if self.p < LEVEL:
            return "predicts"
        return "misses" if self.low > MARGIN or self.high < -MARGIN else "–"


def equivalence(real: Sequence[float], other: Sequence[float]) -> Equivalence:
    """Two one-sided paired t tests (Schuirmann 1987) that the mean of other − real lies within ± the margin."""
    gaps = np.subtract(other, real)
    n, mean = len(gaps), float(gaps.mean())
    error = float(gaps.std(ddof=1)) / math.sqrt(n)
    if error == 0:
        return Equivalence(mean, mean, mean, 0.0 if abs(mean) < MARGIN else 1.0)
    spread = float(stats.t.ppf(1 - LEVEL, n - 1)) * error
    above, below = (MARGIN + mean) / error, (MARGIN - mean) / error
    p = max(float(stats.t.sf(above, n - 1)), float(stats.t.sf(below, n - 1)))
    return Equivalence(mean, mean - spread, mean + spread, p)


Scores = Mapping[str, Mapping[tuple[str, int], Mapping[str, Sequence[float]]]]
"""Arm → (task, queue) → algorithm → scores by seed."""


def scores(rows: Mapping[tuple[str, Cell], Row]) -> Scores:
    """Normalised scores (untrained policies: 0, synchronous PPO at lag 0: 1), for complete sets of seeds only."""
    found: dict[str, dict[tuple[str, int], dict[str, list[float]]]] = {}
    for task in TASKS:
        references = [rows[at] for seed in SEEDS if (at := (REFERENCE, Cell(task, "ppo", 0, seed))) in rows]
        if len(references) < len(SEEDS):
            continue
        start, end = (float(np.mean([r[name] for r in references])) for name in ("start", "final"))
        for arm, algorithm, queue in itertools.product((REAL, *SIMULATED), ALGORITHMS, QUEUES):
            own = [rows[at] for seed in SEEDS if (at := (arm, Cell(task, algorithm, queue, seed))) in rows]
            if len(own) == len(SEEDS):
                place = found.setdefault(arm, {}).setdefault((task, queue), {})
                place[algorithm] = [(r["final"] - start) / (end - start) for r in own]
    return found


def order(found: Scores, arm: str, replications: int = REPLICATIONS) -> tuple[float, float, float]:
    """Kendall's τ-b between the algorithms' mean scores under ``arm`` and in asynchrony: mean over tasks and queues.

    With a 95% bootstrap interval: the same seeds are resampled for both arms.
    """
    places = [p for p in found[REAL] if found[arm].get(p, {}).keys() == found[REAL][p].keys() == {*ALGORITHMS}]
    both = np.array([[[found[a][p][name] for name in ALGORITHMS] for p in places] for a in (REAL, arm)])

    def tau(seeds: Any) -> float:
        means = both[..., seeds].mean(-1)
        return float(np.mean([stats.kendalltau(*pair).statistic for pair in means.transpose(1, 0, 2)]))

    rng = np.random.default_rng(0)
    n = both.shape[-1]
    drawn = [tau(rng.integers(n, size=n)) for _ in range(replications)]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return tau(np.arange(n)), float(low), float(high)


def analysis(rows: Mapping[tuple[str, Cell], Row], replications: int = REPLICATIONS) -> list[str]:
    """The tables of docs/asynchrony.md, in Markdown."""
    found = scores(rows)
    lines = [_line("task", "queue", "algorithm", "lag", "asynchronous", *SIMULATED), _line(*["---"] * 9)]
    tests: dict[str, list[Equivalence]] = {arm: [] for arm in SIMULATED}
    for task, queue in sorted(found.get(REAL, {})):
        for algorithm, real in found[REAL][task, queue].items():
            lags = [Histogram(tuple(rows[REAL, Cell(task, algorithm, queue, seed)]["lags"])).mean for seed in SEEDS]
            texts = []
            for arm in SIMULATED:
                other = found.get(arm, {}).get((task, queue), {}).get(algorithm)
                if other is None:
                    texts.append("")
                    continue
                test = equivalence(real, other)
                tests[arm].append(test)
                texts.append(f"{test.mean:+.2f} [{test.low:+.2f}, {test.high:+.2f}] {test.verdict}")
            lines.append(_line(task, queue, algorithm, f"{np.mean(lags):.1f}", f"{np.mean(real):.2f}", *texts))
    head = (
        "arm",
        "predicts",
        "misses",
        "of those no wider than 0.2",
        "Kendall's τ",
        "Kolmogorov, mean",
        "largest",
        "same rows",
    )
    lines += ["", _line(*head), _line(*["---"] * len(head))]
    for arm in SIMULATED:
        if not tests[arm]:
            continue
        narrow = [test for test in tests[arm] if test.high - test.low <= WIDE]
        verdicts = [test.verdict for test in tests[arm]]
        tau, low, high = order(found, arm, replications)
        distances, same = _against_real(rows, arm)
        of = len(verdicts)
        lines.append(
            _line(
                arm,
                f"{verdicts.count('predicts')} of {of}",
                f"{verdicts.count('misses')} of {of}",
                f"{sum(test.verdict == 'predicts' for test in narrow)} of {len(narrow)}",
                f"{tau:.2f} [{low:.2f}, {high:.2f}]",
                f"{np.mean(distances):.3f}",
                f"{max(distances):.3f}" + (" (held to 0.05)" if arm == "queue" else ""),
                f"{same} of {len(distances)}",
            )
        )
    return lines


def _against_real(rows: Mapping[tuple[str, Cell], Row], arm: str) -> tuple[list[float], int]:
    """Kolmogorov distances of the lags of an arm's runs, and how many runs have exactly the rows of the real run."""
    pairs = [(rows[REAL, cell], other) for (own, cell), other in rows.items() if own == arm and (REAL, cell) in rows]
    distances = [Histogram(tuple(a["lags"])).distance(Histogram(tuple(b["lags"]))) for a, b in pairs]
    hashes = [[json.loads(r["content_hash"]) for r in pair] for pair in pairs]
    return distances, sum(a["episodes"] == b["episodes"] and a["evaluations"] == b["evaluations"] for a, b in hashes)


def _line(*texts: object) -> str:
    return f"| {' | '.join(map(str, texts))} |"


@click.command()
@click.option("-o", "--out", type=click.Path(path_type=Path), default="runs/asynchrony-v1", show_default=True)
@click.option(
    "--results", type=click.Path(path_type=Path), default=RESULTS / "asynchrony-v1.arrow", help="Of finished runs."
)
@click.option("--actor-processes", type=int, default=1, show_default=True, help="Of the asynchronous runs.")
@click.option("--analyse", is_flag=True, help="Run nothing.")
def main(out: Path, results: Path, actor_processes: int, analyse: bool) -> None:
    """Make the runs that are missing, and print the analysis."""
    told = lambda text: click.echo(text, err=True)  # noqa: E731
    rows = read(results) if analyse else run_all(out, results, actor_processes, told)
    click.echo("\n".join(analysis(rows)))


if __name__ == "__main__":
    main()
