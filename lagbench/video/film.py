"""Render a recorded evaluation episode as a video."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import envpool
import gymnasium
import numpy as np
from numpy.typing import NDArray

from lagbench.errors import LagbenchError, RecordError, UsageError
from lagbench.records.episodes import EvaluationEpisode
from lagbench.records.files import check_writable, explained, replacing
from lagbench.records.reader import Run
from lagbench.records.stepping import step_evaluations
from lagbench.tasks.mujoco import EnvPoolTask
from lagbench.tasks.spec import load_task
from lagbench.video.bodies import BODIES
from lagbench.video.process import NO_OPENGL, Job

Progress = Callable[[int, int], None]
"""Called with the number of steps drawn and in total."""

# Width, height and maximum frames per second: drawn within a minute without a graphics card.
_KINDS = {".mp4": (640, 480, 30.0), ".gif": (320, 240, 20.0)}
_PACKAGES = ("imageio_ffmpeg", "PIL")
_LINUX_BACKENDS = ("egl", "osmesa")
"""MuJoCo's rendering backends, in the order of trying."""


def film(
    run: Run,
    out: Path,
    episode: int = 0,
    evaluation: int | None = None,
    progress: Progress = lambda done, total: None,
) -> None:
    """Render an evaluation episode with the policy's mode, in real time, to a new .mp4 or .gif file.

    It is rendered from the recorded observations; for a run with ``--record episodes``, which has none, the recorded
    actions are stepped again.

    Args:
        run: the run.
        out: the file; its directory is created if missing.
        episode: which of the evaluation's episodes, from 0.
        evaluation: which evaluation, from 0; the last one by default.
        progress: called with the number of steps drawn and in total.

    Raises:
        UsageError: there is no such episode, the file exists or is of another kind, the task is not one of Gymnasium's
            MuJoCo tasks, or the extra is missing.
        RecordError: the actions, stepped again, do not reproduce the record, or the file cannot be written.
        LagbenchError: OpenGL is not available (the message names the package), or rendering failed.
    """
    if out.suffix not in _KINDS:
        raise UsageError(f"a video file must end in {' or '.join(_KINDS)}, not {out.name!r}")
    if out.exists():
        raise UsageError(f"{out} already exists; delete it, or give another file with --out")
    check_writable(out, "try again")
    if not all(importlib.util.find_spec(package) for package in _PACKAGES):
        raise UsageError("videos need an extra: pip install 'lagbench[video]'")
    task = load_task(run.spec.task, run.spec.task_options)
    body = task.envpool_id.rpartition("-")[0] if isinstance(task, EnvPoolTask) else ""
    if not isinstance(task, EnvPoolTask) or body not in BODIES:
        raise UsageError(
            f"no video of {run.spec.task}: only Gymnasium's MuJoCo tasks, such as Hopper-v5, can be rendered"
        )
    recorded = _find(run, episode, evaluation)
    arrays: dict[str, NDArray[Any]] = {
        "observation": _step_again(run, task, recorded) if recorded.observation is None else recorded.observation,
        "action": np.clip(recorded.action, task.action_space.low, task.action_space.high),
        "reward": recorded.reward,
    }
    with tempfile.TemporaryDirectory(prefix="lagbench-video-") as scratch:
        job = _job(run, task, body, Path(scratch) / out.name)
        _draw(job, arrays, Path(scratch), progress)
        with explained(out, "try again"):
            out.parent.mkdir(parents=True, exist_ok=True)
            with replacing(out) as file:
                file.write(Path(job.out).read_bytes())


def _find(run: Run, episode: int, evaluation: int | None) -> EvaluationEpisode:
    known = {(e.evaluation, e.episode): e for e in run.evaluation_episodes() if e.mode == run.spec.evaluation.measure}
    if not known:
        raise UsageError(f"{run.path} has no evaluation to render")
    last = max(known)[0]
    if evaluation is None:
        evaluation = last
    elif not 0 <= evaluation <= last:
        raise UsageError(f"{run.path} has no evaluation {evaluation}; it has 0 to {last}")
    if (evaluation, episode) not in known:
        most = max(number for index, number in known if index == evaluation)
        raise UsageError(f"evaluation {evaluation} of {run.path} has no episode {episode}; it has 0 to {most}")
    found: EvaluationEpisode = known[evaluation, episode]
    return found


def _step_again(run: Run, task: EnvPoolTask, recorded: EvaluationEpisode) -> NDArray[np.float64]:
    """The observations [T, obs] of an episode that was recorded without them."""
    stepped = step_evaluations(task, [recorded], 1, lambda steps: None, keep=[0])
    if stepped.difference:
        raise RecordError(
            f"{run.path} contains no observations, and replaying its actions does not reproduce its record "
            f"({stepped.difference}); see: lagbench replay {run.path}"
        )
    return stepped.seen[0]


def _job(run: Run, task: EnvPoolTask, body: str, out: Path) -> Job:
    width, height, most_fps = _KINDS[out.suffix]
    config = envpool.make_spec(task.envpool_id, **task.options).config
    return Job(
        out=str(out),
        # The model that EnvPool simulates: Gymnasium's, or the user's file if an option names one.
        model=str(Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / config.xml_file),
        body=body,
        whole=not getattr(config, "exclude_current_positions_from_observation", True),
        frame_skip=int(config.frame_skip),
        caption=f"{task.task_id} · {run.spec.algorithm.name.rpartition(':')[2]} · lag {run.spec.protocol.lag}",
        width=width,
        height=height,
        most_fps=most_fps,
    )


def _draw(job: Job, arrays: Mapping[str, NDArray[Any]], directory: Path, progress: Progress) -> None:
    """Render with the first of MuJoCo's backends that works here."""
    (directory / "job.json").write_text(json.dumps(dataclasses.asdict(job)), encoding="utf-8")
    np.savez(directory / "episode.npz", allow_pickle=False, **arrays)
    reasons = []
    for backend in _backends():
        code, reason = _run_process(directory, backend, lambda done: progress(done, len(arrays["reward"])))
        if code == 0:
            return
        if code > 0 and code != NO_OPENGL:
            raise LagbenchError(f"the video could not be rendered ({reason})")
        reasons.append(f"{backend or 'MuJoCo'}: {reason}")
    raise LagbenchError(
        f"OpenGL is not available; on Debian and Ubuntu: apt-get install libegl1 libgl1 ({'; '.join(reasons)})"
    )


def _backends() -> list[str]:
    if chosen := os.environ.get("MUJOCO_GL"):
        return [chosen]
    # On other systems MuJoCo uses the system's OpenGL.
    return list(_LINUX_BACKENDS) if sys.platform == "linux" else [""]


def _run_process(directory: Path, backend: str, report: Callable[[int], None]) -> tuple[int, str]:
    """Exit code and last line of stderr of the rendering process. Below 0: killed by a signal."""
    environment = os.environ | ({"MUJOCO_GL": backend} if backend else {})
    command = [sys.executable, "-m", "lagbench.video.process", str(directory)]
    with (directory / "errors.txt").open("w+", encoding="utf-8") as errors:
        # In ``directory``, since MuJoCo writes its warnings to a file in the working directory.
        with subprocess.Popen(
            command, cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=errors, encoding="utf-8"
        ) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    report(int(line))
            except BaseException:
                process.kill()
                raise
        errors.seek(0)
        lines = [line.strip() for line in errors if line.strip()]
    return process.returncode, lines[-1] if lines else f"signal {-process.returncode}"
