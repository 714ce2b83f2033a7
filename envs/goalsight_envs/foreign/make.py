"""Environments by name, `module:Id-v0?setting=value`: ours as they are, any other one wrapped."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, load_env_creator

from goalsight_envs.factors import Factors
from goalsight_envs.foreign.config import WrapConfig, split_id, with_settings
from goalsight_envs.foreign.env import ForeignEnv
from goalsight_envs.foreign.errors import WrapError
from goalsight_envs.foreign.known import KNOWN
from goalsight_envs.foreign.measures import Measure

OURS = "goalsight_envs"


def wrap(
    env: gym.Env[Any, Any] | str,
    config: WrapConfig | None = None,
    *,
    size: int = 64,
    camera: str | None = None,
    frameskip: int | None = None,
    goal: str | Measure | None = None,
    threshold: float | None = None,
    fast_render: bool | None = None,
    observe_pixels: bool = True,
    draw_goals: bool = True,
) -> ForeignEnv:
    """Make any environment that renders and has a Box action space one of goalsight's.

    Args:
        env: an environment, made with `render_mode="rgb_array"`, or an id such as
            `gymnasium_robotics:FetchReach-v4`.
        config: settings; of an id that goalsight knows by default, see `foreign.known`.
        size: height and width of the pictures [pixels].
        camera: `WrapConfig.camera`.
        frameskip: `WrapConfig.frameskip`.
        goal: `WrapConfig.goal`, or a function of the environment without wrappers and its
            observation that returns the (G,) numbers a goal is about.
        threshold: `WrapConfig.threshold`.
        fast_render: `WrapConfig.fast_render`.
        observe_pixels: if False, `pixels` stays black; `render()` and `goal_image()` work.
        draw_goals: whether a reset without a goal draws one, which takes time.

    Raises:
        WrapError: if the environment has not what planning to goal images needs.

    >>> env = wrap(
    ...     gym.make("Pusher-v5", render_mode="rgb_array"), goal="body:object", threshold=0.05
    ... )  # doctest: +SKIP
    """
    if isinstance(env, str):
        env, config = _make_inner(env, config)
    known = config or KNOWN.get(env.spec.id if env.spec else "") or WrapConfig()
    given = {
        "camera": camera,
        "frameskip": frameskip,
        "threshold": threshold,
        "fast_render": fast_render,
        "goal": goal if isinstance(goal, str) else None,
    }
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return ForeignEnv(
        env,
        WrapConfig(**{**vars(known), **changes}),
        size=size,
        observe_pixels=observe_pixels,
        draw_goals=draw_goals,
        measure=None if isinstance(goal, str) else goal,
    )


def is_foreign(env_id: str) -> bool:
    """Whether an id names an environment that must be wrapped: it knows no `size` of pictures.

    Args:
        env_id: `Id-v0` or `module:Id-v0`, with or without settings.

    Raises:
        WrapError: if there is no such module or environment; the message lists those that exist.
    """
    return "size" not in _arguments(_spec(env_id))


def make(
    env_id: str,
    *,
    size: int,
    observe_pixels: bool = True,
    draw_goals: bool = True,
    cameras: Sequence[str] = (),
    factors: Factors = None,
    redraw: bool = False,
) -> gym.Env[Any, Any]:
    """An environment of goalsight's kind, or any other one wrapped.

    Args:
        env_id: `Id-v0` or `module:Id-v0`; what must be wrapped may have settings behind it.
        size: height and width of the pictures [pixels].
        observe_pixels: whether observations hold them.
        draw_goals: whether a wrapped environment draws a goal at every reset.
        cameras: what it shows, the main camera first; empty for its own choice.
        factors: what varies between its episodes; None for nothing.
        redraw: whether looks vary within an episode, too.

    Raises:
        WrapError: if there is no such environment, it cannot be wrapped, or it has no such cameras
            or factors.
    """
    wanted = {"cameras": cameras, "factors": factors, "redraw": redraw}
    asked: dict[str, Any] = {name: value for name, value in wanted.items() if value}
    if is_foreign(env_id):
        if asked:
            raise WrapError(f"{env_id} is wrapped: it takes no {' and no '.join(asked)}")
        try:
            return wrap(env_id, size=size, observe_pixels=observe_pixels, draw_goals=draw_goals)
        except WrapError as error:
            raise WrapError(f"{split_id(env_id)[0]}: {error}") from error
    name, settings = split_id(env_id)
    if settings:
        raise WrapError(f"{name} is goalsight's own and takes no settings behind its id")
    spec = _spec(name)
    given: dict[str, Any] = {"size": size}
    if not observe_pixels and "observe_pixels" in _arguments(spec):
        given["observe_pixels"] = False
    try:
        return gym.make(spec.id, max_episode_steps=-1, disable_env_checker=True, **given, **asked)
    except (ValueError, TypeError) as error:
        if not asked:
            raise
        raise WrapError(f"{env_id} with {', '.join(asked)}: {error}") from error


def add_setting(env_id: str, setting: str) -> str:
    """An id with one more setting behind it: `Id-v0` and `fast_render=true`."""
    return f"{env_id}{',' if '?' in env_id else '?'}{setting}"


def _make_inner(env_id: str, config: WrapConfig | None) -> tuple[gym.Env[Any, Any], WrapConfig]:
    """The environment of an id and the settings for it."""
    spec = _spec(env_id)
    text = split_id(env_id)[1]
    settings = with_settings(config or KNOWN.get(spec.id) or WrapConfig(), text)
    given = dict(settings.make)
    mode = _render_mode(_creator(spec))
    try:
        if mode and "render_mode" not in given:
            with suppress(TypeError):  # a factory may pass its arguments on to what takes fewer
                return _made(spec, {**given, "render_mode": mode}), settings
        return _made(spec, given), settings
    except Exception as error:  # of whatever kind: somebody else wrote it
        reason = str(error) or type(error).__name__
        raise WrapError(f"{spec.id} cannot be made here: {reason}") from error


def _made(spec: EnvSpec, given: dict[str, Any]) -> gym.Env[Any, Any]:
    """The environment without Gymnasium's time limit."""
    return gym.make(spec.id, max_episode_steps=-1, disable_env_checker=True, **given)


def _render_mode(creator: Callable[..., Any] | None) -> str | None:
    """The mode in which what makes an environment makes one that gives pictures, if it has modes.

    A class says its modes; a function, whether it takes one.
    """
    modes = getattr(creator, "metadata", {}).get("render_modes", [])
    for mode in ("rgb_array", "rgb_array_list"):
        if mode in modes:
            return mode
    if creator is None or modes:
        return None
    parameters = inspect.signature(creator).parameters.values()
    takes = any(p.name == "render_mode" or p.kind is p.VAR_KEYWORD for p in parameters)
    return "rgb_array" if takes else None


def _spec(env_id: str) -> EnvSpec:
    """What Gymnasium knows of an id, after the import of the module it names."""
    module, _, name = split_id(env_id)[0].rpartition(":")
    try:
        importlib.import_module(module or OURS)
    except ModuleNotFoundError as error:
        if error.name not in {module, (module or OURS).split(".")[0]}:
            raise WrapError(f"{module} needs {error.name!r}, which is not here") from error
        raise WrapError(f"no module {error.name!r} for environment {env_id!r}") from None
    if name not in gym.registry:
        known = sorted(spec.id for spec in gym.registry.values() if not _comes_with_gym(spec))
        raise WrapError(f"no environment {env_id!r}; there are: {', '.join(known) or 'none'}")
    return gym.registry[name]


def _arguments(spec: EnvSpec) -> set[str]:
    """Names of the arguments that make an environment."""
    creator = _creator(spec)
    return set(inspect.signature(creator).parameters) if creator is not None else set()


def _creator(spec: EnvSpec) -> Callable[..., Any] | None:
    """What makes an environment, mostly its class."""
    entry = spec.entry_point
    return load_env_creator(entry) if isinstance(entry, str) else entry


def _comes_with_gym(spec: EnvSpec) -> bool:
    """Whether Gymnasium itself registers it: toys and compatibility shims, not worth listing."""
    entry = spec.entry_point
    home = entry if isinstance(entry, str) else getattr(entry, "__module__", "")
    return home.startswith("gymnasium.")
