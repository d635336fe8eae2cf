"""MuJoCo bodies from observations: joint positions and velocities, and the camera."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
State = Callable[[Any, Vector], tuple[Vector, Vector]]


@dataclass(frozen=True)
class Camera:
    """A camera's position, in metres and degrees: it looks at ``lookat``, and follows a body that travels."""

    lookat: tuple[float, float, float]
    distance: float
    elevation: float
    azimuth: float = 90.0


@dataclass(frozen=True)
class Body:
    """A family of tasks.

    Attributes:
        camera: the camera's position.
        travels: number of leading joint positions that give its place on the ground; its observations omit them.
        positions: number of joint positions, including those.
        state: (model, observation) → joint positions and velocities, if observations do not begin with them.
    """

    camera: Camera
    travels: int = 0
    positions: int = 0
    state: State | None = None

    def joints(self, model: Any, observation: Vector, place: Vector) -> tuple[Vector, Vector]:
        """Joint positions [nq] and velocities [nv] of an observation [obs] that omits the positions ``place``."""
        if self.state is not None:
            return self.state(model, observation)
        shown = self.positions - len(place)
        return np.concatenate([place, observation[:shown]]), observation[shown : shown + model.nv]


def _double_pendulum(model: Any, o: Vector) -> tuple[Vector, Vector]:
    return np.array([o[0], *np.arctan2(o[1:3], o[3:5])]), o[5:8]


def _reacher(model: Any, o: Vector) -> tuple[Vector, Vector]:
    return np.array([*np.arctan2(o[2:4], o[:2]), *o[4:6]]), np.array([*o[6:8], 0.0, 0.0])


def _pusher(model: Any, o: Vector) -> tuple[Vector, Vector]:
    # Seven joints of the arm; the object's are y and x, relative to the model's position. The goal is fixed.
    offset = o[17:20] - model.body("object").pos
    return np.array([*o[:7], offset[1], offset[0], 0.0, 0.0]), np.array([*o[7:14], 0.0, 0.0, 0.0, 0.0])


BODIES = {
    "Ant": Body(Camera((0.0, 0.0, 0.4), 4.0, -25.0, 120.0), 2, 15),
    "HalfCheetah": Body(Camera((0.0, 0.0, 0.5), 3.2, -12.0), 1, 9),
    "Hopper": Body(Camera((0.0, 0.0, 0.8), 2.8, -10.0), 1, 6),
    "Humanoid": Body(Camera((0.0, 0.0, 0.9), 3.6, -12.0, 120.0), 2, 24),
    "HumanoidStandup": Body(Camera((0.0, 0.0, 0.5), 3.6, -15.0, 120.0), 2, 24),
    "InvertedDoublePendulum": Body(Camera((0.0, 0.0, 0.4), 3.2, -5.0), state=_double_pendulum),
    "InvertedPendulum": Body(Camera((0.0, 0.0, 0.2), 2.8, -5.0), positions=2),
    "Pusher": Body(Camera((0.25, -0.2, -0.15), 2.2, -40.0, 140.0), state=_pusher),
    "Reacher": Body(Camera((0.0, 0.0, 0.0), 0.9, -89.0), state=_reacher),
    "Swimmer": Body(Camera((0.0, 0.0, 0.0), 4.5, -50.0), 2, 5),
    "Walker2d": Body(Camera((0.0, 0.0, 0.8), 3.2, -10.0), 1, 9),
}
"""Bodies by the name of the task without its version."""
