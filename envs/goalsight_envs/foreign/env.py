"""The adapter: what collecting, planning and the benchmark ask of an environment, for any other."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from goalsight_envs.foreign.config import WrapConfig
from goalsight_envs.foreign.errors import WrapError, WrapWarning
from goalsight_envs.foreign.goals import draw_goal
from goalsight_envs.foreign.inner import bounds, proprio, seconds, seeded_globals
from goalsight_envs.foreign.measures import Measure, default_measure, flat, measure_of
from goalsight_envs.foreign.pictures import Pixels, camera_for
from goalsight_envs.foreign.rules import GoalRules
from goalsight_envs.foreign.states import (
    MujocoStates,
    ReplayStates,
    States,
    has_mujoco,
    observer,
    refresh,
)

Array = NDArray[np.float64]
NO_GOAL = "this episode has no goal: reset an environment that draws goals"
SAME = 1e-6
"""Largest difference after three control steps between a future and its repetition."""
BLOWN_UP = "what it observes is not finite any more; the episode ends before that"
UNREPEATABLE = (
    "two resets with one seed, or three steps after them, differ: what is collected cannot be "
    "made again, and there are no goals and no pairs; let reset(seed=seed) call "
    "super().reset(seed=seed) and draw from self.np_random alone"
)
SEEDS = 2**24
"""Seeds of the wrapped environment's resets, exact in single precision."""


class ForeignEnv(GoalRules, gym.Env[dict[str, NDArray[Any]], NDArray[np.float32]]):
    """An environment of another package with the interface of goalsight's own.

    Action, (A,) float32 in [-1, 1]: the environment's bounds, scaled. Observation, a dict:

    | key | shape, dtype | meaning |
    |---|---|---|
    | `pixels` | (H, W, 3) uint8 | the camera |
    | `observation` | (Q,) float32 | proprio: the environment's observation, or the chosen part |
    | `achieved_goal` | (G,) float64 | what is measured now |
    | `desired_goal` | (G,) float64 | the same in the goal state; without a goal, now |

    Once the environment has ended an episode, by itself or by its time limit, it stands still until
    the next reset; so it does where what it observes is not finite any more.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(
        self,
        inner: gym.Env[Any, Any],
        config: WrapConfig,
        *,
        size: int = 64,
        observe_pixels: bool = True,
        draw_goals: bool = True,
        measure: Measure | None = None,
    ) -> None:
        """Wrap an environment; see `goalsight_envs.foreign.wrap`, which chooses the settings."""
        self.inner, self.config, self.size = inner, config, size
        self._id = inner.spec.id if inner.spec else type(inner.unwrapped).__name__
        self.observe_pixels, self.draw_goals = observe_pixels, draw_goals
        self.render_mode = "rgb_array"
        self._low, self._high = bounds(inner, config)
        self._replay = ReplayStates(self._low.size, self._begin, self._act)
        self._has_mujoco, self._ended, self._info = False, False, dict[str, Any]()
        self._truncated = False
        self._look: Callable[[], Any] | None = None
        self._seen: Any = self._begin(0)
        if has_mujoco(inner.unwrapped):
            self._has_mujoco, self._look = True, observer(inner.unwrapped, self._seen)
            self._seen = self._begin(0)
        self._view = camera_for(inner, config, size)
        self.camera, self.renderer = self._view.name, self._view.renderer
        self.control_dt = config.control_dt or config.frameskip * seconds(inner)
        self.action_names = [f"action_{i}" for i in range(self._low.size)]
        self._proprio = proprio(config, flat(self._seen).size)
        self.proprio_names = [f"observation_{i}" for i in self._proprio] or ["none"]
        self._measure = measure or default_measure(config.goal, inner.unwrapped, self._seen)
        self.hand = measure_of(config.hand, inner.unwrapped, self._seen) if config.hand else None
        self._threshold = config.threshold or getattr(inner.unwrapped, "distance_threshold", 0.0)
        self._states = self._choose_states()
        self.goal_state: Array | None = None
        """(S,) state of the goal; None until one is set or drawn."""
        self._desired: Array | None = None
        self._goal_picture: Pixels | None = None
        self.action_space = spaces.Box(-1.0, 1.0, (self._low.size,), np.float32)
        goal = spaces.Box(-np.inf, np.inf, self.achieved().shape, np.float64)
        width = len(self.proprio_names)
        self.observation_space: spaces.Space[Any] = spaces.Dict(
            {
                "pixels": spaces.Box(0, 255, (size, size, 3), np.uint8),
                "observation": spaces.Box(-np.inf, np.inf, (width,), np.float32),
                "achieved_goal": goal,
                "desired_goal": goal,
            }
        )

    # -- Gymnasium ---------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Start an episode.

        Args:
            seed: of everything random from here on.
            options: `state` and `goal_state`, each an (S,) vector from `solver_state()`; what is
                absent is drawn at random, a goal only if the wrapper draws goals.

        Raises:
            WrapError: if no goal can be drawn.
        """
        super().reset(seed=seed)
        given = dict(options or {})
        if unknown := set(given) - {"state", "goal_state"}:
            raise ValueError(f"unknown reset option {sorted(unknown)}; it takes: state, goal_state")
        self.goal_state = self._desired = self._goal_picture = None
        if "state" in given:
            self.restore(given["state"])
        else:
            self._seen = self._begin(int(self.np_random.integers(SEEDS)))
        if not self._is_finite(self._seen):
            raise WrapError(
                "what the environment observes after a reset is not finite; leave those numbers "
                "out with proprio=, such as proprio=0:3"
            )
        if "goal_state" in given:
            self._show_goal(np.asarray(given["goal_state"], np.float64))
        elif self.draw_goals:
            self._show_goal(draw_goal(self, self.np_random))
        return self._observation(), self._facts()

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[dict[str, NDArray[Any]], float, bool, bool, dict[str, Any]]:
        """Run one control step; actions outside [-1, 1] are clipped.

        Raises:
            ValueError: if the action is not (A,) or not finite.
        """
        command = np.asarray(action, np.float64)
        if command.shape != self._low.shape or not np.isfinite(command).all():
            raise ValueError(
                f"action must be {self._low.size} finite numbers, got {np.asarray(action)!r}"
            )
        self.advance(command)
        info = self._facts()
        terminated = self._ended and not self._truncated
        reward = float(info["is_success"]) - 1.0
        return self._observation(), reward, terminated, self._truncated, info

    def advance(self, action: NDArray[Any]) -> None:
        """Run one control step and look at nothing; the action (A,) is clipped."""
        self._seen = self._act(np.clip(np.asarray(action, np.float64), -1.0, 1.0))

    def render(self) -> Pixels:
        """(H, W, 3) picture of the environment as it is."""
        return self._view.picture()

    def close(self) -> None:
        """Free the pictures' GL context and the environment."""
        self._view.close()
        self.inner.close()

    # -- goals, states, truth ----------------------------------------------------------------

    @property
    def pairs_by(self) -> str:
        """`mujoco`: states are full solver states; `replay`: a seed and the actions since."""
        return self._states.kind

    @property
    def own_desired(self) -> Array | None:
        """(G,) what the environment itself wants in this episode, if it says so."""
        if isinstance(self._seen, dict) and "desired_goal" in self._seen:
            return np.array(self._seen["desired_goal"], np.float64).ravel()
        return None

    @property
    def desired(self) -> Array:
        """(G,) what is measured in the goal state.

        Raises:
            WrapError: if this episode has no goal.
        """
        if self._desired is None:
            raise WrapError(NO_GOAL)
        return self._desired

    def achieved(self) -> Array:
        """(G,) what is measured now."""
        return self._measure(self.inner.unwrapped, self._seen)

    def hand_position(self) -> Array:
        """(3,) where the hand is [m].

        Raises:
            WrapError: if the settings name none.
        """
        if self.hand is None:
            raise WrapError("the settings of this environment name no hand, such as hand=site:grip")
        return self.hand(self.inner.unwrapped, self._seen)

    def goal_image(self) -> Pixels:
        """(H, W, 3) picture of the goal state.

        Raises:
            WrapError: if this episode has no goal.
        """
        if self._goal_picture is None:
            raise WrapError(NO_GOAL)
        return self._goal_picture

    def solver_state(self) -> Array:
        """(S,) everything the next step depends on; restoring it repeats the future."""
        return self._states.read()

    def restore(self, state: Array) -> None:
        """Set the state (S,) of the running episode; the goal stays."""
        self._ended = self._truncated = False
        self._seen = self._states.write(np.asarray(state, np.float64))

    def truth(self) -> dict[str, NDArray[np.float32]]:
        """Simulator truth for the dataset's `state.*` columns; never a model input."""
        named = {"achieved_goal": self.achieved()}
        if self.hand is not None:
            named["ee_pos"] = self.hand_position()
        if self._has_mujoco:
            named["qpos"] = self.inner.unwrapped.data.qpos  # type: ignore[attr-defined]
        # A picture alone says nothing that could be measured.
        return {name: np.array(v, np.float32) for name, v in named.items() if np.size(v)}

    # -- helpers -----------------------------------------------------------------------------

    def _begin(self, seed: int) -> Any:  # noqa: ANN401
        """Reset the wrapped environment; returns its observation."""
        self._replay.seed, self._replay.actions = seed, []
        self._ended = self._truncated = False
        with seeded_globals(seed):
            observation, self._info = self.inner.reset(seed=seed)
        return self._looked(observation)

    def _act(self, action: Array) -> Any:  # noqa: ANN401
        """One control step of the wrapped environment; returns its observation."""
        self._replay.actions.append(action)
        space: Any = self.inner.action_space
        command = self._low + 0.5 * (action + 1.0) * (self._high - self._low)
        observation = self._seen
        for _ in range(self.config.frameskip):
            if self._ended:
                break
            observation, _, terminated, self._truncated, self._info = self.inner.step(
                command.reshape(space.shape).astype(space.dtype)
            )
            self._ended = bool(terminated or self._truncated)
        seen = self._looked(observation)
        if self._is_finite(seen):
            return seen
        if not self._ended:
            warnings.warn(f"{self._id}: {BLOWN_UP}", WrapWarning, stacklevel=2)
        self._ended = self._truncated = True
        return self._seen

    def _is_finite(self, seen: object) -> bool:
        """Whether what models and goals are given of an observation are numbers."""
        measured = self._measure(self.inner.unwrapped, seen)
        return bool(np.isfinite([*flat(seen)[self._proprio], *measured]).all())

    def _looked(self, observation: Any) -> Any:  # noqa: ANN401
        """The observation, of a simulation whose positions are current where that can be had."""
        if self._has_mujoco:
            refresh(self.inner.unwrapped)
        return observation if self._look is None else self._look()

    def _choose_states(self) -> States:
        """MuJoCo's full solver state if restoring it repeats the future, else replay."""
        ends = [self._future(lambda: self._begin(0)) for _ in range(2)]
        self._seen = self._begin(0)
        self._replay.repeats = _alike(*ends)
        if not self._replay.repeats:
            warnings.warn(f"{self._id}: {UNREPEATABLE}", WrapWarning, stacklevel=2)
        if self._look is None:
            return self._replay
        states = MujocoStates(self.inner.unwrapped, self._look)
        start = states.read()
        ends = [self._future(lambda: states.write(start), states) for _ in range(2)]
        self._seen = self._begin(0)
        return states if _alike(*ends) else self._replay

    def _future(self, go: Callable[[], object], states: States | None = None) -> list[Array]:
        """What is to be measured at a place and three control steps later."""
        found = []
        for step in range(4):
            self._seen = go() if step == 0 else self._act(np.full(self._low.size, 0.3))
            found += [self.achieved(), flat(self._seen)]
            found += [] if states is None else [states.read()]
            found += (
                [] if flat(self._seen).size else [self._view.picture().ravel().astype(np.float64)]
            )
        return found

    def _show_goal(self, state: Array) -> None:
        """Go to the goal state, measure it and take its picture, and come back."""
        here = self.solver_state()
        self.restore(state)
        self._desired, self._goal_picture = self.achieved(), self._view.picture()
        self.goal_state = state.copy()
        self.restore(here)

    def _observation(self) -> dict[str, NDArray[Any]]:
        achieved = self.achieved()
        blank = np.zeros((self.size, self.size, 3), np.uint8)
        chosen = flat(self._seen)[self._proprio] if self._proprio.size else np.zeros(1)
        return {
            "pixels": self.render() if self.observe_pixels else blank,
            "observation": chosen.astype(np.float32),
            "achieved_goal": achieved,
            "desired_goal": np.array(achieved if self._desired is None else self._desired),
        }

    def _facts(self) -> dict[str, Any]:
        """Distance and success: toward our goal, or without one what the environment says."""
        if self._desired is None:
            said = self._info.get("is_success", self._info.get("success", False))
            return {"distance": 0.0, "is_success": bool(said)}
        distance = float(self.goal_distance(self.achieved(), self._desired))
        return {"distance": distance, "is_success": distance <= self.success_threshold}


def _alike(one: list[Array], other: list[Array]) -> bool:
    """Whether two futures are the same but for rounding."""
    a, b = np.concatenate(one), np.concatenate(other)
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=0, atol=SAME, equal_nan=True))
