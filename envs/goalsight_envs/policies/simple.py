"""What a policy is, and the two that do not look: random actions and standing still."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from goalsight_envs.base import ArmEnv
from goalsight_envs.foreign import ForeignEnv

Action = NDArray[np.float32]


class Policy(Protocol):
    """Something that acts on the environment it was made for."""

    def reset(self) -> None:
        """Forget the last episode; call after `env.reset`."""

    def act(self) -> Action:
        """(4,) float32 action in [-1, 1] for the environment's present state."""


class RandomPolicy:
    """Independent uniform actions: the floor of every table."""

    def __init__(self, env: ArmEnv | ForeignEnv, rng: np.random.Generator) -> None:
        """Draw from `rng`; `env` only tells how wide an action is."""
        self._width, self._rng = env.action_space.shape, rng

    def reset(self) -> None:
        """Nothing to forget."""

    def act(self) -> Action:
        """(4,) uniform in [-1, 1]."""
        return self._rng.uniform(-1.0, 1.0, self._width).astype(np.float32)


class HoldPolicy:
    """The zero action: what doing nothing scores."""

    def __init__(self, env: ArmEnv | ForeignEnv, rng: np.random.Generator) -> None:
        """Take the width of an action from `env`; `rng` is not used."""
        self._action = np.zeros(env.action_space.shape or (), np.float32)

    def reset(self) -> None:
        """Nothing to forget."""

    def act(self) -> Action:
        """(4,) zeros."""
        return self._action.copy()
