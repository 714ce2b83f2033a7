"""What all tasks share: arm, table, camera, and a goal environment over the full solver state."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from goalsight_envs import gl
from goalsight_envs.arm import JOINTS, Arm
from goalsight_envs.cameras import Cameras, Pixels
from goalsight_envs.factors import Factors, Variation
from goalsight_envs.placing import CONTROL_DT, CUBE_REST, substeps
from goalsight_envs.state import layout, read_state, write_state
from goalsight_envs.stepping import advance

Array = NDArray[np.float64]

ASSETS = Path(__file__).parent / "assets"


class ArmEnv(gym.Env[dict[str, NDArray[Any]], NDArray[np.float32]]):
    """A goal-image environment: reach the state shown in a picture.

    Action, (4,) float32 in [-1, 1]:

    | index | meaning | at -1 | at 1 | unit |
    |---|---|---|---|---|
    | 0, 1, 2 | fingertip displacement along x, y, z in one control step | -0.02 | 0.02 | m |
    | 3 | change of each finger's position (negative closes) | -0.01 | 0.01 | m |

    Observation, a dict:

    | key | shape, dtype | meaning | unit |
    |---|---|---|---|
    | `pixels` | (H, W, 3) uint8 | the front camera | RGB |
    | `pixels_wrist` | (H, W, 3) uint8 | the camera on the hand, if asked for | RGB |
    | `observation` | (11,) float32 | proprio: 7 joint angles, opening, fingertip x, y, z | rad, m |
    | `achieved_goal` | (G,) float64 | what the task measures now (simulator truth) | m |
    | `desired_goal` | (G,) float64 | the same in the goal state (simulator truth) | m |

    G is 3 unless the task says otherwise. Reward is 0 where the task has `succeeded`, by default
    inside `success_threshold`, else -1. An episode never terminates by itself.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    control_dt: ClassVar[float] = CONTROL_DT
    """Seconds per control step."""
    action_names: ClassVar[list[str]] = ["dx", "dy", "dz", "gripper"]
    proprio_names: ClassVar[list[str]] = [*JOINTS, "opening", "ee_x", "ee_y", "ee_z"]
    scene: ClassVar[str] = "scene.xml"
    """File of the scene in `assets/`."""
    cubes: ClassVar[tuple[str, ...]] = ("cube",)
    """Bodies of the scene's cubes; each is its own free joint."""
    drawer: ClassVar[bool] = False
    """Whether the scene has the cabinet."""
    success_threshold: ClassVar[float]
    """Largest distance to the goal that counts as success [m]."""
    min_displacement: ClassVar[float]
    """Distance a benchmark pair must at least ask for [m]."""
    play_interact: ClassVar[float] = 0.7
    """Share of waypoint play that pushes the cube somewhere, see `PlayConfig`."""

    def __init__(
        self,
        size: int = 64,
        observe_pixels: bool = True,
        render_mode: str | None = "rgb_array",
        cameras: Sequence[str] = ("front",),
        factors: Factors = None,
        *,
        redraw: bool = False,
    ) -> None:
        """Load the scene.

        Args:
            size: height and width of the pictures [pixels].
            observe_pixels: if False, `pixels` stays black (for agents that do not look);
                `render()` and `goal_image()` work all the same.
            render_mode: `rgb_array` is the only one.
            cameras: what observations show: the first is `pixels`, another one `pixels_NAME`.
            factors: what varies between episodes, see `goalsight_envs.factors`.
            redraw: whether looks vary from one control step to the next, too.

        Raises:
            ValueError: if the scene has no such camera or factor, or a factor no such value.
        """
        self.renderer = gl.select_backend()
        self.model = mujoco.MjModel.from_xml_path(str(ASSETS / self.scene))
        self.data = mujoco.MjData(self.model)
        self.goal_data = mujoco.MjData(self.model)
        self.arm = Arm(self.model)
        self.size, self.observe_pixels, self.render_mode = size, observe_pixels, render_mode
        self.cameras = Cameras(self.model, cameras, size)
        self.camera = self.cameras.names[0]
        """Name of the main camera."""
        self._variation = Variation(self.model, factors, redraw)
        self.goal_state: Array = read_state(self.model, self.data)
        """(S,) full solver state of the goal."""
        self.action_space = spaces.Box(-1.0, 1.0, (4,), np.float32)
        mujoco.mj_kinematics(self.model, self.data)
        goal = spaces.Box(-np.inf, np.inf, self.achieved(self.data).shape, np.float64)
        picture = spaces.Box(0, 255, (size, size, 3), np.uint8)
        self.observation_space: spaces.Space[Any] = spaces.Dict(
            {
                **dict.fromkeys(self.cameras.keys, picture),
                "observation": spaces.Box(-np.inf, np.inf, (11,), np.float32),
                "achieved_goal": goal,
                "desired_goal": goal,
            }
        )

    # -- what a task defines -------------------------------------------------------------------

    @abstractmethod
    def achieved(self, data: mujoco.MjData) -> Array:
        """(G,) what the task measures, its positions first [m]."""

    @abstractmethod
    def random_start(self) -> None:
        """Put the running episode into a start drawn with `np_random`."""

    @abstractmethod
    def sample_goal(self) -> Array:
        """(S,) full solver state of a goal independent of the start, drawn with `np_random`."""

    def goal_distance(self, achieved: Array, desired: Array) -> Array:
        """(*B,) how far (*B, G) measured goals are from (*B, G) desired ones [m]."""
        return np.asarray(np.linalg.norm(achieved - desired, axis=-1))

    def succeeded(self, achieved: Array, desired: Array) -> NDArray[np.bool_]:
        """(*B,) whether (*B, G) measured goals fulfil (*B, G) desired ones.

        A task that asks for more than a distance adds it here, relative to the desired goal: what
        was achieved always fulfils itself, so that hindsight relabelling holds.
        """
        return np.asarray(self.goal_distance(achieved, desired) <= self.success_threshold)

    def is_goal(self, goal: Array) -> bool:
        """Whether a (G,) measurement shows the task done, and so may be the goal of a pair."""
        return True

    # -- Gymnasium ---------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: of everything random from here on.
            options: `state` and `goal_state`, each an (S,) full solver state; what is absent is
                drawn at random. `factors`, values by name: other factors are drawn if the
                environment was made so, else nominal.

        Returns:
            Observation and info; its `factors` has the value of each factor that is not nominal.

        Raises:
            ValueError: for an unknown option, a state of another size, or a factor that cannot be.
        """
        super().reset(seed=seed)
        given = dict(options or {})
        unknown = set(given) - {"state", "goal_state", "factors"}
        if unknown:
            raise ValueError(
                f"unknown reset option {sorted(unknown)}; it takes: state, goal_state, factors"
            )
        factors = self._variation.begin(given.pop("factors", None) or {}, seed)
        states = {name: self._checked(state) for name, state in given.items()}
        if "state" in states:
            self.restore(states["state"])
        else:
            self.random_start()
        self.goal_state = states["goal_state"] if "goal_state" in states else self.sample_goal()
        write_state(self.model, self.goal_data, self.goal_state)
        return self._observation(), self._info() | {"factors": factors}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[dict[str, NDArray[Any]], float, bool, bool, dict[str, Any]]:
        """Run one control step of 0.1 s; actions outside [-1, 1] are clipped.

        Raises:
            ValueError: if the action is not (4,) or not finite.
        """
        command = np.asarray(action, np.float64)
        if command.shape != (4,) or not np.isfinite(command).all():
            raise ValueError(f"action must be 4 finite numbers, got {np.asarray(action)!r}")
        self.arm.apply(self.data, np.clip(command, -1.0, 1.0))
        advance(self.model, self.data, substeps(self.model))
        mujoco.mj_kinematics(self.model, self.data)
        self._variation.step()
        seen, info = self._observation(), self._info()
        reward = self.compute_reward(seen["achieved_goal"], seen["desired_goal"], info)
        return seen, float(reward), False, False, info

    def compute_reward(self, achieved_goal: Array, desired_goal: Array, info: object) -> Array:
        """Sparse reward of a goal environment: 0 where the goal is fulfilled, else -1.

        Args:
            achieved_goal: (*B, G) measured [m].
            desired_goal: (*B, G) desired [m].
            info: unused; part of the goal-environment contract.

        Returns:
            (*B,) rewards.
        """
        return np.asarray(self.succeeded(achieved_goal, desired_goal), np.float64) - 1.0

    def render(self) -> Pixels:
        """(H, W, 3) picture of the scene as it is."""
        return self.cameras.see(self.data)

    def close(self) -> None:
        """Free the GL context."""
        self.cameras.close()

    # -- goals, states, truth ----------------------------------------------------------------

    def goal_image(self) -> Pixels:
        """(H, W, 3) picture of the goal state; nothing in the scene marks the goal."""
        return self.cameras.see(self.goal_data)

    @property
    def cube_rest(self) -> float:
        """Height of a cube's centre when it lies on the table, half its edge [m]."""
        return float(self.model.geom(self.cubes[0]).size[2]) if self.cubes else CUBE_REST

    @property
    def state_layout(self) -> dict[str, slice]:
        """Where each part of the full solver state lies in the vector."""
        return layout(self.model)

    def solver_state(self) -> Array:
        """(S,) everything the next step depends on; restoring it repeats the future exactly."""
        return read_state(self.model, self.data)

    def restore(self, state: Array) -> None:
        """Set the full solver state (S,) of the running episode; the goal stays."""
        write_state(self.model, self.data, self._checked(state))

    def distance_between(self, a: Array, b: Array) -> float:
        """Task distance [m] between two full solver states (S,)."""
        scratch = mujoco.MjData(self.model)
        positions = []
        for state in (a, b):
            write_state(self.model, scratch, self._checked(state))
            positions.append(self.achieved(scratch))
        return float(self.goal_distance(*positions))

    def truth(self) -> dict[str, NDArray[np.float32]]:
        """Simulator truth for the dataset's `state.*` columns; never a model input."""
        named = {"ee_pos": self.arm.fingertip(self.data)}
        for name in self.cubes:
            body = self.data.body(name)
            named |= {f"{name}_pos": body.xpos, f"{name}_quat": body.xquat}
        named["opening"] = np.array([self.arm.opening(self.data)])
        if self.drawer:
            named["drawer"] = self.data.joint("drawer").qpos
        return {name: np.array(value, np.float32) for name, value in named.items()}

    # -- helpers -----------------------------------------------------------------------------

    def _checked(self, state: Array) -> Array:
        state, size = np.asarray(state, np.float64), self.goal_state.size
        if state.shape != (size,) or not np.isfinite(state).all():
            raise ValueError(
                f"a full solver state of this scene is {size} finite numbers, got shape "
                f"{state.shape}; take it from solver_state()"
            )
        return state.copy()

    def _observation(self) -> dict[str, NDArray[Any]]:
        fingertip = self.arm.fingertip(self.data)
        joints = self.data.qpos[self.arm.qpos]
        proprio = np.array([*joints, self.arm.opening(self.data), *fingertip], np.float32)
        blank = np.zeros((self.size, self.size, 3), np.uint8)
        return {
            key: self.cameras.see(self.data, name) if self.observe_pixels else blank.copy()
            for key, name in self.cameras.keys.items()
        } | {
            "observation": proprio,
            "achieved_goal": self.achieved(self.data),
            "desired_goal": self.achieved(self.goal_data),
        }

    def _info(self) -> dict[str, Any]:
        achieved, desired = self.achieved(self.data), self.achieved(self.goal_data)
        return {
            "distance": float(self.goal_distance(achieved, desired)),
            "is_success": bool(self.succeeded(achieved, desired)),
        }
