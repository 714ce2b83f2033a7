"""Play: undirected but interesting behaviour, the training data of a world model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goalsight_envs.base import ArmEnv
from goalsight_envs.policies.motion import push_waypoint, steer
from goalsight_envs.policies.simple import Action


@dataclass(frozen=True, kw_only=True)
class PlayConfig:
    """What play is made of; docs/results/2026-11-23-demo.md says what was tried."""

    interact: float = 0.7
    """Share of segments that push the cube somewhere; the rest visit random waypoints. Each task
    names its own, see `ArmEnv.play_interact`."""
    steps: tuple[int, int] = (10, 40)
    """Shortest and longest segment, control steps."""
    speed: tuple[float, float] = (0.4, 1.0)
    """Range of the speed drawn for a segment, as a fraction of the largest step."""
    noise: float = 0.3
    """Stationary standard deviation of the action noise, in action units."""
    correlation: float = 0.7
    """What is left of the noise after one control step (Ornstein-Uhlenbeck in discrete time)."""
    open: float = 0.08
    """Share of segments with the gripper opening; a closed one pushes with a single contact."""
    hold: float = 0.05
    """Share of segments in which the arm only drifts with the noise."""


class PlayPolicy:
    """Segments of waypoints and pushes with smooth noise and random speed."""

    def __init__(
        self, env: ArmEnv, rng: np.random.Generator, config: PlayConfig | None = None
    ) -> None:
        """Drive `env`, drawing every choice from `rng`."""
        self.env, self.rng = env, rng
        self.config = config or PlayConfig(interact=env.play_interact)
        self.reset()

    def reset(self) -> None:
        """Begin with a fresh segment and fresh noise."""
        self._noise = self.rng.normal(0.0, self.config.noise, 4)
        self._new_segment()

    def act(self) -> Action:
        """(4,) action in [-1, 1]."""
        cfg = self.config
        if self._left <= 0:
            self._new_segment()
        self._left -= 1
        spread = cfg.noise * np.sqrt(1.0 - cfg.correlation**2)
        self._noise = cfg.correlation * self._noise + self.rng.normal(0.0, spread, 4)
        action = np.array([*self._towards(), self._gripper]) + self._noise
        return np.clip(action, -1.0, 1.0).astype(np.float32)

    def _new_segment(self) -> None:
        cfg, rng, arm = self.config, self.rng, self.env.arm
        self._left = int(rng.integers(*cfg.steps, endpoint=True))
        self._speed = rng.uniform(*cfg.speed)
        self._gripper = 0.7 if rng.random() < cfg.open else -0.7
        self._waypoint: NDArray[np.float64] | None = None
        self._cube_goal: NDArray[np.float64] | None = None
        kind = rng.random()
        if kind < cfg.interact:
            self._cube_goal = rng.uniform(arm.low[:2] + 0.03, arm.high[:2] - 0.03)
        elif kind < 1.0 - cfg.hold:
            self._waypoint = rng.uniform(arm.low, arm.high)

    def _towards(self) -> NDArray[np.float64]:
        target = self._waypoint
        if self._cube_goal is not None:
            target = push_waypoint(self.env, self._cube_goal)
            if target is None:
                self._left = 0
        if target is None:
            return np.zeros(3)
        return steer(self.env, target, self._speed)
