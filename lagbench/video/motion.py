"""A recorded episode as a sequence of MuJoCo states. Does not render."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from lagbench.video.bodies import Body


class Motion:
    """MuJoCo's model of a task, set to one observation after another.

    Args:
        model: the MuJoCo model.
        body: the body of the observations.
        whole: whether observations include the positions that they omit by default.
        frame_skip: MuJoCo steps per environment step.
    """

    def __init__(self, model: Any, body: Body, whole: bool, frame_skip: int) -> None:
        self.model = model
        self.data = mujoco.MjData(model)
        self._body = body
        self._left_out = 0 if whole else body.travels
        self._frame_skip = frame_skip

    def steps(self, observation: NDArray[np.float64], action: NDArray[Any]) -> Iterator[int]:
        """Set ``data`` to each observation [T, obs], then to the result of the last action [T, A]; yields steps 0 … T.

        If observations omit the body's place, it starts at the origin and moves as MuJoCo simulates each step. It is
        shifted back by whole floor patterns, since the rendered floor is finite.
        """
        place = np.zeros(self._left_out)
        travels, pattern = self._body.travels, self.floor_pattern()[: self._body.travels]
        for t in range(len(observation)):
            self.data.qpos[:], self.data.qvel[:] = self._body.joints(self.model, observation[t], place)
            self.data.qpos[:travels] %= pattern
            mujoco.mj_forward(self.model, self.data)
            yield t
            self.data.ctrl[:] = action[t]
            mujoco.mj_step(self.model, self.data, nstep=self._frame_skip)
            place = self.data.qpos[: self._left_out].copy()
        mujoco.mj_forward(self.model, self.data)
        yield len(observation)

    def floor_pattern(self) -> NDArray[np.float64]:
        """Length and width of the floor's repeated pattern, in metres."""
        planes = np.flatnonzero(self.model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE)
        material = self.model.geom_matid[planes[0]] if len(planes) else -1
        if material < 0:
            return np.ones(2)
        size: NDArray[np.float64] = 2 * self.model.geom_size[planes[0], :2] / self.model.mat_texrepeat[material]
        return np.where(size > 0, size, 1.0)
