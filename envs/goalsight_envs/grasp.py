"""Grasp: lift the cube to where the goal picture shows it."""

from __future__ import annotations

from typing import ClassVar

import mujoco
import numpy as np
from numpy.typing import NDArray

from goalsight_envs.one_cube import OneCubeEnv
from goalsight_envs.placing import Arrangement, Array, arrange

LIFT = 0.05
"""Height above its place on the table from which a cube counts as lifted [m]."""


class GraspEnv(OneCubeEnv):
    """Success: the cube at least 5 cm off the table and within 4 cm of its place in the goal image.

    | what | shape | meaning | unit |
    |---|---|---|---|
    | observation, action | (11,), (4,) | those of `ArmEnv` | rad, m |
    | `achieved_goal` | (3,) | centre of the cube | m |
    | success | distance <= 0.04 | and lifted 0.05, or as far as the goal if that is less | m |
    | start | | cube on the table, turned 17 degrees at most; arm anywhere | |
    | random goal | | the fingers hold the cube 6 to 15 cm up, anywhere | |
    """

    scene: ClassVar[str] = "grasp.xml"
    success_threshold: ClassVar[float] = 0.04
    min_displacement: ClassVar[float] = 0.06
    yaw: ClassVar[float] = 0.3

    def achieved(self, data: mujoco.MjData) -> Array:
        """(3,) position of the cube's centre [m]."""
        return np.array(data.body("cube").xpos)

    def succeeded(self, achieved: Array, desired: Array) -> NDArray[np.bool_]:
        """(*B,) whether the cube is near its goal, and lifted if the goal is."""
        rest = self.cube_rest
        lift, asked = achieved[..., 2] - rest, desired[..., 2] - rest
        return super().succeeded(achieved, desired) & (lift >= np.minimum(asked, LIFT))

    def is_goal(self, goal: Array) -> bool:
        """Whether the cube is lifted."""
        return bool(goal[2] - self.cube_rest >= LIFT)

    def sample_goal(self) -> Array:
        """(S,) goal state: the cube in the fingers, somewhere above the table."""
        low, high = self.arm.low, self.arm.high
        while True:
            plane = self.np_random.uniform(low[:2] + 0.04, high[:2] - 0.04)
            fingertip = np.array([*plane, self.cube_rest + self.np_random.uniform(0.06, 0.15)])
            held = Arrangement(
                fingertip=fingertip,
                opening=2 * self.cube_rest,
                command=0.0,
                cubes={"cube": (fingertip, 0.0)},
            )
            state = arrange(self.arm, self.goal_data, held, control_steps=10)
            if self.distance_between(state, self.solver_state()) > self.min_displacement:
                return state
