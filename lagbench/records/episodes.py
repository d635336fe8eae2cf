"""Episodes assembled from the rows of a run, as objects with arrays in step order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from lagbench.errors import RecordError
from lagbench.records.findings import Difference, differs, element
from lagbench.records.kind import Evaluated
from lagbench.seeding import Stream, environment_seeds
from lagbench.spec import RunSpec


@dataclass(frozen=True, eq=False)
class TrainingEpisode:
    """A training episode of n recorded transitions; ``terminated`` and ``truncated`` are those of the last.

    (``seed``, ``reset``) identifies its start: the state of an environment seeded with ``seed`` after that many further
    resets. An episode that was open at the end of the run has neither flag and no ``final_observation``.
    """

    episode_id: int
    actor: int
    seed: int
    reset: int
    terminated: bool
    truncated: bool
    step: NDArray[np.int32]
    phase: NDArray[np.int32]
    observation: NDArray[np.float64]
    action: NDArray[Any]
    reward: NDArray[np.float32]
    behaviour_version: NDArray[np.int32]
    learner_version: NDArray[np.int32]
    behaviour_log_prob: NDArray[np.float32]
    final_observation: NDArray[np.float64] | None

    @property
    def length(self) -> int:
        """Steps."""
        return len(self.reward)

    @property
    def ended(self) -> bool:
        """Whether it ended; False if it was open at the end of the run."""
        return self.terminated or self.truncated

    @property
    def episode_return(self) -> float:
        """The undiscounted sum of the rewards, in float64, in time order."""
        return summed(self.reward)


@dataclass(frozen=True, eq=False)
class EvaluationEpisode(Evaluated):
    """An evaluation episode: a row of ``evaluations``. ``observation`` is None if it was not recorded."""

    action: NDArray[Any]
    reward: NDArray[np.float32]
    observation: NDArray[np.float64] | None


_SEEDS = 2**31
"""EnvPool's seeds are below this."""


def summed(reward: NDArray[np.float32]) -> float:
    """The sum of rewards in float64, in time order: bit for bit as in records and evaluations."""
    return float(np.add.accumulate(reward, dtype=np.float64)[-1]) if len(reward) else 0.0


def malformed(episode: EvaluationEpisode) -> Difference | None:
    """The first reason why an evaluation episode cannot be stepped, or None."""
    lengths = {len(episode.action), len(episode.reward)}
    if episode.observation is not None:
        lengths.add(len(episode.observation))
    if lengths != {episode.length} or not episode.length:
        return Difference("evaluations", episode.name, "length", episode.length, max(lengths), "summed")
    if not 0 <= episode.seed < _SEEDS:
        return Difference("evaluations", episode.name, "seed", episode.seed, f"in [0, {_SEEDS})", "replayed")
    if not (episode.terminated or episode.truncated):
        return Difference("evaluations", episode.name, "truncated", False, True, "specified")
    return None


def wrong_return(episode: EvaluationEpisode) -> Difference | None:
    """The difference of its return and the sum of its rewards, or None if they are bitwise equal."""
    recorded, total = np.asarray(episode.episode_return), np.asarray(summed(episode.reward))
    if differs(recorded, total).any():
        return element("evaluations", episode.name, "return", recorded, total, "summed")
    return None


def as_numpy(column: Any) -> NDArray[Any]:
    """A column of numbers [n] or fixed-size lists [n, size] as an array; only booleans are copied.

    Raises ValueError if it has nulls.
    """
    if column.null_count:
        raise ValueError("it has nulls where there should be none")
    values: NDArray[Any]
    if hasattr(column.type, "list_size"):
        values = column.flatten().to_numpy().reshape(-1, column.type.list_size)
    else:
        values = column.to_numpy(zero_copy_only=False)
    return values


_PER_STEP = [f.name for f in fields(TrainingEpisode) if str(f.type).startswith("NDArray") and "None" not in str(f.type)]
_ROWS = ("episode_id", "terminated", "truncated", *_PER_STEP)

Rows = Mapping[str, NDArray[Any]]


def training_episodes(batches: Iterable[Any], spec: RunSpec, directory: Path) -> Iterator[TrainingEpisode]:
    """The episodes of ``trajectories``, given as batches: finished ones ordered by end, then the others.

    Memory holds one batch and the open episodes. Raises RecordError, which names the batches' ``directory``, for actors
    that the run does not have.
    """
    seeds = environment_seeds(spec.seed, Stream.ENVIRONMENT, spec.protocol.actors).tolist()
    under_way: dict[int, list[Rows]] = {}
    for batch in batches:
        ended: list[tuple[int, TrainingEpisode]] = []
        _check_actors(batch.column("actor"), len(seeds), directory)
        for actor, numbers, rows in _by_actor(batch):
            pieces = under_way.pop(actor, [])
            for piece, last in _pieces(rows):
                if pieces and pieces[-1]["episode_id"][-1] != piece["episode_id"][0]:
                    ended.append((int(numbers[last]), _episode(pieces, actor, seeds, None)))
                    pieces = []
                pieces.append(piece)
                if _done(piece):
                    final = batch.column("final_observation")[int(numbers[last])].values
                    ended.append((int(numbers[last]), _episode(pieces, actor, seeds, final)))
                    pieces = []
            if pieces:
                # Copied, so that the batch can be freed.
                pieces[-1] = {name: values.copy() for name, values in pieces[-1].items()}
                under_way[actor] = pieces
        yield from (episode for _, episode in sorted(ended, key=lambda item: item[0]))
    for actor, pieces in sorted(under_way.items()):
        yield _episode(pieces, actor, seeds, None)


def _check_actors(column: Any, actors: int, directory: Path) -> None:
    least, most = pc.min_max(column).as_py().values() if len(column) else (0, 0)
    if not 0 <= least <= most < actors:
        raise RecordError(
            f"{directory} has rows of actor {least if least < 0 else most}, and the run has {actors} actors; restore "
            "it from a copy of the run"
        )


def _by_actor(batch: Any) -> Iterator[tuple[int, NDArray[np.int64], Rows]]:
    """Each actor of a batch with the indices of its rows, and the rows."""
    actor = as_numpy(batch.column("actor"))
    order = np.argsort(actor, kind="stable")
    columns = {name: as_numpy(batch.column(name))[order] for name in _ROWS}
    firsts = np.flatnonzero(np.diff(actor[order], prepend=-1))
    for first, last in zip(firsts, [*firsts[1:], len(order)], strict=True):
        yield int(actor[order[first]]), order[first:last], {k: v[first:last] for k, v in columns.items()}


def _pieces(rows: Rows) -> Iterator[tuple[Rows, int]]:
    """One actor's rows split at episode boundaries, each piece with the index of its last row."""
    ends = rows["terminated"] | rows["truncated"]
    ends[:-1] |= np.diff(rows["episode_id"]) != 0
    ends[-1] = True
    first = 0
    for last in np.flatnonzero(ends).tolist():
        yield {name: values[first : last + 1] for name, values in rows.items()}, last
        first = last + 1


def _done(piece: Rows) -> bool:
    return bool(piece["terminated"][-1] or piece["truncated"][-1])


def _episode(pieces: list[Rows], actor: int, seeds: list[int], final: Any) -> TrainingEpisode:
    episode_id = int(pieces[0]["episode_id"][0])
    return TrainingEpisode(
        episode_id=episode_id,
        actor=actor,
        seed=seeds[actor],
        reset=episode_id // len(seeds),
        terminated=bool(pieces[-1]["terminated"][-1]),
        truncated=bool(pieces[-1]["truncated"][-1]),
        final_observation=None if final is None else final.to_numpy(),
        **{name: np.concatenate([piece[name] for piece in pieces]) for name in _PER_STEP},
    )


_STEPS = ("action", "reward", "observation")


def evaluation_episodes(batches: Iterable[Any]) -> Iterator[EvaluationEpisode]:
    """The episodes of ``evaluations``, given as batches, in order."""
    for batch in batches:
        steps = [name for name in _STEPS if name in batch.schema.names]
        names = [name for name in batch.schema.names if name not in _STEPS]
        for i, row in enumerate(batch.select(names).to_pylist()):
            lists: dict[str, Any] = dict.fromkeys(_STEPS)
            for name in steps:
                values = batch.column(name)[i].values
                lists[name] = None if values is None else as_numpy(values)
            yield EvaluationEpisode(
                fractions=tuple(row.pop("fractions")),
                episode_return=row.pop("return"),
                **lists,
                **row,
            )
