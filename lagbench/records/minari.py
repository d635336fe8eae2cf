"""A run's training episodes as a Minari dataset."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from lagbench.errors import RecordError, UsageError
from lagbench.records.export import Export, Progress, appearing, checked_batches
from lagbench.records.reader import Run
from lagbench.spec import RunSpec
from lagbench.tasks.mujoco import ControlTask
from lagbench.tasks.spec import load_task

try:
    import h5py  # noqa: F401 - Minari itself would ask for it only after the dataset is begun
    import minari
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage
except ImportError:
    raise UsageError("export --to minari needs an extra: pip install 'lagbench[minari]'") from None

INFOS = ("behaviour_version", "learner_version", "behaviour_log_prob")
_STEPS = ("step", "observation", "action", "reward", "terminated", "truncated", *INFOS)

Columns = dict[str, NDArray[Any]]


def write(run: Run, out: Path, progress: Progress) -> Export:
    """Write the dataset below the root ``out``. See ``export``."""
    spec = run.spec
    task = load_task(spec.task, spec.task_options)
    if not isinstance(task, ControlTask):
        raise UsageError(f"a Minari dataset is made of the episodes of a control task, which {spec.task} is not")
    rows = run.trajectories.count_rows()
    if not run.episodes.count_rows():
        raise RecordError(f"{run.path} has no training episode that ended: there is nothing to export")
    name = dataset_id(spec)
    steps: list[int] = []
    with appearing(out / name) as directory:
        storage = MinariStorage.new(
            directory.absolute() / "data",
            observation_space=task.observation_space,
            # As the policy chose them, at times beyond the task's bounds.
            action_space=Box(-np.inf, np.inf, task.action_space.shape, np.float32),
            env_spec=_env_spec(task),
            # Not "arrow" or "parquet", which take a batch of Arrow's for an episode and cut long ones short.
            data_format="hdf5",
        )
        storage.update_metadata(_metadata(run, name))
        storage.update_episodes(_episodes(run, progress, rows, steps))
        storage.update_episode_metadata(_episode_metadata(run, steps))
    _make_namespaces(out, name)
    notes = []
    if left := rows - sum(steps):
        notes.append(f"left out: {left:,} steps of episodes that had not ended")
    if task.options:
        notes.append("it names no Gymnasium environment: the run changed options of its task")
    return Export(out / name, {"episodes": len(steps), "steps": sum(steps)}, name, tuple(notes))


def dataset_id(spec: RunSpec) -> str:
    """``lagbench/<task>/<algorithm>-lag<L>-u<U>-seed<S>-v0``."""
    task, algorithm = (re.sub(r"\W+", "-", name) for name in (spec.task, spec.algorithm.name.rpartition(":")[2]))
    return f"lagbench/{task}/{algorithm}-lag{spec.protocol.lag}-u{spec.protocol.updates}-seed{spec.seed}-v0"


def _env_spec(task: ControlTask) -> Any:
    """Gymnasium's own environment of that id, if it is the task: EnvPool's options have other names."""
    return None if task.options else gymnasium.registry.get(task.task_id)


def _metadata(run: Run, name: str) -> dict[str, Any]:
    spec = run.spec
    return {
        "dataset_id": name,
        "minari_version": minari.__version__,
        "algorithm_name": spec.algorithm.name,
        "description": (
            f"Training episodes of {spec.algorithm.name} on {spec.task} at max staleness {spec.protocol.lag} "
            f"({spec.protocol.lag_mode}) and {spec.protocol.updates} updates a phase, recorded by lagbench. Actions are "
            "those that the policy chose, to be clipped to the environment's bounds. The infos have one entry an action."
        ),
        "lagbench": {"version": version("lagbench"), "status": run.status, "spec": spec.to_json()},
    }


def _episodes(run: Run, progress: Progress, total: int, steps: list[int]) -> Iterator[Any]:
    """The episodes that ended, in the order of their ends; ``steps`` gets the length of each."""
    under_way: dict[int, list[Columns]] = {}
    done = 0
    for batch in checked_batches(run, "trajectories"):
        columns = {name: _numpy(batch.column(name)) for name in _STEPS}
        final = batch.column("final_observation")
        ends = np.flatnonzero(final.is_valid())
        observations = final.drop_null().flatten().to_numpy().reshape(len(ends), -1)
        rows = _rows_by_actor(batch.column("actor").to_numpy())
        actors = batch.column("actor").to_numpy()[ends].tolist()
        for end, actor, observation in zip(ends, actors, observations, strict=True):
            own = rows[actor]
            cut = int(np.searchsorted(own, end)) + 1
            parts = [*under_way.pop(actor, []), _take(columns, own[:cut])]
            rows[actor] = own[cut:]
            episode = {name: np.concatenate([part[name] for part in parts]) for name in _STEPS}
            steps.append(len(episode["step"]))
            yield _buffer(run, episode, observation)
        for actor, own in rows.items():
            if len(own):
                under_way.setdefault(actor, []).append(_take(columns, own))
        done += batch.num_rows
        progress(done, total)


def _numpy(column: Any) -> NDArray[Any]:
    values: NDArray[Any]
    if column.type.num_fields:
        values = column.flatten().to_numpy().reshape(len(column), -1)
    else:
        values = column.to_numpy(zero_copy_only=False)
    return values


def _rows_by_actor(actor: NDArray[np.int32]) -> dict[int, NDArray[np.int64]]:
    order = np.argsort(actor, kind="stable")
    names, first = np.unique(actor[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, first[1:]), strict=True))


def _take(columns: Columns, rows: NDArray[np.int64]) -> Columns:
    """A copy, so that the batch need not stay."""
    return {name: values[rows] for name, values in columns.items()}


def _buffer(run: Run, episode: Columns, final_observation: NDArray[np.float64]) -> Any:
    if not np.array_equal(episode["step"], np.arange(len(episode["step"]))):
        raise RecordError(
            f"the trajectories of {run.path} have an episode with steps missing; restore them from a copy of the run"
        )
    return EpisodeBuffer(
        observations=np.concatenate([episode["observation"], final_observation[None]]),
        actions=episode["action"],
        rewards=episode["reward"],
        terminations=episode["terminated"],
        truncations=episode["truncated"],
        infos={name: episode[name] for name in INFOS},
    )


def _episode_metadata(run: Run, steps: list[int]) -> Iterator[dict[str, Any]]:
    """The episodes table beside the steps. Not ``seed``, with which Minari names a seed of Gymnasium's."""
    rows = (row for batch in checked_batches(run, "episodes") for row in batch.to_pylist())
    for row, length in zip_longest(rows, steps):
        if not row or row["length"] != length:
            raise RecordError(
                f"the episodes and trajectories of {run.path} differ; restore them from a copy of the run"
            )
        yield {"actor_seed": row["seed"], **{name: row[name] for name in ("episode_id", "actor", "reset", "phase")}}


def _make_namespaces(root: Path, name: str) -> None:
    """The files without which Minari lists no namespace."""
    for directory in list((root / name).relative_to(root).parents)[:-1]:
        file = root / directory / "namespace_metadata.json"
        if not file.exists():
            file.write_text("{}\n", encoding="utf-8")
