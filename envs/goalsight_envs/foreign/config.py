"""How an environment that nobody here wrote is seen, driven and measured."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, replace
from typing import Any

from goalsight_envs.foreign.errors import WrapError

MAKE = "make."
"""Prefix of settings that go to the environment's own constructor."""


@dataclass(frozen=True, kw_only=True)
class WrapConfig:
    """Settings of `wrap`; every one can be written behind an id, `Id-v0?camera=front,frameskip=2`.

    In that text, the parts of a setting that has several are joined by `+`: `lookat=1.3+0.7+0.5`.
    """

    camera: str = ""
    """Name or number of a camera of a MuJoCo model; empty: the free camera if `distance` is given,
    else what the environment's own `render()` shows."""
    lookat: tuple[float, ...] = ()
    """Where the free camera looks, x, y, z [m]; empty: the centre of the model."""
    distance: float = 0.0
    """From the free camera to that point [m]; 0: no free camera."""
    azimuth: float = 90.0
    """Of the free camera [degrees]."""
    elevation: float = -45.0
    """Of the free camera [degrees], negative looks down."""
    fovy: float = 0.0
    """Vertical field of view of the free camera [degrees]; 0: the model's."""
    hide: tuple[str, ...] = ()
    """Bodies and geoms of a MuJoCo model that pictures leave out. Sites are never drawn: they mark
    frames and goals, and a goal that is marked in the picture would be given away."""
    fast_render: bool = False
    """Without shadows, reflections and multisampling."""
    frameskip: int = 1
    """Steps of the environment in one control step, all with the same action."""
    control_dt: float = 0.0
    """Seconds per control step; 0: what the environment says of itself."""
    bounds: tuple[float, ...] = ()
    """Lowest and highest action where the action space has no bounds of its own; empty: it has."""
    goal: str = ""
    """What is measured, and so what a goal asks for: `achieved` (the `achieved_goal` of a goal
    environment), `body:NAME`, `site:NAME`, `geom:NAME` or `joint:NAME` of a MuJoCo model, or
    `observation:0:3`; several joined by `+`. Empty: `achieved` where there is one."""
    own_goals: bool = False
    """Goals are the environment's own `desired_goal`, made a state by steering `hand` there; else
    they are states that play reaches."""
    threshold: float = 0.0
    """Largest distance to the goal that counts as success, in units of what is measured; 0: the
    environment's own `distance_threshold`."""
    displacement: float = 0.0
    """Least distance between start and goal; 0: the threshold."""
    proprio: tuple[str, ...] = ()
    """Which numbers of the observation the robot measures of itself: `0:3+9:11`; empty: all."""
    hand: str = ""
    """What the first three numbers of an action displace, measured as in `goal`; play then visits
    waypoints with it and shoves what `goal` measures. Empty: play is smooth noise."""
    step: float = 0.05
    """How far an action of 1 displaces the hand in a control step [m]."""
    low: tuple[float, ...] = ()
    """Lower corner of the box of waypoints [m]; empty: 0.2 m around where the hand starts."""
    high: tuple[float, ...] = ()
    """Upper corner of the box of waypoints [m]."""
    make: dict[str, Any] = field(default_factory=dict)
    """Arguments of the environment's own constructor, in text `make.mode=data_collection`."""

    def __post_init__(self) -> None:
        """Raises WrapError where a setting is out of its range."""
        if self.frameskip < 1:
            raise WrapError(f"frameskip must be at least 1, got {self.frameskip}")
        for name in ("control_dt", "threshold", "displacement", "distance", "fovy"):
            if getattr(self, name) < 0:
                raise WrapError(f"{name} must be at least 0, got {getattr(self, name)}")
        if self.step <= 0:
            raise WrapError(f"step must be above 0, got {self.step}")
        for name in ("lookat", "low", "high"):
            if len(getattr(self, name)) not in {0, 3}:
                raise WrapError(f"{name} takes x+y+z, got {getattr(self, name)}")
        if self.bounds and not (len(self.bounds) == 2 and self.bounds[0] < self.bounds[1]):
            raise WrapError(f"bounds takes lowest+highest, such as -1+1, got {self.bounds}")


def split_id(env_id: str) -> tuple[str, str]:
    """An id and the settings behind it: `Id-v0?camera=front` is `Id-v0` and `camera=front`."""
    name, _, settings = env_id.partition("?")
    return name, settings


def with_settings(config: WrapConfig, text: str) -> WrapConfig:
    """A config with the settings of a text in place of its own.

    Args:
        config: where nothing is said.
        text: `name=value` pairs separated by commas.

    Raises:
        WrapError: if a name is unknown, lists those that exist; or if a value does not fit.

    >>> with_settings(WrapConfig(), "camera=front,frameskip=2").frameskip
    2
    """
    kinds = {item.name: type(item.default) for item in fields(WrapConfig) if item.name != "make"}
    numbers = {"lookat", "low", "high", "bounds"}
    changes: dict[str, Any] = {}
    make = dict(config.make)
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = part.partition("=")
        if name.startswith(MAKE):
            make[name.removeprefix(MAKE)] = _plain(value)
            continue
        if name not in kinds:
            known = ", ".join([*sorted(kinds), f"{MAKE}NAME"])
            raise WrapError(f"no setting {name!r} of a wrapped environment; there are: {known}")
        changes[name] = _value(name, value, kinds[name], name in numbers)
    return replace(config, **changes, make=make)


def _value(name: str, text: str, kind: type, numbers: bool) -> object:
    """A setting as the type that its default has."""
    try:
        if kind is tuple:
            parts = text.split("+")
            return tuple(float(part) for part in parts) if numbers else tuple(parts)
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        value: object = kind(text)
    except (ValueError, KeyError):
        what = (
            "numbers such as 1+2+3"
            if numbers
            else "true or false"
            if kind is bool
            else kind.__name__
        )
        raise WrapError(f"setting {name} takes {what}, got {text!r}") from None
    return value


def _plain(text: str) -> object:
    """A number, `true`, `false` or `null` as JSON reads them, else the text itself."""
    try:
        value: object = json.loads(text)
    except ValueError:
        return text
    return value
