"""The environment a benchmark runs on, and what it offers beyond Gymnasium's interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import gymnasium
import numpy as np
from numpy.typing import NDArray

from goalsight.errors import UserError

if TYPE_CHECKING:
    from goalsight_envs.base import ArmEnv

Env = gymnasium.Env[dict[str, NDArray[Any]], NDArray[np.float32]]


def make_env(env_id: str, *, size: int = 64, observe_pixels: bool) -> Env:
    """An environment of the arm scene.

    Args:
        env_id: Gymnasium id.
        size: height and width of its pictures [pixels].
        observe_pixels: whether observations hold them; `render()` works either way.

    Raises:
        UserError: if the id is that of some other environment.
    """
    import goalsight_envs  # noqa: F401  (registers the environments, chooses the GL backend)

    try:
        return gymnasium.make(
            env_id, size=size, observe_pixels=observe_pixels, disable_env_checker=True
        )
    except TypeError as error:  # it does not take these arguments
        known = ", ".join(sorted(name for name in gymnasium.registry if "Goalsight/" in name))
        raise UserError(
            f"{env_id} is no task of the arm scene ({error}); there are: {known}"
        ) from None


def task_of(env: Env) -> ArmEnv:
    """The task inside its wrappers: solver states, goal image, distances."""
    return cast("ArmEnv", env.unwrapped)
