"""Two tiny environments that know nothing of goalsight: one draws with NumPy, one is MuJoCo's."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

Array = NDArray[Any]


class DotEnv(gym.Env[Array, Array]):
    """A dot on a plane; its actions are velocities of up to 2, its picture is wider than high."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None, lazy: float = 0.0) -> None:
        self.render_mode, self.lazy = render_mode, lazy
        self.action_space = spaces.Box(-2.0, 2.0, (2,), np.float32)
        self.observation_space = spaces.Box(-1.0, 1.0, (3,), np.float64)
        self.steps = 0

    def reset(
        self, *, seed: int | None = None, options: Any = None
    ) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = self.np_random.uniform(-0.5, 0.5, 2)
        self.steps = 0
        return self._look(), {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), action
        self.steps += 1
        self.place = np.clip(self.place + 0.05 * (1.0 - self.lazy) * action, -1.0, 1.0)
        return self._look(), 0.0, False, False, {"success": bool(self.place[0] > 0)}

    def render(self) -> Array:
        picture = np.full((40, 60, 3), 20, np.uint8)
        row, column = (np.array([19.0, 19.0]) * (self.place + 1)).astype(int)
        picture[row : row + 3, column + 10 : column + 13] = (250, 80, 30)
        return picture

    def _look(self) -> Array:
        return np.array([*self.place, float(self.steps)])


XML = """
<mujoco>
  <option timestep="0.01"/>
  <worldbody>
    <light pos="0 0 3"/>
    <camera name="above" pos="0 0 1.6" fovy="50"/>
    <geom name="floor" type="plane" conaffinity="0" size="1 1 .1" rgba=".2 .2 .2 1"/>
    <site name="mark" pos=".3 .3 .1" size=".1" rgba="0 1 0 1"/>
    <body name="tip" pos="0 0 .1">
      <joint name="x" type="slide" axis="1 0 0" range="-.6 .6" limited="true" damping="2"/>
      <joint name="y" type="slide" axis="0 1 0" range="-.6 .6" limited="true" damping="2"/>
      <geom name="ball" size=".08" rgba="1 .3 .1 1" mass=".2" contype="0"/>
      <site name="hand" size=".01"/>
    </body>
  </worldbody>
  <actuator><motor joint="x" ctrlrange="-1 1"/><motor joint="y" ctrlrange="-1 1"/></actuator>
</mujoco>
"""


class BallEnv(gym.Env[dict[str, Array], Array]):
    """A ball pushed by two motors: a goal environment, as Gymnasium-Robotics writes them."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    distance_threshold = 0.1
    dt = 0.05

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.model = mujoco.MjModel.from_xml_string(XML)
        self.data = mujoco.MjData(self.model)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        box = spaces.Box(-np.inf, np.inf, (3,), np.float64)
        robot = spaces.Box(-np.inf, np.inf, (4,), np.float64)
        self.observation_space: spaces.Space[Any] = spaces.Dict(
            {"observation": robot, "achieved_goal": box, "desired_goal": box}
        )
        self.goal = np.zeros(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:] = self.np_random.uniform(-0.4, 0.4, 2)
        self.goal = np.array([*self.np_random.uniform(-0.4, 0.4, 2), 0.1])
        mujoco.mj_forward(self.model, self.data)
        return self._get_obs(), {}

    def step(self, action: Array) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        # Feedback from a position that mj_step leaves one substep behind, as real ones have it.
        self.data.ctrl[:] = action - 0.2 * self.data.body("tip").xpos[:2]
        mujoco.mj_step(self.model, self.data, nstep=5)
        return self._get_obs(), 0.0, False, False, {"is_success": False}

    def render(self) -> Array:
        raise AssertionError("with a camera goalsight draws the model itself")

    def _get_obs(self) -> dict[str, Array]:
        achieved = self.data.body("tip").xpos.copy()
        robot = np.concatenate([self.data.qpos, self.data.qvel])
        return {"observation": robot, "achieved_goal": achieved, "desired_goal": self.goal.copy()}


class ForgetfulEnv(BallEnv):
    """Its motors tire, outside the simulation: restoring MuJoCo is not enough."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.strength = 1.0
        return super().reset(seed=seed)

    def step(self, action: Array) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.strength *= 0.9
        return super().step(self.strength * action)


class ShortEnv(DotEnv):
    """Ends its episode after three steps."""

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        assert self.steps < 3, "stepped after the end"
        observation, reward, _, _, info = super().step(action)
        return observation, reward, self.steps == 3, False, info


class Circle:
    """A user's policy."""

    def __init__(self, env: Any, rng: np.random.Generator) -> None:
        self._angle, self._width = rng.uniform(0, 6), env.action_space.shape[0]

    def reset(self) -> None:
        pass

    def act(self) -> Array:
        self._angle += 0.3
        return np.array([np.cos(self._angle), np.sin(self._angle)], np.float32)[: self._width]


gym.register(id="Toy/Dot-v0", entry_point="toy_env:DotEnv", max_episode_steps=5)
gym.register(id="Toy/Ball-v0", entry_point="toy_env:BallEnv", max_episode_steps=5)
gym.register(id="Toy/Forgetful-v0", entry_point="toy_env:ForgetfulEnv")
gym.register(id="Toy/Short-v0", entry_point="toy_env:ShortEnv")
