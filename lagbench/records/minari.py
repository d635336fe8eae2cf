"""A run's training episodes as a Minari dataset."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from lagbench.errors import RecordError, UsageError
from lagbench.records.export import Export, Progress, appearing, refuse_what_is_there
from lagbench.records.reader import Run
from lagbench.spec import RunSpec
from lagbench.tasks.control import ControlTask
from lagbench.tasks.spec import load_task

try:
    import h5py  # noqa: F401 - Minari itself imports it only after the dataset is begun
    import minari
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage
except ImportError:
    raise UsageError("export --to minari needs an extra: pip install 'lagbench[minari]'") from None

# Columns, with their values in a reset's entry, which has no action.
INFOS = {"behaviour_version": -1, "learner_version": -1, "behaviour_log_prob": np.nan}


def write(run: Run, out: Path, progress: Progress) -> Export:
    """Write the dataset below the root ``out``. See ``export``."""
    spec = run.spec
    task = load_task(spec.task, spec.task_options)
    if not isinstance(task, ControlTask):
        raise UsageError(f"a Minari dataset needs episodes of a control task; {spec.task} is not")
    name, space = dataset_id(spec), task.action_space
    refuse_what_is_there(out / name)
    rows = run.trajectories.count_rows()
    run.verify()
    if not run.episodes.count_rows():
        raise RecordError(f"{run.path} has no finished training episode to export")
    ended: list[dict[str, int]] = []
    with appearing(out / name) as directory:
        storage = MinariStorage.new(
            directory.absolute() / "data",
            observation_space=task.observation_space,
            # Unclipped: actions may exceed the task's bounds.
            action_space=space if isinstance(space, Discrete) else Box(-np.inf, np.inf, space.shape, np.float32),
            env_spec=_env_spec(task),
            # Not "arrow" or "parquet", which truncate long episodes to one Arrow batch.
            data_format="hdf5",
        )
        storage.update_metadata(_metadata(run, name))
        storage.update_episodes(_episodes(run, ended, lambda done: progress(done, rows)))
        steps = storage.total_steps
        storage.update_episode_metadata(ended)
    _make_namespaces(out, name)
    notes = []
    if left := rows - steps:
        notes.append(f"left out: {left:,} steps of unfinished episodes")
    if task.options:
        notes.append("it has no Gymnasium environment, because the run changed options of its task")
    return Export(out / name, {"episodes": len(ended), "steps": steps}, name, tuple(notes))


def dataset_id(spec: RunSpec) -> str:
    """``lagbench/<task>/<algorithm>-lag<L>-u<U>-seed<S>-v0``."""
    task, algorithm = (re.sub(r"\W+", "-", name) for name in (spec.task, spec.algorithm.name.rpartition(":")[2]))
    return f"lagbench/{task}/{algorithm}-lag{spec.protocol.lag}-u{spec.protocol.updates}-seed{spec.seed}-v0"


def _env_spec(task: ControlTask) -> Any:
    """The spec of Gymnasium's environment with that id, if it is the task: EnvPool's options have other names."""
    return None if task.options else gymnasium.registry.get(task.task_id)


def _metadata(run: Run, name: str) -> dict[str, Any]:
    spec = run.spec
    return {
        "dataset_id": name,
        "minari_version": minari.__version__,
        "algorithm_name": spec.algorithm.name,
        "description": (
            f"Training episodes of {spec.algorithm.name} on {spec.task} at max staleness {spec.protocol.lag} "
            f"({spec.protocol.lag_mode}) and {spec.protocol.updates} updates per phase, recorded by lagbench. Actions "
            "are those that the policy chose, to be clipped to the environment's bounds; infos are those of a reset "
            "and then of each action."
        ),
        "lagbench": {"version": version("lagbench"), "status": run.status, "spec": spec.to_json()},
    }


def _episodes(run: Run, ended: list[dict[str, int]], told: Callable[[int], None]) -> Iterator[Any]:
    """The finished episodes; each one's metadata for Minari is appended to ``ended``."""
    done = 0
    for episode in run.training_episodes():
        done += episode.length
        told(done)
        if not episode.ended:
            continue
        # Not ``seed``: Minari would seed the environment that it recovers with it.
        names = {"episode_id": episode.episode_id, "actor": episode.actor, "actor_seed": episode.seed}
        ended.append({**names, "reset": episode.reset, "phase": int(episode.phase[-1])})
        last = np.zeros((2, episode.length), np.bool_)
        last[:, -1] = episode.terminated, episode.truncated
        assert episode.final_observation is not None
        yield EpisodeBuffer(
            observations=np.concatenate([episode.observation, episode.final_observation[None]]),
            actions=episode.action,
            rewards=episode.reward,
            terminations=last[0],
            truncations=last[1],
            # One more entry than steps, the first for the reset, as Minari's own collector does.
            infos={name: _after_reset(getattr(episode, name), none) for name, none in INFOS.items()},
        )


def _after_reset(values: NDArray[Any], none: float) -> NDArray[Any]:
    return np.concatenate([np.full(1, none, values.dtype), values])


def _make_namespaces(root: Path, name: str) -> None:
    """Write the files that Minari needs to list a namespace."""
    for directory in list((root / name).relative_to(root).parents)[:-1]:
        file = root / directory / "namespace_metadata.json"
        if not file.exists():
            file.write_text("{}\n", encoding="utf-8")
