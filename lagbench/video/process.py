"""Draws an episode: ``python -m lagbench.video.process JOB``, in a process of its own, which OpenGL may end at any
moment.

JOB is a directory with job.json, the fields of ``Job``, and episode.npz: observation [T, obs], action [T, A], clipped,
and reward [T]. Every frame's number is said on stdout. Exit code NO_OPENGL, and why on stderr, where nothing can be
drawn.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lagbench.video.bodies import BODIES, Body

NO_OPENGL = 69


@dataclass(frozen=True)
class Job:
    """What to draw.

    Attributes:
        out: the file to write, .mp4 or .gif.
        model: MuJoCo's file.
        body: a key of BODIES.
        whole: whether observations hold the positions that they leave out by default.
        frame_skip: MuJoCo's steps in one of the environment.
        caption: the first line of the caption.
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        most_fps: frames a second at most; where the environment makes more steps, every n-th is shown.
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
    """Draw the job in a directory."""
    job = Job(**json.loads((directory / "job.json").read_text(encoding="utf-8")))
    with np.load(directory / "episode.npz") as arrays:
        observation, action, reward = (arrays[name] for name in ("observation", "action", "reward"))
    try:
        import mujoco

        scene = _Scene(job, mujoco)
    except Exception as error:  # whatever it is that OpenGL lacks
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return NO_OPENGL
    dt = float(scene.model.opt.timestep) * job.frame_skip
    every = max(1, math.ceil(1 / dt / job.most_fps - 1e-6))
    total = np.concatenate([[0.0], np.cumsum(reward, dtype=np.float64)])
    shown = [t for t in range(len(total)) if t % every == 0 or t == len(reward)]

    def pictures() -> Iterator[Any]:
        for t, frame in scene.frames(observation, action, shown):
            print(t, flush=True)
            yield _captioned(frame, f"{job.caption}\nstep {t} · return {total[t]:.1f}")

    write = _write_gif if job.out.endswith(".gif") else _write_mp4
    write(job, pictures(), len(shown), 1 / (dt * every))
    scene.close()
    return 0


class _Scene:
    """MuJoCo's model of a task, set to one observation after the other."""

    def __init__(self, job: Job, mujoco: Any) -> None:
        self._mujoco = mujoco
        self._job = job
        self._body: Body = BODIES[job.body]
        self.model = mujoco.MjModel.from_xml_path(job.model)
        self.model.vis.global_.offwidth = max(job.width, self.model.vis.global_.offwidth)
        self.model.vis.global_.offheight = max(job.height, self.model.vis.global_.offheight)
        if not self._body.travels:
            # Models without a sun are dark.
            self.model.vis.headlight.ambient[:] = 0.4
        self.data = mujoco.MjData(self.model)
        camera = self._body.camera
        self._camera = mujoco.MjvCamera()
        self._camera.distance = camera.distance
        self._camera.elevation = camera.elevation
        self._camera.azimuth = camera.azimuth
        self._renderer = mujoco.Renderer(self.model, height=job.height, width=job.width)
        mujoco.mj_forward(self.model, self.data)
        self._draw()

    def frames(
        self, observation: NDArray[Any], action: NDArray[Any], shown: list[int]
    ) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """(step, picture [height, width, 3]) of the steps in ``shown``; the last, T, is what the last action led to.

        Where the observations leave out where the body is, it goes as far as MuJoCo takes it from each to the next. It
        is drawn near the origin, whole patterns of the floor away: the floor that is drawn, and its light, have an end.
        """
        travels = self._body.travels
        place = np.zeros(0 if self._job.whole else travels)
        pattern = self._floor_pattern()[:travels]
        wanted = set(shown)
        for t in range(len(observation)):
            self.data.qpos[:], self.data.qvel[:] = self._body.joints(self.model, observation[t], place)
            self.data.qpos[:travels] %= pattern
            self._mujoco.mj_forward(self.model, self.data)
            if t in wanted:
                yield t, self._draw()
            self.data.ctrl[:] = action[t]
            self._mujoco.mj_step(self.model, self.data, nstep=self._job.frame_skip)
            place = self.data.qpos[: len(place)].copy()
        self._mujoco.mj_forward(self.model, self.data)
        yield len(observation), self._draw()

    def _floor_pattern(self) -> NDArray[np.float64]:
        """Length and width in metres of what the floor repeats."""
        planes = np.flatnonzero(self.model.geom_type == self._mujoco.mjtGeom.mjGEOM_PLANE)
        material = self.model.geom_matid[planes[0]] if len(planes) else -1
        if material < 0:
            return np.ones(2)
        size: NDArray[np.float64] = 2 * self.model.geom_size[planes[0], :2] / self.model.mat_texrepeat[material]
        return np.where(size > 0, size, 1.0)

    def _draw(self) -> NDArray[np.uint8]:
        self._camera.lookat[:] = self._body.camera.lookat
        self._camera.lookat[: self._body.travels] += self.data.qpos[: self._body.travels]
        self._renderer.update_scene(self.data, camera=self._camera)
        # A processor would take three times as long, and the floor's shadows flicker.
        for flag in (self._mujoco.mjtRndFlag.mjRND_SHADOW, self._mujoco.mjtRndFlag.mjRND_REFLECTION):
            self._renderer.scene.flags[flag] = False
        picture: NDArray[np.uint8] = self._renderer.render()
        return picture

    def close(self) -> None:
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
    # The format counts in hundredths of a second: rounded so that their sum is right.
    ends = np.round(np.arange(count + 1) * 100 / fps)
    duration = (np.diff(ends) * 10).astype(int).tolist()
    next(pictures).save(job.out, save_all=True, append_images=pictures, duration=duration, loop=0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
