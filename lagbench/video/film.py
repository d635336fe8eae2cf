"""A recorded evaluation episode as a film."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import envpool
import gymnasium
import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from lagbench.errors import LagbenchError, RecordError, UsageError
from lagbench.records.files import explained
from lagbench.records.reader import Run
from lagbench.tasks.mujoco import ControlTask
from lagbench.tasks.spec import load_task
from lagbench.video.bodies import BODIES
from lagbench.video.process import NO_OPENGL, Job

Progress = Callable[[int, int], None]
"""Told how many steps of how many are drawn."""

# Width, height, frames a second at most. Players show 50 frames a second well, browsers a GIF's 25.
_KINDS = {".mp4": (640, 480, 50.0), ".gif": (320, 240, 25.0)}
_PACKAGES = ("imageio_ffmpeg", "PIL")
_BACKENDS = {"egl": "libegl1", "osmesa": "libosmesa6"}
"""Of MuJoCo's on Linux, in the order in which they are tried, and the Debian package that each needs."""


def film(
    run: Run,
    out: Path,
    episode: int = 0,
    evaluation: int | None = None,
    progress: Progress = lambda done, total: None,
) -> Path:
    """Draw an evaluation episode of the policy's mode, off screen, in real time, into a new .mp4 or .gif file.

    It is drawn from the recorded observations; a run with ``--record episodes`` has none, and its recorded actions are
    stepped again for them.

    Args:
        run: the run.
        out: the file; its directory is made where it is missing.
        episode: which of the evaluation's episodes, from 0.
        evaluation: which evaluation, from 0; the last one by default.
        progress: told how far it is.

    Raises:
        UsageError: there is no such episode, the file is there already or of another kind, the task is none of
            Gymnasium's MuJoCo tasks, or the extra is missing.
        RecordError: the actions, stepped again, earn other rewards than were recorded.
        LagbenchError: there is no OpenGL here, with the package that brings it; or drawing failed.
    """
    if out.suffix not in _KINDS:
        raise UsageError(f"a video is a file {' or '.join(_KINDS)}, not {out.name!r}")
    if out.exists():
        raise UsageError(f"{out} is there already; delete it, or give another file with --out")
    if not all(importlib.util.find_spec(package) for package in _PACKAGES):
        raise UsageError("videos need an extra: pip install 'lagbench[video]'")
    task = load_task(run.spec.task, run.spec.task_options)
    row = _row(run, episode, evaluation)
    body = task.envpool_id.rpartition("-")[0] if isinstance(task, ControlTask) else ""
    if not isinstance(task, ControlTask) or body not in BODIES:
        raise UsageError(f"there is no video of {run.spec.task}: only of Gymnasium's MuJoCo tasks, such as Hopper-v5")
    with tempfile.TemporaryDirectory() as scratch, explained(out, "try again"):
        directory = Path(scratch)
        width, height, most_fps = _KINDS[out.suffix]
        config = envpool.make_spec(task.envpool_id, **task.options).config
        job = Job(
            out=str(directory / out.name),
            # EnvPool simulates these models; where an option names a file of the user's own, that one.
            model=str(Path(gymnasium.__file__).parent / "envs/mujoco/assets" / config.xml_file),
            body=body,
            whole=not getattr(config, "exclude_current_positions_from_observation", True),
            frame_skip=config.frame_skip,
            caption=f"{task.task_id} · {run.spec.algorithm.name.rpartition(':')[2]} · lag {run.spec.protocol.lag}",
            width=width,
            height=height,
            most_fps=most_fps,
        )
        (directory / "job.json").write_text(json.dumps(dataclasses.asdict(job)), encoding="utf-8")
        action, reward = _array(row["action"]), _array(row["reward"])
        observation = _array(row["observation"]) if row["observation"].is_valid else _replayed(run, task, row)
        low, high = task.action_space.low, task.action_space.high
        np.savez(directory / "episode.npz", observation=observation, action=np.clip(action, low, high), reward=reward)
        _draw(directory, len(reward), progress)
        out.parent.mkdir(parents=True, exist_ok=True)
        _move(Path(job.out), out)
    return out
