"""Films of recorded episodes, drawn for real: of every task, in both kinds of file; and what stands in their way."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lagbench import registry
from lagbench.errors import LagbenchError, RecordError, UsageError
from lagbench.records.episodes import EvaluationEpisode, summed
from lagbench.records.reader import Run
from lagbench.spec import RunSpec, resolve
from lagbench.tasks.mujoco import EnvPoolTask
from lagbench.tasks.spec import load_task
from lagbench.video import film as module
from lagbench.video.film import film
from lagbench.video.process import NO_OPENGL

V5 = [i for i in registry.task_ids() if registry.task_entry(i).domain == "control" and i.endswith("-v5")]


class Recorded(Run):
    """A run that holds these evaluation episodes."""

    def __init__(self, spec: RunSpec, episodes: list[EvaluationEpisode]) -> None:
        super().__init__(Path("RUN"), spec, {"status": "completed"})
        self.filmed = episodes

    def evaluation_episodes(self) -> Iterator[EvaluationEpisode]:
        return iter(self.filmed)


def record(task_id: str, steps: int = 6, observations: bool = True, **options: Any) -> Recorded:
    """A run whose two evaluations have two episodes each, of random actions; the last, two of the mean action."""
    task = load_task(task_id, options)
    assert isinstance(task, EnvPoolTask)
    spec = resolve(algo="ppo", task=task_id, task_options=MappingProxyType(options), lag=8)
    places = [
        (0, "stochastic", 0),
        (0, "stochastic", 1),
        (1, "stochastic", 0),
        (1, "stochastic", 1),
        (1, "mode", 0),
        (1, "mode", 1),
    ]
    return Recorded(spec, [_play(task, place, seed, steps, observations) for seed, place in enumerate(places)])


def _play(
    task: EnvPoolTask, place: tuple[int, str, int], seed: int, steps: int, observations: bool
) -> EvaluationEpisode:
    env = task.make([seed])
    action = np.random.default_rng(seed).standard_normal((steps, *task.action_space.shape)).astype(np.float32)
    seen, reward, done = [env.reset()[0][0]], [], False
    for a in action:
        observation, earned, terminated, truncated, _ = env.step(a[None])
        reward.append(earned[0])
        if done := bool(terminated[0] or truncated[0]):
            break
        seen.append(observation[0])
    n = len(reward)
    evaluation, mode, number = place
    return EvaluationEpisode(
        evaluation=evaluation,
        fractions=(float(evaluation),),
        version=evaluation,
        budget_used=0,
        mode=mode,
        episode=number,
        seed=seed,
        episode_return=summed(np.array(reward)),
        length=n,
        terminated=done,
        truncated=False,
        action=action[:n],
        reward=np.array(reward),
        observation=np.stack(seen[:n]) if observations else None,
    )


def frames(file: Path) -> tuple[list[NDArray[np.uint8]], float]:
    """The pictures of a GIF and its length in seconds."""
    with Image.open(file) as image:
        found, seconds = [], 0.0
        for i in range(getattr(image, "n_frames", 1)):
            image.seek(i)
            found.append(np.asarray(image.convert("RGB")))
            seconds += image.info["duration"] / 1000
    return found, seconds


@pytest.mark.parametrize("task_id", V5)
def test_every_task_is_drawn(task_id: str, tmp_path: Path) -> None:
    run = record(task_id)
    told: list[tuple[int, int]] = []
    film(run, tmp_path / "new" / "film.gif", progress=lambda done, total: told.append((done, total)))
    steps = run.filmed[2].length
    pictures, _ = frames(tmp_path / "new" / "film.gif")
    assert told[-1] == (steps, steps)
    assert len(pictures) == len(told) >= 2
    below = [picture[60:].astype(int) for picture in pictures]  # without the caption
    assert all(picture.shape == (180, 320, 3) for picture in below)
    assert all(picture.std() > 5 for picture in below)
    assert np.abs(below[0] - below[-1]).max() > 50
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["film.gif"]


def test_mp4_in_real_time(tmp_path: Path) -> None:
    """At 125 steps a second, every fifth is shown; the last always."""
    run = record("Hopper-v5", steps=11, terminate_when_unhealthy=False)
    film(run, tmp_path / "film.mp4", episode=1, evaluation=0)
    decode = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", tmp_path / "film.mp4", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run(decode, capture_output=True, check=True)
    pictures = np.frombuffer(done.stdout, np.uint8).reshape(-1, 480, 640, 3)
    (stream,) = [line for line in done.stderr.decode().splitlines() if "Video: h264" in line]
    assert "yuv420p" in stream
    assert " 25 fps," in stream
    assert len(pictures) == 4  # steps 0, 5, 10, 11
    assert all(picture.std() > 5 for picture in pictures)


def test_gif_in_real_time(tmp_path: Path) -> None:
    run = record("Hopper-v5", steps=50, terminate_when_unhealthy=False)
    film(run, tmp_path / "film.gif")
    pictures, seconds = frames(tmp_path / "film.gif")
    assert len(pictures) == 9  # each 7th of 51
    assert seconds == pytest.approx(9 * 7 * 0.008, abs=0.01)


def test_episodes_are_told_apart(tmp_path: Path) -> None:
    run = record("Reacher-v5", steps=2)
    files = []
    for evaluation, episode in ((0, 1), (1, 0), (1, 1)):
        files.append(tmp_path / f"{evaluation}{episode}.gif")
        film(run, files[-1], episode, evaluation)
    film(run, tmp_path / "last.gif", episode=1)
    assert len({file.read_bytes() for file in files}) == 3
    assert (tmp_path / "last.gif").read_bytes() == files[-1].read_bytes()


def test_an_episode_without_observations_is_stepped_again(tmp_path: Path) -> None:
    film(record("HalfCheetah-v5", steps=4), tmp_path / "with.gif")
    bare = record("HalfCheetah-v5", steps=4, observations=False)
    # An end, for only whole episodes are recorded.
    bare.filmed = [EvaluationEpisode(**{**vars(e), "truncated": True}) for e in bare.filmed]
    bare.spec = resolve(algo="ppo", lag=8, task="HalfCheetah-v5", task_options={"max_episode_steps": 4})
    film(bare, tmp_path / "without.gif")
    assert (tmp_path / "with.gif").read_bytes() == (tmp_path / "without.gif").read_bytes()
    bare.filmed[2].action[1] *= -1
    with pytest.raises(
        RecordError, match=r"RUN contains no observations, and replaying its actions .* step 1: reward is"
    ):
        film(bare, tmp_path / "altered.gif")


def test_without_opengl_the_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "nonsense")
    with pytest.raises(LagbenchError) as error:
        film(record("Hopper-v5"), tmp_path / "film.mp4")
    assert str(error.value).startswith(
        "OpenGL is not available; on Debian and Ubuntu: apt-get install libegl1 libgl1 (nonsense: "
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ends", [(NO_OPENGL, "no EGL"), (-11, "signal 11")])
def test_another_opengl_is_tried(ends: tuple[int, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after one that took its process with it."""
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    tried = []

    def run_process(directory: Path, backend: str, report: Any) -> tuple[int, str]:
        tried.append(backend)
        if len(tried) == 2:
            (directory / "film.mp4").write_bytes(b"a film")
            return 0, ""
        return ends

    monkeypatch.setattr(module, "_run_process", run_process)
    film(record("Hopper-v5"), tmp_path / "film.mp4")
    assert tried == ["egl", "osmesa"]
    assert (tmp_path / "film.mp4").read_bytes() == b"a film"


def test_what_else_fails_is_said(tmp_path: Path) -> None:
    run = record("Hopper-v5")
    run.spec = resolve(algo="ppo", task_options={"xml_file": str(tmp_path / "none.xml")})
    with pytest.raises(LagbenchError, match=r"^the video could not be rendered \(.*none\.xml"):
        film(run, tmp_path / "film.mp4")
    assert not list(tmp_path.iterdir())


def test_wrong_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = record("Hopper-v5")
    with pytest.raises(UsageError, match=r"a video file must end in \.mp4 or \.gif, not 'film\.avi'"):
        film(run, tmp_path / "film.avi")
    (tmp_path / "mine.mp4").write_text("mine")
    with pytest.raises(UsageError, match=r"mine\.mp4 already exists; delete it, or give another file with --out"):
        film(run, tmp_path / "mine.mp4")
    out = tmp_path / "film.mp4"
    with pytest.raises(UsageError, match="evaluation 1 of RUN has no episode 2; it has 0 to 1"):
        film(run, out, episode=2)
    with pytest.raises(UsageError, match="RUN has no evaluation 2; it has 0 to 1"):
        film(run, out, evaluation=2)
    with pytest.raises(UsageError, match="RUN has no evaluation to render"):
        film(Recorded(run.spec, []), out)
    with pytest.raises(RecordError, match=r"^cannot write .*mine\.mp4"):
        film(run, tmp_path / "mine.mp4" / "film.gif")
    monkeypatch.setitem(
        registry._tasks, "Pendulum-v1", registry.TaskEntry("Pendulum-v1", registry.CONTROL_TASK, domain="control")
    )
    pendulum = resolve(algo="ppo", task="Pendulum-v1")
    with pytest.raises(UsageError, match="no video of Pendulum-v1: only Gymnasium's MuJoCo tasks"):
        film(Recorded(pendulum, run.filmed), out)
    monkeypatch.setattr(module, "_PACKAGES", ("no_such_package",))
    with pytest.raises(UsageError, match=r"^videos need an extra: pip install 'lagbench\[video\]'$"):
        film(run, out)
    assert not out.exists()
