"""Every factor and its extent, and the shift levels that ship."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from goalsight_envs.factors import looks, mechanics
from goalsight_envs.factors.distractors import MOST, choose_layout, show_distractors
from goalsight_envs.factors.values import Factor

TEXTURES = ("plain", "checker", "gradient", "noise")
_HSV = "hue, saturation, value"
_visual = partial(Factor, kind="visual")
_physics = partial(Factor, kind="physics")
_colour = partial(Factor, kind="visual", low=(0.0,) * 3, high=(1.0,) * 3)
_texture = partial(Factor, kind="visual", nominal="plain", choices=TEXTURES)

_ALL = (
    _colour(
        name="cube.colour",
        summary=f"{_HSV}; a second cube keeps its hue apart",
        nominal=(0.0040, 0.8925, 0.93),
        part="cube",
        apply=looks.colour_cubes,
    ),
    _colour(
        name="drawer.colour",
        summary=f"{_HSV} of front and handle",
        nominal=(0.1201, 0.9490, 0.98),
        part="handle",
        apply=looks.colour("drawer_front", "handle"),
    ),
    _colour(
        name="table.colour",
        summary=_HSV,
        nominal=(0.1111, 0.0909, 0.66),
        apply=looks.colour("table"),
    ),
    _texture(name="table.texture", summary="pattern over its colour", apply=looks.texture("table")),
    _colour(
        name="background.colour",
        summary=f"{_HSV} of the floor around the table",
        nominal=(0.5926, 0.2, 0.45),
        apply=looks.colour("floor"),
    ),
    _texture(
        name="background.texture", summary="pattern over its colour", apply=looks.texture("floor")
    ),
    _visual(
        name="light.brightness",
        summary="of all lights, relative",
        nominal=1.0,
        low=(0.2,),
        high=(2.0,),
        apply=looks.brighten,
    ),
    _visual(
        name="light.direction",
        summary="x and y that it travels per metre down",
        unit="m/m",
        nominal=(0.0, 0.0),
        low=(-1.5,) * 2,
        high=(1.5,) * 2,
        apply=looks.tilt_light,
    ),
    _visual(
        name="camera.shift",
        summary="x, y, z of the front camera off its place",
        unit="m",
        nominal=(0.0,) * 3,
        low=(-0.2,) * 3,
        high=(0.2,) * 3,
        apply=looks.shift_camera,
    ),
    _visual(
        name="camera.turn",
        summary="rotation vector of the front camera, own axes",
        unit="rad",
        nominal=(0.0,) * 3,
        low=(-0.3,) * 3,
        high=(0.3,) * 3,
        apply=looks.turn_camera,
    ),
    _visual(
        name="distractors.layout",
        summary="says where and what distractors are",
        nominal=0,
        low=(0.0,),
        high=(9999.0,),
        whole=True,
        apply=choose_layout,
    ),
    _visual(
        name="distractors",
        summary="objects beside the workspace, out of reach",
        nominal=0,
        low=(0.0,),
        high=(float(MOST),),
        whole=True,
        apply=show_distractors,
    ),
    _physics(
        name="cube.size",
        summary="half the edge of every cube",
        unit="m",
        nominal=0.03,
        low=(0.02,),
        high=(0.037,),
        part="cube",
        apply=mechanics.resize_cubes,
    ),
    _physics(
        name="cube.mass",
        summary="of every cube",
        unit="kg",
        nominal=0.06,
        low=(0.005,),
        high=(1.0,),
        part="cube",
        apply=mechanics.weigh_cubes,
    ),
    _physics(
        name="cube.friction",
        summary="sliding friction of cubes on table, drawer and each other",
        nominal=0.8,
        low=(0.05,),
        high=(2.0,),
        part="cube",
        apply=mechanics.rub("cube", "blue_cube", "table", "drawer_floor"),
    ),
    _physics(
        name="fingers.friction",
        summary="sliding friction of the finger pads",
        nominal=1.5,
        low=(0.1,),
        high=(3.0,),
        apply=mechanics.rub("left_pad", "right_pad"),
    ),
    _physics(
        name="arm.gain",
        summary="stiffness of the joint servos, relative",
        nominal=1.0,
        low=(0.2,),
        high=(3.0,),
        apply=mechanics.stiffen_arm,
    ),
    _physics(
        name="arm.damping",
        summary="damping of the joint servos, relative",
        nominal=1.0,
        low=(0.3,),
        high=(3.0,),
        apply=mechanics.damp_arm,
    ),
    _physics(
        name="drawer.friction",
        summary="force that the drawer's slide resists with",
        unit="N",
        nominal=0.8,
        low=(0.0,),
        high=(6.0,),
        part="handle",
        apply=mechanics.stick_drawer,
    ),
    _physics(
        name="drawer.damping",
        summary="of the drawer's slide",
        unit="N s/m",
        nominal=4.0,
        low=(0.0,),
        high=(40.0,),
        part="handle",
        apply=mechanics.damp_drawer,
    ),
)
FACTORS: Mapping[str, Factor] = MappingProxyType({factor.name: factor for factor in _ALL})
"""Every factor by name, in the order in which they are drawn and applied."""

_VIVID = [[0.0, 0.75, 0.6], [1.0, 1.0, 1.0]]
LEVELS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "mild": {
            "cube.colour": [[0.0, 0.8, 0.8], [0.08, 1.0, 1.0]],
            "drawer.colour": [[0.08, 0.8, 0.8], [0.16, 1.0, 1.0]],
            "table.colour": [[0.05, 0.0, 0.5], [0.2, 0.2, 0.8]],
            "background.colour": [[0.5, 0.1, 0.3], [0.7, 0.3, 0.6]],
            "light.brightness": [0.8, 1.15],
            "light.direction": [[-0.2, -0.2], [0.2, 0.2]],
            "camera.shift": [[-0.01] * 3, [0.01] * 3],
            "camera.turn": [[-0.01] * 3, [0.01] * 3],
            "cube.size": [0.028, 0.032],
            "cube.mass": [0.04, 0.09],
            "cube.friction": [0.6, 1.0],
            "arm.gain": [0.8, 1.2],
            "drawer.friction": [0.4, 1.2],
        },
        "looks": {
            "cube.colour": _VIVID,
            "drawer.colour": _VIVID,
            "table.colour": [[0.0, 0.0, 0.35], [1.0, 0.3, 0.9]],
            "table.texture": ["plain", "checker", "gradient"],
            "background.colour": [[0.0, 0.0, 0.1], [1.0, 0.4, 0.7]],
            "background.texture": ["plain", "checker", "gradient"],
            "light.brightness": [0.7, 1.2],
            "light.direction": [[-0.35, -0.35], [0.35, 0.35]],
            "camera.shift": [[-0.015] * 3, [0.015] * 3],
            "camera.turn": [[-0.015] * 3, [0.015] * 3],
            "distractors": [0, 2],
            "distractors.layout": [0, 9999],
        },
        "ood-visual": {
            "cube.colour": _VIVID,
            "drawer.colour": _VIVID,
            "table.colour": [[0.0, 0.0, 0.35], [1.0, 0.3, 0.9]],
            "table.texture": list(TEXTURES),
            "background.colour": [[0.0, 0.0, 0.1], [1.0, 0.4, 0.7]],
            "background.texture": list(TEXTURES),
            "light.brightness": [0.6, 1.3],
            "light.direction": [[-0.5, -0.5], [0.5, 0.5]],
            "camera.shift": [[-0.03] * 3, [0.03] * 3],
            "camera.turn": [[-0.03] * 3, [0.03] * 3],
            "distractors": [1, MOST],
            "distractors.layout": [0, 9999],
        },
        "ood-physics": {
            "cube.size": [0.024, 0.034],
            "cube.mass": [0.02, 0.2],
            "cube.friction": [0.4, 1.2],
            "fingers.friction": [1.0, 2.0],
            "arm.gain": [0.5, 1.5],
            "arm.damping": [0.6, 1.6],
            "drawer.friction": [0.2, 2.0],
            "drawer.damping": [2.0, 12.0],
        },
    }
)
"""What each level draws; a scene leaves out what it has no part for.

`mild` and `looks` are domain randomisation for training data, the second of looks alone: any
colours, so that none of them matters. The benchmark measures shifts with the others: `ood-visual`
has a pattern that `looks` lacks, a wider light, twice the camera's error, and more distractors."""
