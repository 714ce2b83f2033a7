"""Policies for environments that nobody here wrote: smooth noise, and waypoints of a hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from goalsight_envs.foreign.errors import WrapError

if TYPE_CHECKING:
    from goalsight_envs.foreign.env import ForeignEnv

Array = NDArray[np.float64]
Action = NDArray[np.float32]


class Acting(Protocol):
    """A policy, as in `goalsight_envs.policies`."""

    def reset(self) -> None:
        """Forget the last episode."""

    def act(self) -> Action:
        """(A,) action in [-1, 1]."""


@dataclass(frozen=True, kw_only=True)
class PlayConfig:
    """What play of a foreign environment is made of."""

    steps: tuple[int, int] = (5, 25)
    """Shortest and longest segment, control steps."""
    strength: tuple[float, float] = (0.2, 1.0)
    """Range of the stationary standard deviation of smooth noise, drawn for a segment."""
    correlation: tuple[float, float] = (0.7, 0.97)
    """Range of what is left of the noise after one control step (Ornstein-Uhlenbeck)."""
    hold: float = 0.1
    """Share of segments without any command."""
    speed: tuple[float, float] = (0.2, 1.0)
    """Of a hand on its way to a waypoint, as a share of the largest action."""
    jitter: float = 0.15
    """Standard deviation of the noise on such a way."""
    shove: float = 0.6
    """Share of a hand's segments that go through what is measured, where that is not the hand."""
    reach: float = 0.2
    """Half the edge of the box of waypoints where the settings give none [m]."""


class NoisePlay:
    """Ornstein-Uhlenbeck noise whose strength and memory change, with pauses: knows nothing."""

    def __init__(
        self, env: ForeignEnv, rng: np.random.Generator, config: PlayConfig | None = None
    ) -> None:
        """Take the width of an action from `env`, draw everything from `rng`."""
        self._width = (env.action_space.shape or (0,))[0]
        self.rng, self.config = rng, config or PlayConfig()
        self.reset()

    def reset(self) -> None:
        """Begin with fresh noise."""
        self._left = 0
        self._value = np.zeros(self._width)

    def act(self) -> Action:
        """(A,) action in [-1, 1]."""
        cfg, rng = self.config, self.rng
        if self._left <= 0:
            self._left = int(rng.integers(*cfg.steps, endpoint=True))
            self._strength = 0.0 if rng.random() < cfg.hold else rng.uniform(*cfg.strength)
            self._memory = rng.uniform(*cfg.correlation)
        self._left -= 1
        spread = self._strength * np.sqrt(1.0 - self._memory**2)
        self._value = self._memory * self._value + rng.normal(0.0, 1.0, self._width) * spread
        return np.clip(self._value, -1.0, 1.0).astype(np.float32)


class WaypointPlay:
    """The hand visits random places, and passes through what is measured; the rest is noise."""

    def __init__(
        self, env: ForeignEnv, rng: np.random.Generator, config: PlayConfig | None = None
    ) -> None:
        """Steer the hand of `env`, draw everything from `rng`."""
        self.env, self.rng, self.config = env, rng, config or PlayConfig()
        self._noise = NoisePlay(env, rng, self.config)
        self.reset()

    def reset(self) -> None:
        """Begin with a fresh segment; the box is laid around where the hand is now."""
        self._noise.reset()
        start, given = self.env.hand_position(), self.env.config
        reach = self.config.reach
        self._low = np.array(given.low) if given.low else start - reach
        self._high = np.array(given.high) if given.high else start + reach
        self._way: list[Array] = []
        self._left = 0

    def act(self) -> Action:
        """(A,) action in [-1, 1]."""
        hand = self.env.hand_position()
        if self._left <= 0 or not self._way:
            self._new_segment()
        self._left -= 1
        action = self._noise.act().astype(np.float64)
        if not self._way:
            return action.astype(np.float32)
        offset = (self._way[0] - hand) / self.env.config.step
        if np.abs(offset).max() < 0.4:
            self._way.pop(0)
        action[:3] = offset * min(1.0, self._speed / max(np.abs(offset).max(), 1e-9))
        action[:3] += self.rng.normal(0.0, self.config.jitter, 3)
        return np.clip(action, -1.0, 1.0).astype(np.float32)

    def _new_segment(self) -> None:
        cfg, rng = self.config, self.rng
        self._left = int(rng.integers(*cfg.steps, endpoint=True))
        self._speed = rng.uniform(*cfg.speed)
        self._way = []
        if rng.random() < cfg.hold:
            return
        thing = self._thing()
        if thing is None or rng.random() > cfg.shove:
            self._way = [rng.uniform(self._low, self._high)]
            return
        angle = rng.uniform(-np.pi, np.pi)
        along = np.array([np.cos(angle), np.sin(angle), 0.0])
        from_, to = thing - 0.1 * along, thing + rng.uniform(0.0, 0.15) * along
        from_, to = (np.clip(place, self._low, self._high) for place in (from_, to))
        above = np.clip(np.add(from_, [0.0, 0.0, 0.1]), self._low, self._high)
        self._way = [above, from_, to]
        self._left += 2 * cfg.steps[1]

    def _thing(self) -> Array | None:
        """(3,) where something is that the hand can shove, or None."""
        measured = self.env.achieved()
        if measured.size != 3 or np.allclose(measured, self.env.hand_position(), atol=1e-3):
            return None
        return measured


class ServoExpert:
    """The hand straight to a place: proportional control."""

    def __init__(
        self, env: ForeignEnv, rng: np.random.Generator, desired: Array | None = None
    ) -> None:
        """Steer the hand of `env` to a (3,) place, by default to the goal; nothing is random."""
        self.env, self._desired = env, desired

    def reset(self) -> None:
        """Nothing to forget."""

    def act(self) -> Action:
        """(A,) action toward the place, everything but the hand still."""
        desired = self.env.desired if self._desired is None else self._desired
        action = np.zeros(self.env.action_space.shape or (), np.float32)
        offset = (desired - self.env.hand_position()) / self.env.config.step
        action[:3] = np.clip(offset, -1.0, 1.0)
        return action


def make_play(env: ForeignEnv, rng: np.random.Generator) -> Acting:
    """Waypoints where the settings name a hand, else smooth noise."""
    return WaypointPlay(env, rng) if env.config.hand else NoisePlay(env, rng)


def make_expert(env: ForeignEnv, rng: np.random.Generator) -> Acting:
    """The expert where bringing the hand to the goal is all there is to do.

    Raises:
        WrapError: if it is not.
    """
    if not has_expert(env):
        raise WrapError(
            "this environment has no expert; leave the row expert out, or collect with "
            "--policy play or --policy module:function"
        )
    return ServoExpert(env, rng)


def has_expert(env: ForeignEnv) -> bool:
    """Whether the hand is what is measured."""
    hand = env.config.hand
    return bool(hand) and (hand == env.config.goal or env.config.own_goals)
