"""What a wrapped environment says of itself: bounds, time, proprio; and how it is seeded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from goalsight_envs.foreign.config import WrapConfig
from goalsight_envs.foreign.errors import WrapError
from goalsight_envs.foreign.measures import indices

Array = NDArray[np.float64]


def bounds(env: gym.Env[Any, Any], config: WrapConfig) -> tuple[Array, Array]:
    """(A,) lowest and highest action: the space's own, else those of the settings.

    Raises:
        WrapError: if the action space is no Box, or unbounded and the settings say nothing.
    """
    space = env.action_space
    if not isinstance(space, spaces.Box):
        raise WrapError(f"goalsight plans actions in a Box, this environment has {space}")
    low, high = (np.asarray(bound, np.float64).ravel() for bound in (space.low, space.high))
    if config.bounds:
        low = np.where(np.isfinite(low), low, config.bounds[0])
        high = np.where(np.isfinite(high), high, config.bounds[1])
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise WrapError(
            "the action space has no bounds; say how large actions are, for example with "
            "bounds=-1+1 behind the id (in a program WrapConfig(bounds=(-1, 1)))"
        )
    return low, high


def seconds(env: gym.Env[Any, Any]) -> float:
    """Seconds of one step of the environment, as far as it says.

    Raises:
        WrapError: if it does not.
    """
    inner: Any = env.unwrapped
    for name in ("dt", "control_dt", "control_timestep"):
        value = getattr(inner, name, None)
        value = value() if callable(value) else value
        if isinstance(value, float) and value > 0:
            return value
    rate = env.metadata.get("render_fps")
    if rate:
        return 1.0 / float(rate)
    raise WrapError("the environment does not say how long a step is; add control_dt=SECONDS")


def proprio(config: WrapConfig, width: int) -> NDArray[np.int64]:
    """Indices of the observation that are proprio; none where it has no numbers."""
    if config.proprio:
        return indices(config.proprio, width)
    return np.arange(width)


@contextmanager
def seeded_globals(seed: int) -> Iterator[None]:
    """NumPy's global generator seeded, for environments that draw from it, and put back after."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
