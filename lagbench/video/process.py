"""Render an episode in a separate process, since OpenGL may crash: ``python -m lagbench.video.process DIRECTORY``.

The directory contains job.json, the fields of ``Job``, and episode.npz: observation [T, obs], clipped action [T, A] and
reward [T]. The number of every drawn step is printed to stdout. Without OpenGL, exits with NO_OPENGL and the reason on
stderr.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lagbench.video.bodies import BODIES

if TYPE_CHECKING:
    from lagbench.video.motion import Motion

NO_OPENGL = 69


@dataclass(frozen=True)
class Job:
    """What to render.

    Attributes:
        out: the file to write, .mp4 or .gif.
        model: MuJoCo's model file.
        body: a key of BODIES.
        whole: whether observations include the positions that they omit by default.
        frame_skip: MuJoCo steps per environment step.
        caption: the first line of the caption.
        width: width of the picture, in pixels.
        height: height of the picture, in pixels.
        most_fps: maximum frames per second; if the environment makes more steps, every n-th is shown.
    """

    out: str
    model: str
    body: str
    whole: bool
    frame_skip: int
    caption: str
    width: int
    height: int
    most_fps: float


def main(directory: Path) -> int:
    """Render the job in a directory; returns the exit code."""
    job = Job(**json.loads((directory / "job.json").read_text(encoding="utf-8")))
    with np.load(directory / "episode.npz") as arrays:
        observation, action, reward = (arrays[name] for name in ("observation", "action", "reward"))
    try:
        import mujoco
    except Exception as error:  # MuJoCo's OpenGL backends fail in different ways
        return _no_opengl(error)
    from lagbench.video.motion import Motion

    motion = Motion(mujoco.MjModel.from_xml_path(job.model), BODIES[job.body], job.whole, job.frame_skip)
    try:
        artist = _Artist(job, motion, mujoco)
    except Exception as error:
        return _no_opengl(error)
    dt = float(motion.model.opt.timestep) * job.frame_skip
    every = max(1, math.ceil(1 / dt / job.most_fps - 1e-6))
    total = np.concatenate([[0.0], np.cumsum(reward, dtype=np.float64)])
    shown = {*range(0, len(total), every), len(reward)}

    def pictures() -> Iterator[Any]:
        for t in motion.steps(observation, action):
            if t in shown:
                print(t, flush=True)
                yield _captioned(artist.picture(), f"{job.caption}\nstep {t} · return {total[t]:.1f}")

    write = _write_gif if job.out.endswith(".gif") else _write_mp4
    write(job, pictures(), len(shown), 1 / (dt * every))
    artist.close()
    return 0


def _no_opengl(error: Exception) -> int:
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    return NO_OPENGL


class _Artist:
    """MuJoCo's renderer with a camera that follows the body."""

    def __init__(self, job: Job, motion: Motion, mujoco: Any) -> None:
        self._body, self._data = BODIES[job.body], motion.data
        visual = motion.model.vis
        visual.global_.offwidth = max(job.width, visual.global_.offwidth)
        visual.global_.offheight = max(job.height, visual.global_.offheight)
        if not self._body.travels:
            # Models without a light are dark.
            visual.headlight.ambient[:] = 0.4
        self._camera = mujoco.MjvCamera()
        for name in ("distance", "elevation", "azimuth"):
            setattr(self._camera, name, getattr(self._body.camera, name))
        self._renderer = mujoco.Renderer(motion.model, height=job.height, width=job.width)
        # They take a CPU three times as long, and shadows flicker on these floors.
        self._without = (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION)
        mujoco.mj_forward(motion.model, motion.data)
        self.picture()

    def picture(self) -> NDArray[np.uint8]:
        """The camera's picture, [height, width, 3]."""
        travels = self._body.travels
        self._camera.lookat[:] = self._body.camera.lookat
        self._camera.lookat[:travels] += self._data.qpos[:travels]
        self._renderer.update_scene(self._data, camera=self._camera)
        for flag in self._without:
            self._renderer.scene.flags[flag] = False
        seen: NDArray[np.uint8] = self._renderer.render()
        return seen

    def close(self) -> None:
        """Release OpenGL before the interpreter shuts down."""
        self._renderer.close()


def _captioned(frame: NDArray[np.uint8], text: str) -> Any:
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.fromarray(frame)
    size = picture.height // 24
    ImageDraw.Draw(picture).text(
        (size // 2, size // 2),
        text,
        font=ImageFont.load_default(size),
        fill="white",
        stroke_width=max(1, size // 10),
        stroke_fill="black",
    )
    return picture


def _write_mp4(job: Job, pictures: Iterator[Any], count: int, fps: float) -> None:
    import imageio_ffmpeg

    film = imageio_ffmpeg.write_frames(job.out, (job.width, job.height), fps=fps, codec="libx264", quality=7)
    film.send(None)
    for picture in pictures:
        film.send(picture.tobytes())
    film.close()


def _write_gif(job: Job, pictures: Iterator[Any], count: int, fps: float) -> None:
    # The format counts in hundredths of a second: rounded so that the sum is right.
    ends = np.round(np.arange(count + 1) * 100 / fps)
    duration = (np.diff(ends) * 10).astype(int).tolist()
    next(pictures).save(job.out, save_all=True, append_images=pictures, duration=duration, loop=0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
