"""Push: bring the cube to where the goal picture shows it."""

from __future__ import annotations

from typing import ClassVar

import mujoco
import numpy as np

from goalsight_envs.base import Array
from goalsight_envs.one_cube import OneCubeEnv


class PushEnv(OneCubeEnv):
    """Success: the cube within 4 cm of its place in the goal image.

    Observation and action are those of `ArmEnv`; `achieved_goal` is the cube's position [m].
    A random goal puts the cube elsewhere on the table and draws the arm's pose too.
    """

    success_threshold: ClassVar[float] = 0.04
    min_displacement: ClassVar[float] = 0.06

    def achieved(self, data: mujoco.MjData) -> Array:
        """(3,) position of the cube's centre [m]."""
        return np.array(data.body("cube").xpos)

    def sample_goal(self) -> Array:
        """(S,) goal state: the cube in another place."""
        while True:
            state = self.place(self.goal_data, *self.random_placement())
            if self.distance_between(state, self.solver_state()) > self.min_displacement:
                return state
