"""Objects that have nothing to do with the task, beside the workspace and out of reach.

The scene holds them from the beginning: hidden, touching nothing, without joints. So a task that
does not use them has the pictures, the states and the speed that it would have without them.

No part of the arm and no cube in the workspace comes within 2 cm of one. Since nothing touches
them, a cube would pass through one if it were shoved out at the workspace's left edge and then back
towards the robot's base: the corner of a box at (0.25, 0.30), by a centimetre.
"""

from __future__ import annotations

import mujoco
import numpy as np

from goalsight_envs.factors.looks import paint

MOST = 4
"""Distractors in the scene."""
PLACES = (
    (0.02, 0.25),
    (0.14, -0.21),
    (0.03, -0.26),
    (0.14, 0.21),
    (0.25, 0.30),
    (0.13, 0.32),
    (0.13, -0.32),
    (0.02, 0.36),
)
"""Where they may stand, x and y [m]: seen by the camera, 10 cm and more behind the workspace."""
SHAPES = (
    mujoco.mjtGeom.mjGEOM_BOX,
    mujoco.mjtGeom.mjGEOM_CYLINDER,
    mujoco.mjtGeom.mjGEOM_SPHERE,
)
_GOLDEN = 0.6180339887
"""Steps of the golden ratio spread hues and sizes evenly, the same on every machine."""


def layout_of(model: mujoco.MjModel) -> int:
    """The layout that was chosen for a model, 0 unless one was."""
    return int(model.numeric("distractors_layout").data[0])


def choose_layout(model: mujoco.MjModel, value: int) -> None:
    """Remember which places, shapes and colours distractors are to have."""
    model.numeric("distractors_layout").data[0] = value


def show_distractors(model: mujoco.MjModel, value: int) -> None:
    """Put so many of them on the table, as the layout says."""
    layout = layout_of(model)
    for number in range(int(value)):
        name, turn = f"distractor{number}", (layout * _GOLDEN + number / MOST) % 1.0
        geom = model.geom(name)
        half = 0.02 + 0.015 * ((layout * _GOLDEN + number * _GOLDEN) % 1.0)
        # An odd stride visits every place once.
        place = PLACES[(layout + number * (1 + 2 * (layout % 4))) % len(PLACES)]
        geom.type[0] = SHAPES[(layout // 7 + number) % len(SHAPES)]
        geom.size[:] = half
        geom.rbound[0] = half * np.sqrt(3.0)
        geom.pos[:] = [*place, half]
        geom.group[0] = 0  # groups 3 to 5 are hidden
        paint(model, name, turn, 0.75, 0.55 + 0.4 * ((layout + number) % 2))
