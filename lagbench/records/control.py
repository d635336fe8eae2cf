"""The tables of control runs: one row per transition, and episodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from lagbench.records import episodes
from lagbench.records.episodes import EvaluationEpisode, TrainingEpisode
from lagbench.records.findings import Difference
from lagbench.records.kind import EVALUATION_COLUMNS, PHASE_COLUMNS, Columns, RecordKind
from lagbench.spec import RunSpec


class ControlRecords(RecordKind):
    """See ``RecordKind``; ``sizes`` are ``observation_size`` and ``action_size``, 0 for discrete actions."""

    def columns(self, **sizes: int) -> Columns:
        """See ``RecordKind.columns``."""
        return _columns(**sizes)

    def step_columns(self, table: str) -> Sequence[str] | None:
        """See ``RecordKind.step_columns``."""
        return {"trajectories": None, "evaluations": ("action", "reward", "observation")}.get(table, ())

    def wrong_start(self, episode: EvaluationEpisode, task: Any) -> Iterator[Difference]:
        """See ``RecordKind.wrong_start``: the start depends on the seed only."""
        return iter(())

    def evaluation_episodes(self, batches: Iterable[Any]) -> Iterator[EvaluationEpisode]:
        """See ``RecordKind.evaluation_episodes``."""
        return episodes.evaluation_episodes(batches)

    def training_episodes(self, batches: Iterable[Any], spec: RunSpec, directory: Path) -> Iterator[TrainingEpisode]:
        """See ``RecordKind.training_episodes``; memory holds one batch and the open episodes."""
        return episodes.training_episodes(batches, spec, directory)


def _columns(observation_size: int, action_size: int) -> Columns:
    observation = pa.list_(pa.float64(), observation_size)
    action = pa.list_(pa.float32(), action_size) if action_size else pa.int32()
    return {
        "trajectories": [
            ("episode_id", pa.int64()),
            ("step", pa.int32()),
            ("actor", pa.int32()),
            ("phase", pa.int32()),
            ("observation", observation),
            ("action", action),
            ("reward", pa.float32()),
            ("terminated", pa.bool_()),
            ("truncated", pa.bool_()),
            ("behaviour_version", pa.int32()),
            ("learner_version", pa.int32()),
            ("behaviour_log_prob", pa.float32()),
            # Variable size: a fixed-size list stores its full size for every null.
            ("final_observation", pa.list_(pa.float64())),
        ],
        "episodes": [
            ("episode_id", pa.int64()),
            ("actor", pa.int32()),
            ("seed", pa.int64()),
            ("reset", pa.int32()),
            ("phase", pa.int32()),
            ("return", pa.float64()),
            ("length", pa.int32()),
            ("terminated", pa.bool_()),
            ("truncated", pa.bool_()),
        ],
        "evaluations": [
            *EVALUATION_COLUMNS,
            ("action", pa.list_(action)),
            ("reward", pa.list_(pa.float32())),
            ("observation", pa.list_(observation)),
        ],
        "phases": list(PHASE_COLUMNS),
    }
