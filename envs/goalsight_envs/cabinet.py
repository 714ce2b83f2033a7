"""The cabinet with its drawer: where the parts are, as `assets/pieces/cabinet.xml` builds them."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

TRAVEL = 0.14
"""How far the drawer slides out, along world y [m]."""
SHUT = -0.159
"""World y of the handle when the drawer is shut [m]."""
GRIP = 0.105
"""Height of the fingertip for taking the handle: the fingers end just above the roof [m]."""
OVER = 0.155
"""Height of the fingertip that passes over the handle with nothing in the fingers [m]."""
FLOOR = 0.006
"""Height of the drawer's floor above the table [m]."""
ROOM = 0.125
"""How far open the drawer must be for a hand to put a cube into it [m]."""


def handle(data: mujoco.MjData) -> Array:
    """(3,) centre of the handle [m]."""
    return np.array(data.site("handle").xpos)


def opening(data: mujoco.MjData) -> float:
    """How far the drawer is open [m], 0 to `TRAVEL`."""
    return float(data.joint("drawer").qpos[0])


def middle(data: mujoco.MjData) -> Array:
    """(3,) where a cube's centre is that lies in the middle of the drawer [m]."""
    return np.asarray(np.add(data.body("drawer").xpos, [0.0, 0.003, FLOOR + 0.03]))


def holds(data: mujoco.MjData, cube: Array) -> bool:
    """Whether a cube with its centre at (3,) lies in the drawer."""
    offset = np.abs(cube - middle(data))
    return bool(offset[0] < 0.05 and offset[1] < 0.05 and offset[2] < 0.015)


def clear_of_cabinet(fingertip: Array, drawer: float) -> bool:
    """Whether the gripper at (3,) is clear of a cabinet whose drawer is open so far [m]."""
    return bool(fingertip[2] > OVER or fingertip[1] > SHUT + drawer + 0.09)
