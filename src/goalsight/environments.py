"""The one way to make an environment, whoever asks for it: collecting, benchmark or a plan.

And what it offers beyond Gymnasium's interface.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import gymnasium
import numpy as np
from numpy.typing import NDArray

from goalsight.errors import UserError

if TYPE_CHECKING:
    from goalsight_envs.base import ArmEnv
    from goalsight_envs.factors import Factors

Env = gymnasium.Env[dict[str, NDArray[Any]], NDArray[np.float32]]


def make_env(
    env_id: str,
    *,
    size: int = 64,
    observe_pixels: bool = True,
    draw_goals: bool = True,
    cameras: Sequence[str] = (),
    factors: Factors = None,
    redraw: bool = False,
) -> Env:
    """A task of the arm scene, or an environment of another package, wrapped.

    Args:
        env_id: Gymnasium id, `module:Name-v0` for one of another package.
        size: height and width of its pictures [pixels].
        observe_pixels: whether observations hold them; `render()` works either way.
        draw_goals: whether a wrapped environment draws a goal at a reset that gives it none.
        cameras: what it shows, the main camera first; empty for its own choice.
        factors: what varies between its episodes; the arm scene's tasks alone have any.
        redraw: whether looks vary within an episode, too.

    Raises:
        UserError: if there is no such environment, camera or factor, the message lists those that
            exist, or it cannot be wrapped.
    """
    from goalsight_envs.foreign import WrapError, make

    try:
        return make(
            env_id,
            size=size,
            observe_pixels=observe_pixels,
            draw_goals=draw_goals,
            cameras=cameras,
            factors=factors,
            redraw=redraw,
        )
    except WrapError as error:
        raise UserError(str(error)) from error


def as_trained(env_id: str, card: Mapping[str, Any]) -> str:
    """The id with the settings that a checkpoint's dataset was collected with.

    A model knows the pictures it was trained on: another camera would be another world.

    Args:
        env_id: as the user gave it; its own settings stand.
        card: of the checkpoint.

    >>> as_trained("m:Id-v0", {"dataset": {"env": "m:Id-v0?camera=front"}})
    'm:Id-v0?camera=front'
    """
    trained = str(card.get("dataset", {}).get("env", ""))
    return trained if trained.partition("?")[0] == env_id else env_id


def task_of(env: Env) -> ArmEnv:
    """The task inside its wrappers: solver states, goal image, distances."""
    return cast("ArmEnv", env.unwrapped)
