"""Episodes as objects: those of the tables, whole and in order, whatever the batches are."""

from __future__ import annotations

import dataclasses
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lagbench.errors import RecordError
from lagbench.records.episodes import TrainingEpisode, training_episodes
from lagbench.records.reader import open_run
from lagbench.seeding import Stream, environment_seeds
from tests.records.build import make_spec as make_empty_spec
from tests.records.build import write_finished
from tests.records.conftest import make_spec

PER_STEP = (
    "step",
    "phase",
    "observation",
    "action",
    "reward",
    "behaviour_version",
    "learner_version",
    "behaviour_log_prob",
)


def by_id(path: Path) -> dict[int, list[dict[str, Any]]]:
    rows: dict[int, list[dict[str, Any]]] = {}
    for row in open_run(path).trajectories.to_table().to_pylist():
        rows.setdefault(row["episode_id"], []).append(row)
    return rows


def check(episode: TrainingEpisode, rows: list[dict[str, Any]]) -> None:
    for name in PER_STEP:
        assert getattr(episode, name).tolist() == [row[name] for row in rows], name
    assert (episode.terminated, episode.truncated) == (rows[-1]["terminated"], rows[-1]["truncated"])
    final = episode.final_observation
    assert (None if final is None else final.tolist()) == rows[-1]["final_observation"]
    assert episode.length == len(rows)


@pytest.mark.parametrize("kind", ["finished", "unfinished"])
def test_training_episodes(kind: str, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(kind)
    run, rows = open_run(path), by_id(path)
    episodes = list(run.training_episodes())
    assert len(episodes) == len(rows)
    summaries = run.episodes.to_table().to_pylist()
    ended, open_ones = episodes[: len(summaries)], episodes[len(summaries) :]
    seeds = environment_seeds(0, Stream.ENVIRONMENT, 8).tolist()
    for episode in episodes:
        check(episode, rows.pop(episode.episode_id))
        assert episode.seed == seeds[episode.actor]
        assert episode.episode_id == episode.actor + 8 * episode.reset
    for episode, summary in zip(ended, summaries, strict=True):
        assert episode.ended
        assert {n: getattr(episode, n) for n in ("episode_id", "actor", "seed", "reset", "length", "terminated")} == {
            n: summary[n] for n in ("episode_id", "actor", "seed", "reset", "length", "terminated")
        }
        assert episode.episode_return == summary["return"]
    assert not any(e.ended for e in open_ones)
    assert [e.actor for e in open_ones] == sorted(e.actor for e in open_ones)
    assert any(len(set(e.phase.tolist())) > 1 for e in episodes), "none goes over two phases"


@pytest.mark.parametrize("rows", [1, 7, 64, 10_000])
def test_batches_do_not_matter(rows: int, finished: Path) -> None:
    run = open_run(finished)
    table = run.trajectories.to_table()
    cut = training_episodes(table.to_batches(max_chunksize=rows), run.spec, finished)
    for a, b in zip(cut, run.training_episodes(), strict=True):
        assert a.episode_id == b.episode_id
        assert all(np.array_equal(getattr(a, name), getattr(b, name)) for name in PER_STEP)


def test_memory_is_that_of_a_batch_and_the_open_episodes(finished: Path) -> None:
    run = open_run(finished)
    (batch,) = run.read("trajectories")
    held = []

    def measured() -> Any:
        for _ in range(40):
            held.append(tracemalloc.get_traced_memory()[0])
            yield batch

    tracemalloc.start()
    try:
        for _ in training_episodes(measured(), run.spec, finished):
            pass
    finally:
        tracemalloc.stop()
    assert held[-1] - held[5] < 20_000


def test_evaluation_episodes(finished: Path) -> None:
    run = open_run(finished)
    for episode, row in zip(run.evaluation_episodes(), run.evaluations.to_table().to_pylist(), strict=True):
        for field in dataclasses.fields(episode):
            value = getattr(episode, field.name)
            name = "return" if field.name == "episode_return" else field.name
            if isinstance(value, tuple):
                assert list(value) == row[name]
            else:
                assert (value.tolist() if isinstance(value, np.ndarray) else value) == row[name], name
        assert episode.action.dtype == episode.reward.dtype == np.float32
        assert episode.observation is not None
        assert episode.observation.shape == (episode.length, 11)


def test_summaries_only(tmp_path: Path) -> None:
    write_finished(tmp_path / "run", make_empty_spec("episodes"))
    run = open_run(tmp_path / "run")
    assert all(episode.observation is None for episode in run.evaluation_episodes())
    with pytest.raises(RecordError, match="was run with --record episodes"):
        run.training_episodes()


def test_no_rows() -> None:
    spec = make_spec()
    assert list(training_episodes([], spec, Path())) == []
    schema = pa.schema([("actor", pa.int32())])
    assert list(training_episodes([], spec, Path())) == list(
        training_episodes(iter(pa.Table.from_batches([], schema).to_batches()), spec, Path())
    )
