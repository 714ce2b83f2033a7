"""What hands do: take a cube, carry it, let go, set a drawer. Each looks at the state anew.

A skill says where the fingertip and the fingers should go next, and nothing when it is done. It
keeps no memory, so a script that fails, is disturbed or interrupted goes on from where it is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from goalsight_envs import cabinet
from goalsight_envs.base import ArmEnv, Array
from goalsight_envs.placing import OPEN
from goalsight_envs.policies.motion import steer
from goalsight_envs.policies.simple import Action

HOVER = 0.055
"""How far above a cube's centre the open hand is lined up [m]: the fingers clear its top."""
CARRY = 0.13
"""Height of the fingertip that carries a cube over another [m]."""
CARRY_CABINET = 0.185
"""Height of the fingertip that carries a cube over the handle [m]."""
SQUEEZE = 0.02
"""How much narrower than the pads are the fingers are told to be when they hold something [m]."""


class Move(NamedTuple):
    """Where to go next."""

    target: Array
    """(3,) fingertip position [m]."""
    gripper: float
    """Action of the gripper: -1 closes, 1 opens."""


def action_of(env: ArmEnv, move: Move | None, speed: float = 1.0) -> Action:
    """(4,) action toward a move; without one, stay."""
    if move is None:
        return np.zeros(4, np.float32)
    return np.array([*steer(env, move.target, speed), move.gripper], np.float32)


def over(env: ArmEnv, target: Array, height: float, near: float = 0.012) -> Array:
    """(3,) next waypoint on the way up, across at a height, and down to a target.

    Args:
        env: the running environment.
        target: (3,) where to go [m].
        height: of the fingertip on the way across [m].
        near: how exactly to be above the target before going down [m].
    """
    fingertip = env.arm.fingertip(env.data)
    away = np.abs(fingertip[:2] - target[:2]).max()
    if away < near:
        return target
    if fingertip[2] < height - 0.015 and away > 0.025:
        # Straight up for as long as anything may be in the way, then up and across at once.
        share = np.clip(1.0 - (height - fingertip[2]) / 0.04, 0.0, 1.0)
        plane = fingertip[:2] + share * (target[:2] - fingertip[:2])
        return np.array([*plane, height])
    return np.array([*target[:2], max(height, target[2]) if away > 0.025 else fingertip[2]])


def cruise(env: ArmEnv) -> float:
    """Height [m] at which the empty hand passes over everything in the scene."""
    return cabinet.OVER if env.drawer else (0.125 if len(env.cubes) > 1 else 0.09)


def squeezing(env: ArmEnv) -> bool:
    """Whether something keeps the fingers apart."""
    commanded = float(env.data.ctrl[env.arm.finger_ctrl].sum())
    return env.arm.opening(env.data) - commanded > SQUEEZE


def holding(env: ArmEnv, name: str) -> bool:
    """Whether the fingers hold that cube."""
    offset = np.abs(env.data.body(name).xpos - env.arm.fingertip(env.data))
    return squeezing(env) and offset[:2].max() < 0.03 and bool(offset[2] < 0.03)


def grasp(env: ArmEnv, name: str, offset: Array | None = None) -> Move | None:
    """Take a cube: open above it, come down, close.

    Args:
        env: the running environment.
        name: body of the cube.
        offset: (2,) error in where the cube is taken to be [m], for grasps that fail.

    Returns:
        The next move, or None once the fingers hold it.
    """
    if holding(env, name):
        return None
    cube = np.array(env.data.body(name).xpos)
    cube[:2] += 0.0 if offset is None else offset
    fingertip, opening = env.arm.fingertip(env.data), env.arm.opening(env.data)
    aside = np.abs(fingertip - cube)
    if aside[:2].max() < 0.012 and aside[2] < 0.012 and opening > 0.045:
        return Move(cube, -1.0)
    if aside[:2].max() < 0.009 and opening > OPEN:
        return Move(cube, 1.0)
    hover = np.add(cube, [0.0, 0.0, HOVER])
    if aside[:2].max() > 0.015:
        hover = over(env, hover, max(cruise(env), hover[2]))
    return Move(hover, 1.0)


def carry(env: ArmEnv, name: str, target: Array) -> Move | None:
    """Bring the cube that the fingers hold to a place.

    Args:
        env: the running environment.
        name: body of the cube.
        target: (3,) where its centre should be [m].

    Returns:
        The next move, or None when it is there.
    """
    cube = np.array(env.data.body(name).xpos)
    grip = env.arm.fingertip(env.data) - cube
    aside = np.abs(cube - target)
    if aside[:2].max() < 0.008 and aside[2] < 0.008:
        return None
    height = CARRY_CABINET if env.drawer else CARRY
    if len(env.cubes) == 1 and not env.drawer:
        height = max(target[2], 0.05)  # nothing to pass over
    return Move(over(env, target + grip, height, near=0.01), -1.0)


def let_go(env: ArmEnv) -> Move | None:
    """Open where the hand is; None once it is open."""
    if env.arm.opening(env.data) > OPEN + 0.005:
        return None
    return Move(env.arm.commanded(env.data), 1.0)


def leave(env: ArmEnv, target: Array) -> Move | None:
    """Go up and across to a fingertip position (3,) [m], fingers open; None when there."""
    fingertip = env.arm.fingertip(env.data)
    if np.abs(fingertip - target).max() < 0.006:
        return None
    return Move(over(env, target, max(cruise(env), target[2] - 0.02)), 1.0)


def set_drawer(env: ArmEnv, opening: float, tolerance: float = 0.004) -> Move | None:
    """Take the handle and bring the drawer to an opening [m]; None when it is there."""
    off = opening - cabinet.opening(env.data)
    gripped = env.arm.opening(env.data) < 0.03
    # A hand that has let go has moved the drawer a little; it need not come back for that.
    if abs(off) < (tolerance if gripped else 2.5 * tolerance):
        return None
    fingertip = env.arm.fingertip(env.data)
    grip = cabinet.handle(env.data)
    grip[2] = cabinet.GRIP
    aside = np.abs(fingertip - grip)
    if aside[0] < 0.025 and aside[1] < 0.02 and aside[2] < 0.02:
        # The open fingers reach around the handle; pulling begins when they have closed on it.
        pull = off if gripped else 0.0
        return Move(np.add(grip, [0.0, pull, 0.0]), -1.0)
    if aside[:2].max() < 0.015 and env.arm.opening(env.data) < OPEN - 0.01:
        return Move(np.array([*grip[:2], cabinet.OVER]), 1.0)
    return Move(over(env, grip, cabinet.OVER), 1.0)
