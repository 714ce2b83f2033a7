"""PickPlace: put the cube down where the goal picture shows it, and let go."""

from __future__ import annotations

from typing import ClassVar

import mujoco
import numpy as np
from numpy.typing import NDArray

from goalsight_envs.one_cube import OneCubeEnv
from goalsight_envs.placing import OPEN, Arrangement, Array, arrange, on_table


class PickPlaceEnv(OneCubeEnv):
    """Success: the cube within 4 cm of its place in the goal image, and the gripper open.

    | what | shape | meaning | unit |
    |---|---|---|---|
    | observation, action | (11,), (4,) | those of `ArmEnv` | rad, m |
    | `achieved_goal` | (4,) | centre of the cube, distance between the pads | m |
    | success | distance <= 0.04 | and pads 0.07 apart, or as far as in the goal if less | m |
    | start | | cube on the table, turned 17 degrees at most; arm anywhere | |
    | random goal | | cube elsewhere on the table, the open gripper above it | |
    """

    scene: ClassVar[str] = "grasp.xml"
    success_threshold: ClassVar[float] = 0.04
    min_displacement: ClassVar[float] = 0.06
    yaw: ClassVar[float] = 0.3

    def achieved(self, data: mujoco.MjData) -> Array:
        """(4,) position of the cube's centre and distance between the pads [m]."""
        return np.array([*data.body("cube").xpos, self.arm.opening(data)])

    def goal_distance(self, achieved: Array, desired: Array) -> Array:
        """(*B,) how far the cube is from its goal [m]."""
        return super().goal_distance(achieved[..., :3], desired[..., :3])

    def succeeded(self, achieved: Array, desired: Array) -> NDArray[np.bool_]:
        """(*B,) whether the cube is near its goal, and the gripper open if the goal's is."""
        open_enough = achieved[..., 3] >= np.minimum(desired[..., 3], OPEN)
        return super().succeeded(achieved, desired) & open_enough

    def is_goal(self, goal: Array) -> bool:
        """Whether the cube lies on the table and the gripper is open."""
        return bool(goal[2] < self.cube_rest + 0.01 and goal[3] >= OPEN)

    def sample_goal(self) -> Array:
        """(S,) goal state: the cube in another place, the arm above it after letting go."""
        rng, low, high = self.np_random, self.arm.low, self.arm.high
        while True:
            cube = on_table(rng.uniform(low[:2] + 0.04, high[:2] - 0.04), self.cube_rest)
            above = rng.uniform([-0.03, -0.03, 0.08], [0.03, 0.03, 0.15])
            fingertip = np.clip(cube + above, low, high)
            there = Arrangement(
                fingertip=fingertip, opening=0.08, cubes={"cube": (cube, rng.uniform(-0.1, 0.1))}
            )
            state = arrange(self.arm, self.goal_data, there, control_steps=10)
            if self.distance_between(state, self.solver_state()) > self.min_displacement:
                return state
