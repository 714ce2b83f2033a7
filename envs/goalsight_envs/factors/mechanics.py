"""Factors that change how things move: size, mass, friction, the arm's servos, the drawer's slide.

Each function writes into a model in which its fields are nominal. What MuJoCo derives from masses
is derived again by `Variation`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import mujoco
import numpy as np

from goalsight_envs.arm import JOINTS

CUBES = ("cube", "blue_cube")
"""Cubes that a scene may have; geom and body are named alike."""


def present(model: mujoco.MjModel, geoms: tuple[str, ...]) -> Iterator[int]:
    """Ids of those geoms that the scene has."""
    ids = (mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_GEOM, name) for name in geoms)
    return (number for number in ids if number >= 0)


def resize_cubes(model: mujoco.MjModel, value: float) -> None:
    """Set half the edge [m] of every cube, with its inertia and its bounds."""
    for geom in present(model, CUBES):
        body = model.geom_bodyid[geom]
        model.geom_size[geom] = value
        model.geom_rbound[geom] = value * np.sqrt(3.0)
        model.geom_aabb[geom, 3:] = value
        first = model.body_bvhadr[body]
        model.bvh_aabb[first : first + model.body_bvhnum[body], 3:] = value
        model.body_inertia[body] = model.body_mass[body] * (2.0 / 3.0) * value**2


def weigh_cubes(model: mujoco.MjModel, value: float) -> None:
    """Set the mass [kg] of every cube, and its inertia with it."""
    for geom in present(model, CUBES):
        body = model.geom_bodyid[geom]
        model.body_inertia[body] *= value / model.body_mass[body]
        model.body_mass[body] = value


def rub(*geoms: str) -> Callable[[mujoco.MjModel, float], None]:
    """A function that sets the sliding friction of those geoms that the scene has.

    Of two geoms that touch the larger friction counts, hence the table together with the cubes.
    """

    def apply(model: mujoco.MjModel, value: float) -> None:
        for geom in present(model, geoms):
            model.geom_friction[geom, 0] = value

    return apply


def stiffen_arm(model: mujoco.MjModel, value: float) -> None:
    """Scale the proportional gain of the seven joint servos."""
    for name in JOINTS:
        servo = model.actuator(name)
        servo.gainprm[0] *= value
        servo.biasprm[1] *= value


def damp_arm(model: mujoco.MjModel, value: float) -> None:
    """Scale the derivative gain of the seven joint servos."""
    for name in JOINTS:
        model.actuator(name).biasprm[2] *= value


def stick_drawer(model: mujoco.MjModel, value: float) -> None:
    """Set the dry friction [N] of the drawer's slide."""
    model.joint("drawer").frictionloss[0] = value


def damp_drawer(model: mujoco.MjModel, value: float) -> None:
    """Set the damping [N s/m] of the drawer's slide."""
    model.joint("drawer").damping[0] = value
