"""Where things are when an episode begins: arm, cubes and drawer put in place, then at rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import mujoco
import numpy as np
from numpy.typing import NDArray

from goalsight_envs.arm import HOME, Arm
from goalsight_envs.state import read_state
from goalsight_envs.stepping import advance

Array = NDArray[np.float64]

CONTROL_DT = 0.1
"""Seconds per control step."""
CUBE_REST = 0.03
"""Half the edge of a cube that no factor made larger or smaller [m]."""

OPEN = 0.07
"""Distance between the pads from which the gripper counts as open [m]; it opens to 0.08."""


@dataclass(frozen=True, kw_only=True)
class Arrangement:
    """Where everything in a scene is."""

    fingertip: Array
    """(3,) fingertip position [m]."""
    opening: float = 0.0
    """Distance between the pads [m]."""
    command: float | None = None
    """Opening the fingers are told to have [m], `opening` if None; less squeezes what they hold."""
    cubes: Mapping[str, tuple[Array, float]] = field(default_factory=dict)
    """Each cube's centre (3,) [m] and turn about the vertical [rad]."""
    drawer: float | None = None
    """How far the drawer is open [m]; None where the scene has none."""


def substeps(model: mujoco.MjModel) -> int:
    """Physics steps in a control step; scenes differ in how fine theirs are."""
    return round(CONTROL_DT / float(model.opt.timestep))


def arrange(
    arm: Arm, data: mujoco.MjData, arrangement: Arrangement, control_steps: int = 2
) -> Array:
    """Put everything in place and let it come to rest.

    Args:
        arm: the controller of the scene.
        data: simulation to write.
        arrangement: where everything is.
        control_steps: how long to let it come to rest, in control steps.

    Returns:
        (S,) full solver state.
    """
    mujoco.mj_resetData(arm.model, data)
    data.qpos[arm.qpos] = data.ctrl[arm.ctrl] = arm.solve(arrangement.fingertip, HOME, 40)
    command = arrangement.opening if arrangement.command is None else arrangement.command
    data.qpos[arm.finger_qpos] = arrangement.opening / 2
    data.ctrl[arm.finger_ctrl] = command / 2
    for name, (position, yaw) in arrangement.cubes.items():
        data.joint(name).qpos[:] = [*position, np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]
    if arrangement.drawer is not None:
        data.joint("drawer").qpos[0] = arrangement.drawer
    advance(arm.model, data, control_steps * substeps(arm.model))
    mujoco.mj_kinematics(arm.model, data)
    return read_state(arm.model, data)


def on_table(place: Array, rest: float = CUBE_REST) -> Array:
    """(3,) centre of a cube with half an edge `rest` that lies at (2,) x, y on the table [m]."""
    return np.array([place[0], place[1], rest])


def yaw_of(quaternion: Array) -> float:
    """Turn about the vertical [rad] of a body that lies flat, from its (4,) orientation."""
    return 2 * float(np.arctan2(quaternion[3], quaternion[0]))


def clear_of_cubes(fingertip: Array, cubes: Iterable[Array]) -> bool:
    """Whether the open gripper at (3,) is clear of cubes on the table, (2,) or (3,) each."""
    return bool(
        fingertip[2] > 0.09
        or all(np.linalg.norm(fingertip[:2] - cube[:2]) > 0.09 for cube in cubes)
    )
