"""Drawer: open or shut it as far as the goal picture shows."""

from __future__ import annotations

from typing import ClassVar

import mujoco
import numpy as np

from goalsight_envs.base import ArmEnv
from goalsight_envs.cabinet import SHUT, TRAVEL, clear_of_cabinet, handle
from goalsight_envs.placing import Arrangement, Array, arrange


class DrawerEnv(ArmEnv):
    """Success: the drawer's opening within 2 cm of that in the goal image.

    | what | shape | meaning | unit |
    |---|---|---|---|
    | observation, action | (11,), (4,) | those of `ArmEnv` | rad, m |
    | `achieved_goal` | (3,) | centre of the handle; as the drawer opens it moves along y | m |
    | success | distance <= 0.02 | between the handle and its place in the goal | m |
    | start | | drawer open 0 to 14 cm, shut in a third of the episodes; arm anywhere | |
    | random goal | | drawer open 0 to 14 cm, 4 cm away at least; arm above the handle | |
    """

    scene: ClassVar[str] = "drawer.xml"
    cubes: ClassVar[tuple[str, ...]] = ()
    drawer: ClassVar[bool] = True
    success_threshold: ClassVar[float] = 0.02
    min_displacement: ClassVar[float] = 0.04

    def achieved(self, data: mujoco.MjData) -> Array:
        """(3,) position of the handle [m]."""
        return handle(data)

    def random_start(self) -> None:
        """Drawer and arm anywhere, clear of each other."""
        rng = self.np_random
        drawer = rng.uniform(0.0, TRAVEL) if rng.random() > 1 / 3 else 0.0
        while True:
            fingertip = rng.uniform(self.arm.low, self.arm.high)
            if clear_of_cabinet(fingertip, drawer):
                there = Arrangement(fingertip=fingertip, drawer=drawer)
                arrange(self.arm, self.data, there)
                return

    def sample_goal(self) -> Array:
        """(S,) goal state: the drawer at another opening, the arm above it after letting go."""
        rng = self.np_random
        while True:
            drawer = rng.uniform(0.0, TRAVEL)
            fingertip = np.array([0.47, SHUT + drawer, 0.0])
            fingertip += rng.uniform([-0.05, -0.05, 0.16], [0.05, 0.05, 0.21])
            there = Arrangement(fingertip=fingertip, opening=0.08, drawer=drawer)
            state = arrange(self.arm, self.goal_data, there, control_steps=10)
            if self.distance_between(state, self.solver_state()) > self.min_displacement:
                return state
