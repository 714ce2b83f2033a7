"""Reach: bring the fingertip to where the goal picture shows it."""

from __future__ import annotations

from typing import ClassVar

import mujoco

from goalsight_envs.base import Array
from goalsight_envs.one_cube import OneCubeEnv


class ReachEnv(OneCubeEnv):
    """Success: fingertip within 3 cm of its place in the goal image.

    Observation and action are those of `ArmEnv`; `achieved_goal` is the fingertip's position [m].
    A random goal leaves the cube where it is and draws the arm's pose from the whole workspace.
    """

    success_threshold: ClassVar[float] = 0.03
    min_displacement: ClassVar[float] = 0.06
    play_interact: ClassVar[float] = 0.0

    def achieved(self, data: mujoco.MjData) -> Array:
        """(3,) fingertip position [m]."""
        return self.arm.fingertip(data)

    def sample_goal(self) -> Array:
        """(S,) goal state: another arm pose, the same cube."""
        while True:
            fingertip, opening, cube = self.random_placement(keep_cube=True)
            state = self.place(self.goal_data, fingertip, opening, cube)
            if self.distance_between(state, self.solver_state()) > self.min_displacement:
                return state
