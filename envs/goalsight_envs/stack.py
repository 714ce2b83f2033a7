"""Stack: put one cube on the other, as the goal picture shows."""

from __future__ import annotations

from typing import ClassVar

import mujoco
import numpy as np
from numpy.typing import NDArray

from goalsight_envs.base import ArmEnv
from goalsight_envs.placing import (
    OPEN,
    Arrangement,
    Array,
    arrange,
    clear_of_cubes,
    on_table,
    yaw_of,
)

LEVEL = 0.015
"""Largest error of one cube's height over the other [m]: a cube that leans is not stacked."""


class StackEnv(ArmEnv):
    """Success: both cubes within 4 cm of their places, one standing on the other, gripper open.

    | what | shape | meaning | unit |
    |---|---|---|---|
    | observation, action | (11,), (4,) | those of `ArmEnv` | rad, m |
    | `achieved_goal` | (7,) | centres of the red and the blue cube, distance between the pads | m |
    | distance | | of the cube that is further from its goal | m |
    | success | distance <= 0.04 | and height of red over blue within 0.015 of the goal's | m |
    | | | and pads 0.07 apart, or as far as in the goal if less | m |
    | start | | both cubes on the table, 12 cm apart, turned 17 degrees at most; arm anywhere | |
    | random goal | | one of them, either, on the other, which stays; open gripper above | |
    """

    scene: ClassVar[str] = "stack.xml"
    cubes: ClassVar[tuple[str, ...]] = ("cube", "blue_cube")
    success_threshold: ClassVar[float] = 0.04
    min_displacement: ClassVar[float] = 0.06

    def achieved(self, data: mujoco.MjData) -> Array:
        """(7,) positions of the red and the blue cube, distance between the pads [m]."""
        cubes = [data.body(name).xpos for name in self.cubes]
        return np.array([*cubes[0], *cubes[1], self.arm.opening(data)])

    def goal_distance(self, achieved: Array, desired: Array) -> Array:
        """(*B,) how far the cube is that is further from its goal [m]."""
        offset = achieved - desired
        red = np.linalg.norm(offset[..., :3], axis=-1)
        blue = np.linalg.norm(offset[..., 3:6], axis=-1)
        return np.asarray(np.maximum(red, blue))

    def succeeded(self, achieved: Array, desired: Array) -> NDArray[np.bool_]:
        """(*B,) whether the cubes are near their goals and stacked alike, the gripper open."""
        over = achieved[..., 2] - achieved[..., 5] - (desired[..., 2] - desired[..., 5])
        open_enough = achieved[..., 6] >= np.minimum(desired[..., 6], OPEN)
        return super().succeeded(achieved, desired) & (np.abs(over) <= LEVEL) & open_enough

    def is_goal(self, goal: Array) -> bool:
        """Whether one cube stands on the other and the gripper is open."""
        offset = np.abs(goal[:3] - goal[3:6])
        return bool(
            abs(offset[2] - 2 * self.cube_rest) < LEVEL
            and offset[:2].max() < 0.03
            and goal[6] >= OPEN
        )

    def random_start(self) -> None:
        """Two cubes on the table and the arm anywhere, clear of each other."""
        rng, low, high = self.np_random, self.arm.low, self.arm.high
        while True:
            places = rng.uniform(low[:2] + 0.04, high[:2] - 0.04, (2, 2))
            fingertip = rng.uniform(low, high)
            apart = np.linalg.norm(places[0] - places[1])
            if apart > 0.12 and clear_of_cubes(fingertip, places):
                break
        yaws = rng.uniform(-0.3, 0.3, 2)
        poses = [
            (on_table(place, self.cube_rest), float(yaw))
            for place, yaw in zip(places, yaws, strict=True)
        ]
        cubes = dict(zip(self.cubes, poses, strict=True))
        arrange(self.arm, self.data, Arrangement(fingertip=fingertip, cubes=cubes))

    def sample_goal(self) -> Array:
        """(S,) goal state: one cube on the other, the arm above them after letting go."""
        rng = self.np_random
        upper, lower = self.cubes if rng.random() < 0.5 else self.cubes[::-1]
        body = self.data.body(lower)
        base, yaw = np.array(body.xpos), yaw_of(body.xquat)
        top = np.add(base, [*rng.uniform(-0.005, 0.005, 2), 2 * self.cube_rest])
        above = rng.uniform([-0.03, -0.03, 0.07], [0.03, 0.03, 0.11])
        fingertip = np.clip(top + above, self.arm.low, self.arm.high)
        cubes = {lower: (base, yaw), upper: (top, float(rng.uniform(-0.1, 0.1)))}
        there = Arrangement(fingertip=fingertip, opening=0.08, cubes=cubes)
        return arrange(self.arm, self.goal_data, there, control_steps=10)
