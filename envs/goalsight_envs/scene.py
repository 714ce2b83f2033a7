"""Scene: put the cube away in the drawer and shut it, the long task."""

from __future__ import annotations

from typing import ClassVar

import mujoco
import numpy as np

from goalsight_envs.base import ArmEnv
from goalsight_envs.cabinet import FLOOR, SHUT, TRAVEL, clear_of_cabinet, handle
from goalsight_envs.placing import (
    Arrangement,
    Array,
    arrange,
    clear_of_cubes,
    on_table,
)

GOAL_OPENING = 0.05
"""Most that the drawer is open in a random goal [m]."""


class SceneEnv(ArmEnv):
    """Success: the cube within 4 cm of its place and the drawer within 2 cm of the goal's opening.

    | what | shape | meaning | unit |
    |---|---|---|---|
    | observation, action | (11,), (4,) | those of `ArmEnv` | rad, m |
    | `achieved_goal` | (6,) | centre of the cube, centre of the handle | m |
    | distance | | the larger of the cube's error and twice the handle's | m |
    | success | distance <= 0.04 | so 0.04 for the cube and 0.02 for the drawer | m |
    | start | | cube on the table; drawer open 0 to 14 cm, shut in half the episodes | |
    | random goal | | cube in the drawer, which is open 5 cm at most; arm above | |

    The roof of the cabinet is glass: the goal picture shows the cube that was put away.
    """

    scene: ClassVar[str] = "drawer_cube.xml"
    drawer: ClassVar[bool] = True
    success_threshold: ClassVar[float] = 0.04
    min_displacement: ClassVar[float] = 0.06

    def achieved(self, data: mujoco.MjData) -> Array:
        """(6,) positions of the cube's centre and of the handle [m]."""
        return np.array([*data.body("cube").xpos, *handle(data)])

    def goal_distance(self, achieved: Array, desired: Array) -> Array:
        """(*B,) the larger of the cube's error and twice the drawer's [m]."""
        offset = achieved - desired
        cube = np.linalg.norm(offset[..., :3], axis=-1)
        drawer = np.linalg.norm(offset[..., 3:], axis=-1)
        return np.asarray(np.maximum(cube, 2 * drawer))

    def is_goal(self, goal: Array) -> bool:
        """Whether the cube is in a drawer that is nearly shut."""
        inside = goal[1] < goal[4] and goal[2] < self.cube_rest + 0.03
        return bool(inside and goal[4] - SHUT <= GOAL_OPENING)

    def random_start(self) -> None:
        """Cube on the free half of the table, drawer and arm anywhere, clear of each other."""
        rng = self.np_random
        drawer = rng.uniform(0.0, TRAVEL) if rng.random() > 0.5 else 0.0
        cube = on_table(rng.uniform([0.39, 0.07], [0.61, 0.18]), self.cube_rest)
        while True:
            fingertip = rng.uniform(self.arm.low, self.arm.high)
            if clear_of_cabinet(fingertip, drawer) and clear_of_cubes(fingertip, [cube]):
                break
        pose = (cube, float(rng.uniform(-0.3, 0.3)))
        there = Arrangement(fingertip=fingertip, cubes={"cube": pose}, drawer=drawer)
        arrange(self.arm, self.data, there)

    def sample_goal(self) -> Array:
        """(S,) goal state: the cube in the drawer, the arm above it after letting go."""
        rng = self.np_random
        drawer = rng.uniform(0.0, GOAL_OPENING)
        handle_now = np.array([0.47, SHUT + drawer, 0.0])
        cube = np.add(handle_now, [0.0, -0.063, FLOOR + self.cube_rest])
        cube[:2] += rng.uniform(-0.012, 0.012, 2)
        fingertip = handle_now + rng.uniform([-0.05, -0.05, 0.16], [0.05, 0.05, 0.21])
        pose = (cube, float(rng.uniform(-0.1, 0.1)))
        there = Arrangement(fingertip=fingertip, opening=0.08, cubes={"cube": pose}, drawer=drawer)
        return arrange(self.arm, self.goal_data, there, control_steps=10)
