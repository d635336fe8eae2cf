"""Boards without submissions on disk: the published runs of mujoco-mini-v0 under names and texts of one's choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from lagbench import load_suite
from lagbench.leaderboard import published, ratings, states, verification
from lagbench.leaderboard.agreement import Sample
from lagbench.leaderboard.board import Board, Entry, rows
from lagbench.leaderboard.former import Named, Statement, Submission
from lagbench.leaderboard.traces import COLUMNS, Trace
from lagbench.leaderboard.validate import Validation
from lagbench.leaderboard.verification import REEVALUATION, Check, Reevaluation, Verification

SUITE = "mujoco-mini-v0"
NONCE = "5e" * 32


@dataclass(frozen=True)
class Fake:
    """A submission to be: of which published algorithm its runs are, its texts, and how far it is checked."""

    algorithm: str
    slug: str = ""
    name: str = ""
    authors: tuple[str, ...] = ("Ada Lovelace",)
    url: str = "https://example.org/method"
    license: str = "MIT"
    tuning: str = "Four configurations on one task."
    discarded: str = "None."
    source: str = "class Method:\n    pass\n"
    config: Mapping[str, Any] = field(default_factory=lambda: {"learning_rate": 0.001, "clip": 0.2, "updates": None})
    lagbench: str = "0.1.0"
    fresh: bool = True
    shift: float = 0.0
    """What fresh returns have more than claimed ones."""
    spread: float = 10.0


def board(
    fakes: Sequence[Fake], root: Path, *, replications: int = 100, table: Any = None, suite: str = SUITE
) -> Board:
    """The board of some submissions, whose files are made below ``root``."""
    table = published.load(load_suite(suite)) if table is None else table
    found = [_made(fake, root, table, suite) for fake in fakes]
    rated = ratings.rate(
        [(s.slug, v.table, r.finals if r and r.reevaluated else None) for s, v, r in found], replications=replications
    )
    entries = [
        Entry(
            submission=submission,
            validation=validation,
            verification=report,
            state=_state(validation, report),
            line=rated.line(submission.slug),
            submitted=rated.submitted[submission.slug],
            rows=rows(validation.table, report, rated.results.axis),
            traces=_traces(suite),
            files={f"{submission.slug}/{file.name}": file for file in sorted(submission.path.iterdir())},
        )
        for submission, validation, report in found
    ]
    entries.sort(key=lambda entry: (entry.line.rank or 99, entry.slug))
    return Board(load_suite(suite), rated.results, tuple(entries))


def _made(fake: Fake, root: Path, table: Any, suite: str) -> tuple[Submission, Validation, Verification | None]:
    slug = fake.slug or fake.algorithm
    path = root / suite / slug
    path.mkdir(parents=True)
    (path / "submission.json").write_text("{}\n")
    (path / "algorithm.txt").write_text(fake.source, encoding="utf-8")
    mine: Any = table.filter(pc.equal(table["algorithm"], fake.algorithm))
    names = [f"runs/{row['task']}/lag{row['lag']}-u{row['updates']}-seed{row['seed']}" for row in mine.to_pylist()]
    submission = Submission(
        path=path,
        sha256="0123456789abcdef" * 4,
        suite=Named(suite, load_suite(suite).sha256),
        name=fake.name or fake.algorithm.upper(),
        algorithm=Named(fake.algorithm, "fedcba9876543210" * 4),
        authors=fake.authors,
        url=fake.url,
        license=fake.license,
        statement=Statement(fake.tuning, fake.discarded),
        config=fake.config,
        lagbench=fake.lagbench,
        files={},
    )
    validation = Validation(path, submission, (), frozenset(), published.replace(mine, "path", names))
    return submission, validation, _verified(fake, submission, validation) if fake.fresh else None


def _verified(fake: Fake, submission: Submission, validation: Validation) -> Verification:
    assert validation.table is not None
    completed = [row for row in validation.table.to_pylist() if row["status"] == "completed"]
    return Verification(
        submission=submission.sha256,
        nonce=NONCE,
        episodes=2,
        sample=None,
        exact=True,
        checks=tuple(
            Check(row["path"], name, "ok", "10 of 10 episodes")
            for row in completed
            for name in ("rewards", verification.POLICY, REEVALUATION)
        ),
        reevaluated=tuple(
            Reevaluation(
                run=row["path"],
                task=row["task"],
                lag=row["lag"],
                updates=row["updates"],
                seed=row["seed"],
                claimed=Sample(row["final"], fake.spread, 10),
                seeds=(1, 2),
                returns=tuple(row["final"] + fake.shift + sign * fake.spread / 2**0.5 for sign in (-1, 1)),
            )
            for row in completed
        ),
        tolerance={},
        environment={},
    )


def _state(validation: Validation, report: Verification | None) -> states.State:
    found = states.state(validation, report)
    assert found is not None
    return found


def _traces(suite: str) -> tuple[Trace, ...]:
    grid = load_suite(suite)
    return tuple(
        Trace(task, value, name, (0.25, 0.75), (0.1 + i / 10, 0.2))
        for task in grid.tasks
        for value in grid.values
        for i, name in enumerate((*COLUMNS, "clipped_fraction"))
    )
