"""Factors that only the camera notices: colours, patterns, light, where the camera stands.

Each function writes into a model in which its fields are nominal; physics never reads them.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Sequence

import mujoco
import numpy as np

HUE_APART = 0.65
"""Hue from the first cube to the second, as between red and blue [turns]."""
CAMERA, LIGHT = "front", "overhead"


def paint(model: mujoco.MjModel, geom: str, hue: float, saturation: float, value: float) -> None:
    """Colour a geom; its transparency stays. Hue in turns, the others in [0, 1]."""
    model.geom(geom).rgba[:3] = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)


def colour(*geoms: str) -> Callable[[mujoco.MjModel, Sequence[float]], None]:
    """A function that gives these geoms one colour: hue, saturation, value."""

    def apply(model: mujoco.MjModel, value: Sequence[float]) -> None:
        for geom in geoms:
            paint(model, geom, *value)

    return apply


def colour_cubes(model: mujoco.MjModel, value: Sequence[float]) -> None:
    """Colour the cube; a second one differs in hue as much as it does nominally."""
    hue, saturation, brightness = value
    paint(model, "cube", hue, saturation, brightness)
    if mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_GEOM, "blue_cube") >= 0:
        paint(model, "blue_cube", hue + HUE_APART, saturation, brightness)


def texture(geom: str) -> Callable[[mujoco.MjModel, str], None]:
    """A function that lays a pattern of `assets/pieces/variation.xml` on a geom."""

    def apply(model: mujoco.MjModel, value: str) -> None:
        if value != "plain":
            model.geom(geom).matid[0] = model.material(f"{geom}_{value}").id

    return apply


def brighten(model: mujoco.MjModel, value: float) -> None:
    """Scale every light."""
    model.light(LIGHT).diffuse[:] *= value
    model.vis.headlight.ambient[:] *= value
    model.vis.headlight.diffuse[:] *= value


def tilt_light(model: mujoco.MjModel, value: Sequence[float]) -> None:
    """Let the overhead light come from aside: shadows move, so do shades of vertical faces."""
    if not np.any(value):
        return
    direction = np.array([*value, -1.0])
    direction /= np.linalg.norm(direction)
    model.light(LIGHT).dir[:] = direction
    # The shadow map looks from here; aimed at the middle of the picture its corners stay clean.
    model.light(LIGHT).pos[:] = np.array([0.3, 0.0, 0.0]) - 2.0 * direction


def shift_camera(model: mujoco.MjModel, value: Sequence[float]) -> None:
    """Move the front camera [m], world axes."""
    model.camera(CAMERA).pos[:] += value


def turn_camera(model: mujoco.MjModel, value: Sequence[float]) -> None:
    """Rotate the front camera by a rotation vector [rad] in its own axes."""
    angle = float(np.linalg.norm(value))
    if angle == 0.0:
        return
    turn, turned = np.empty(4), np.empty(4)
    mujoco.mju_axisAngle2Quat(turn, np.asarray(value) / angle, angle)
    mujoco.mju_mulQuat(turned, model.camera(CAMERA).quat, turn)
    model.camera(CAMERA).quat[:] = turned
