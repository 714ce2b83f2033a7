"""A tiny environment of goalsight's kind: a square of light that actions push around."""

from __future__ import annotations

import os
import time
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

Array = NDArray[Any]


class SquareEnv(gym.Env[dict[str, Any], Array]):
    """A bright square on a dark ground; two action axes move it."""

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  (as Gymnasium declares it)
    control_dt = 0.1
    camera = "front"
    renderer = "numpy"
    action_names: ClassVar[list[str]] = ["dx", "dy"]
    proprio_names: ClassVar[list[str]] = ["x", "y", "speed"]

    def __init__(self, size: int = 16) -> None:
        self.size = size
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.observation_space = spaces.Dict(
            {
                "pixels": spaces.Box(0, 255, (size, size, 3), np.uint8),
                "observation": spaces.Box(-np.inf, np.inf, (3,), np.float32),
            }
        )

    def reset(
        self, *, seed: int | None = None, options: object = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.position = self.np_random.uniform(0.2, 0.8, 2)
        self.colour = self.np_random.integers(100, 255, 3)
        self.speed = 0.0
        return self._observe(), {}

    def step(self, action: Array) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        before = self.position
        self.position = np.clip(before + 0.1 * np.asarray(action), 0, 1)
        self.speed = float(np.linalg.norm(self.position - before))
        solved = bool(np.linalg.norm(self.position - 0.5) < 0.1)
        return self._observe(), 0.0, False, False, {"is_success": solved}

    def truth(self) -> dict[str, Any]:
        return {
            "square": self.position.astype(np.float32),
            "speed": np.array([self.speed], np.float32),
        }

    def _observe(self) -> dict[str, Any]:
        pixels = np.full((self.size, self.size, 3), 30, np.uint8)
        half = self.size // 4
        x, y = (self.position * (self.size - half)).astype(int)
        pixels[y : y + half, x : x + half] = self.colour
        proprio = np.array([*self.position, self.speed], np.float32)
        return {"pixels": pixels, "observation": proprio}


class Wander:
    def __init__(self, env: gym.Env[Any, Any], rng: np.random.Generator) -> None:
        self._space, self._rng = env.action_space, rng

    def reset(self) -> None:
        pass

    def act(self) -> Array:
        return self._rng.uniform(-1, 1, 2).astype(np.float32)


def make_policy(name: str, env: gym.Env[Any, Any], rng: np.random.Generator) -> Wander:
    return Wander(env, rng)


class SlowEnv(SquareEnv):
    """Slow enough to be interrupted."""

    def step(self, action: Array) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        time.sleep(0.004)
        return super().step(action)


class FragileEnv(SquareEnv):
    """Takes its whole process down in the middle of an episode."""

    def step(self, action: Array) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        os._exit(9)


class GoalEnv(SquareEnv):
    """The square shall go to the middle; the goal image shows it there."""

    def goal_image(self) -> Array:
        here, self.position = self.position, np.array([0.5, 0.5])
        image: Array = self._observe()["pixels"]
        self.position = here
        return image


class Centring:
    """A policy that knows where the middle is: straight there, or straight away from it."""

    def __init__(self, away: bool) -> None:
        self._sign = -1.0 if away else 1.0
        self.begun: list[tuple[Array, int]] = []

    def reset(self, goal: Array, seed: int) -> None:
        self.begun.append((goal, seed))

    def act(self, observation: dict[str, Any]) -> Array:
        step = self._sign * (0.5 - observation["observation"][:2])
        action: Array = np.clip(10 * step, -1, 1).astype(np.float32)
        return action


class Lowering:
    """A policy of the arm that goes one way, whatever it is shown: to the left and down."""

    def reset(self, goal: Array, seed: int) -> None:
        assert goal.any()

    def act(self, observation: dict[str, Any]) -> Array:
        assert observation["pixels"].any()
        return np.array([0.0, -1.0, 0.0, 0.0], np.float32)


def lowers() -> Lowering:
    return Lowering()


def toward() -> Centring:
    return Centring(away=False)


def away() -> Centring:
    return Centring(away=True)


gym.register(id="Fake/Square-v0", entry_point="fake_env:SquareEnv")
gym.register(id="Fake/Slow-v0", entry_point="fake_env:SlowEnv")
gym.register(id="Fake/Fragile-v0", entry_point="fake_env:FragileEnv")
gym.register(id="Fake/Goal-v0", entry_point="fake_env:GoalEnv")
