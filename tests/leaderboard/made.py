"""Submissions, reruns and baselines on disk, of runs that nobody ran."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from lagbench import Source, load_suite, scoring
from lagbench.leaderboard import published, reruns, submission
from lagbench.leaderboard.submission import Algorithm, Cell, Claim, Manifest, Statement, Submission, SuiteName
from lagbench.suites import Suite
from tests.leaderboard.rows import suite_rows
from tests.scoring import synthetic

Rows = Sequence[Mapping[str, Any]]
CODE = '"""A method."""\n\n\nclass Mine(Algorithm):\n    """Mine."""\n\n    scale = 2.0  # by hand\n'
_WITH_LAG = {0: 0.0, 2: 0.02, 16: 0.1}


@functools.cache
def _heights(suite: str, height: float, sd: float, seed: int) -> Rows:
    rows = suite_rows({"x": height}, sd, load_suite(suite), seed=seed)
    return [{**row, "tv_backward": _WITH_LAG.get(row["lag"], 0.05)} for row in rows]


def runs(height: float, *, suite: str = "TESTING", sd: float = 5.0, seed: int = 0, **changes: Any) -> Rows:
    """Rows of a suite's runs around a final return; ``changes`` are those of every row."""
    return [{**row, **changes} for row in _heights(suite, height, sd, seed)]


def submit(
    root: Path,
    slug: str,
    claimed: Rows,
    *,
    suite: str = "TESTING",
    source: Mapping[str, str] | None = None,
    config: Mapping[str, Any] | None = None,
    tuning: str = "Four settings.",
    discarded: str = "None.",
    **words: Any,
) -> Submission:
    """Write a submission below ``root``/submissions."""
    files = {
        name: text.encode() for name, text in (source or {"mine.py": CODE + f"# {slug}\nname = {slug!r}\n"}).items()
    }
    made = Source(next(iter(files)), files)
    of = load_suite(suite)
    manifest = Manifest(
        format_version=2,
        results="0" * 64,
        slug=slug,
        suite=SuiteName(name=suite, sha256=of.sha256),
        algorithm=Algorithm(main=made.main, cls="Mine", sha256=made.sha256, installed=None),
        config=dict(config or {"learning_rate": 0.001, "updates": None}),
        statement=Statement(tuning=tuning, discarded=discarded),
        lagbench="0.1.0",
        **{
            "name": slug.title(),
            "authors": ("Ada Lovelace",),
            "url": "https://example.org/x",
            "license": "MIT",
            **words,
        },
    )
    path = root / "submissions" / suite / slug
    path.mkdir(parents=True)
    return submission.write(path, manifest, _claim(of, claimed), made)


def _claim(suite: Suite, rows: Rows) -> Claim:
    fields = ("task", "lag", "updates", "seed", "status", "returns", "errors", "mode_returns", "mode_errors")
    cells = msgspec.convert([{name: row[name] for name in fields} for row in rows], tuple[Cell, ...])
    plan = suite.evaluation
    return Claim(
        format_version=2,
        budget=suite.budget,
        episodes=plan.episodes,
        mode_episodes=plan.mode_episodes or 0,
        intervals=plan.intervals,
        device="cpu",
        torch_threads=1,
        packages={"lagbench": ("0.1.0",)},
        cells=cells,
    )


def train(of: Submission, rows: Rows, **record: Any) -> Path:
    """Write a rerun of a submission, on seeds of its own; the record's fields are changed by ``record``."""
    suite = load_suite(of.manifest.suite.name)
    seeds = sorted({row["seed"] for row in rows})
    own = {seed: 1_000 + 7 * seed for seed in seeds}
    config = scoring.table.canonical(of.manifest.config)
    changed = [
        {**row, "seed": own[row["seed"]], "suite": None, "suite_sha256": None, "config": config, "algorithm": "mine"}
        for row in rows
    ]
    told = reruns.Record(
        **{
            "format_version": 1,
            "submission": of.sha256,
            "beacon": reruns.Beacon(value="ab" * 32, name="drand round 1"),
            "seeds": tuple(own.values()),
            "of": len(suite.seeds),
            "sandbox": "bubblewrap",
            "lagbench": "0.1.0",
            "date": "2026-01-01",
            **record,
        }
    )
    file = reruns.file_of(of.path)
    file.parent.mkdir(parents=True, exist_ok=True)
    reruns.write(reruns.Rerun(told, synthetic.table(changed)), file)
    return file


def publish(root: Path, baselines: Mapping[str, Rows], suite: str = "TESTING") -> Path:
    """Write the table of some baselines, and give its directory, for ``published.DIRECTORY``."""
    rows = [
        {**row, "algorithm": name, "path": f"{name}/{row['path']}"} for name, own in baselines.items() for row in own
    ]
    file = root / "scores" / published.file_of(load_suite(suite).runs.name).name
    scoring.table.to_file(synthetic.table(rows), file)
    return file.parent
