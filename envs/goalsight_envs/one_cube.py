"""The scene of one cube on the table: where it and the arm may be put."""

from __future__ import annotations

from typing import ClassVar

import mujoco
import numpy as np

from goalsight_envs.base import ArmEnv
from goalsight_envs.placing import (
    Arrangement,
    Array,
    arrange,
    clear_of_cubes,
    on_table,
    yaw_of,
)


class OneCubeEnv(ArmEnv):
    """A task of the one-cube scene; its starts have arm and cube anywhere, clear of each other."""

    yaw: ClassVar[float] = np.pi / 4
    """How far a cube may be turned when an episode begins, either way [rad]."""

    def place(self, data: mujoco.MjData, fingertip: Array, opening: float, cube: Array) -> Array:
        """Set the arm and the cube by position, let them come to rest; the full state (S,).

        Args:
            data: simulation to write.
            fingertip: (3,) fingertip position [m].
            opening: distance between the pads [m].
            cube: (3,) x [m], y [m], yaw [rad] of the cube on the table.
        """
        cubes = {"cube": (on_table(cube, self.cube_rest), float(cube[2]))}
        there = Arrangement(fingertip=fingertip, opening=opening, cubes=cubes)
        return arrange(self.arm, data, there)

    def random_placement(self, keep_cube: bool = False) -> tuple[Array, float, Array]:
        """Fingertip, opening and cube drawn at random, arm clear of the cube.

        Args:
            keep_cube: the cube stays where it is in the running episode.
        """
        rng, low, high = self.np_random, self.arm.low, self.arm.high
        body = self.data.body("cube")
        while True:
            yaw = rng.uniform(-self.yaw, self.yaw)
            cube = np.array([*rng.uniform(low[:2] + 0.04, high[:2] - 0.04), yaw])
            if keep_cube:
                cube = np.array([*body.xpos[:2], yaw_of(body.xquat)])
            fingertip = rng.uniform(low, high)
            if clear_of_cubes(fingertip, [cube]):
                return fingertip, 0.08 * float(rng.random() < 0.1), cube

    def random_start(self) -> None:
        """Put the running episode into a start drawn with `np_random`."""
        self.place(self.data, *self.random_placement())
