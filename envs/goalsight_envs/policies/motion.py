"""Pieces every script is made of: steering the fingertip, and pushing the cube somewhere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goalsight_envs.base import ArmEnv

Array = NDArray[np.float64]

CLEAR = 0.10
"""Fingertip height that passes over the cube [m]."""
LOW = 0.025
"""Fingertip height for pushing [m]."""
STANDOFF = 0.065
"""Distance from the cube's centre at which a push begins [m]."""


def steer(env: ArmEnv, target: Array, speed: float = 1.0) -> Array:
    """(3,) action components that bring the commanded fingertip toward a position.

    Args:
        env: the running environment.
        target: (3,) fingertip position [m].
        speed: fraction of the largest step to use at most, in (0, 1].
    """
    offset = (target - env.arm.commanded(env.data)) / env.arm.config.step
    largest = np.abs(offset).max()
    return np.asarray(offset * min(1.0, speed / max(largest, 1e-9)))


def push_waypoint(
    env: ArmEnv, target: Array, tolerance: float = 0.01, name: str = "cube"
) -> Array | None:
    """Where the fingertip should go next to push the cube to a place on the table.

    Go behind the cube (over it if need be), come down, push through its centre; start again
    when the cube has slipped off to the side.

    Args:
        env: the running environment.
        target: (2,) x, y of the cube's goal [m].
        tolerance: distance at which the cube has arrived [m].
        name: body of the cube.

    Returns:
        (3,) fingertip target [m], or None when the cube has arrived.
    """
    fingertip = env.arm.fingertip(env.data)
    cube = env.data.body(name).xpos[:2]
    to_goal = target - cube
    distance = float(np.linalg.norm(to_goal))
    if distance < tolerance:
        return None
    forward = to_goal / distance
    relative = fingertip[:2] - cube
    along = float(relative @ forward)
    aside = relative - along * forward
    lateral = float(np.linalg.norm(aside))
    behind = cube - STANDOFF * forward
    if along < -0.03 and lateral < 0.015 and fingertip[2] < 0.05:
        # In position: press on, a little ahead of the contact, pulling back to the line.
        ahead = cube + (min(distance, 0.05) - 0.04) * forward
        return np.array([*(ahead - 0.5 * aside), LOW])
    off_target = float(np.linalg.norm(fingertip[:2] - behind))
    if off_target < 0.015:
        return np.array([*behind, LOW])
    if fingertip[2] < CLEAR - 0.02 and (along > -0.05 or lateral > 0.05):
        return np.array([*fingertip[:2], CLEAR])
    height = CLEAR if along > -0.05 or off_target > 0.05 else LOW
    return np.array([*behind, height])
