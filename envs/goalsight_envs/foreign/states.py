"""Going back: the full solver state where MuJoCo has one, else a seed and the actions since.

Either is a vector of fixed length that fits a manifest, and restoring it repeats the future.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

from goalsight_envs.foreign.errors import WrapError
from goalsight_envs.foreign.measures import flat

Array = NDArray[np.float64]
OBSERVERS = ("_get_obs", "compute_observation", "get_obs", "_get_observation")
"""Methods by which environments look at their simulation again, by no standard."""
HISTORY = 200
"""Control steps after a reset that a replayed state reaches at most."""
PARTS = int(mujoco.mjtState.mjSTATE_INTEGRATION)
"""Everything MuJoCo's next step depends on: also time, mocap bodies and equality constraints."""


class States(Protocol):
    """Where an environment is, as a vector."""

    kind: str
    """`mujoco` or `replay`."""

    def read(self) -> Array:
        """(S,) where the environment is."""

    def write(self, state: Array) -> object:
        """Bring it there; returns what it observes then."""


def observer(env: Any, seen: object) -> Callable[[], Any] | None:  # noqa: ANN401
    """The method by which an environment looks again without a step, if it has one.

    Args:
        env: without wrappers.
        seen: an observation as a reset gives it; one that wrappers changed cannot be had again.
    """
    for name in OBSERVERS:
        method = getattr(env, name, None)
        if callable(method):
            try:
                again = method()
            except TypeError:  # it wants arguments: another method of that name
                continue
            return method if _alike(again, seen) else None
    return None


def _alike(a: object, b: object) -> bool:
    """Whether two observations have the same form."""
    same = a.keys() == b.keys() if isinstance(a, dict) and isinstance(b, dict) else True
    return same and type(a) is type(b) and flat(a).shape == flat(b).shape


def has_mujoco(env: Any) -> bool:  # noqa: ANN401
    """Whether an environment without wrappers holds a MuJoCo simulation of the official kind."""
    model, data = getattr(env, "model", None), getattr(env, "data", None)
    return isinstance(model, mujoco.MjModel) and isinstance(data, mujoco.MjData)


def refresh(env: Any) -> None:  # noqa: ANN401
    """Bring positions, velocities and forces up to date with the joints.

    `mj_step` leaves them one substep behind, and environments that compute the next command from
    them would act differently after a restored state than without the interruption.
    """
    state = np.empty(mujoco.mj_stateSize(env.model, PARTS))
    mujoco.mj_getState(env.model, env.data, state, PARTS)
    mujoco.mj_forward(env.model, env.data)
    mujoco.mj_rnePostConstraint(env.model, env.data)
    mujoco.mj_setState(env.model, env.data, state, PARTS)  # the warm start is as it was


class MujocoStates:
    """The full solver state of an environment that keeps nothing else."""

    kind = "mujoco"

    def __init__(self, env: Any, look: Callable[[], Any]) -> None:  # noqa: ANN401
        """Read and write the simulation of an environment without wrappers.

        Args:
            env: what holds the simulation.
            look: how it observes without a step.
        """
        self._env, self._look = env, look

    def read(self) -> Array:
        """(S,) full solver state."""
        state = np.empty(mujoco.mj_stateSize(self._env.model, PARTS))
        mujoco.mj_getState(self._env.model, self._env.data, state, PARTS)
        return state

    def write(self, state: Array) -> object:
        """Set the simulation; returns the observation."""
        env = self._env
        mujoco.mj_setState(env.model, env.data, state, PARTS)
        refresh(env)
        return self._look()


class ReplayStates:
    """A seed and the actions since, played again: exact wherever a reset with a seed is."""

    kind = "replay"

    def __init__(
        self, width: int, begin: Callable[[int], Any], act: Callable[[Array], Any]
    ) -> None:
        """Replay by functions of the wrapper.

        Args:
            width: A, numbers of an action.
            begin: resets with a seed, returns the observation.
            act: runs one control step, returns the observation.
        """
        self._width, self._begin, self._act = width, begin, act
        self.seed = 0
        """Of the last reset."""
        self.actions: list[Array] = []
        """(A,) actions since then."""
        self.repeats = True
        """Whether that repeats what happened."""

    def read(self) -> Array:
        """(2 + HISTORY A,): seed, number of actions, actions, zeros.

        Raises:
            WrapError: if more control steps were taken than a state holds, or none repeats.
        """
        if not self.repeats:
            raise WrapError(
                "two resets of this environment with one seed differ, so that no state can be gone "
                "back to; let reset(seed=seed) call super().reset(seed=seed) and draw from "
                "self.np_random alone"
            )
        if len(self.actions) > HISTORY:
            raise WrapError(
                f"this environment can only be replayed, and for {HISTORY} control steps at most"
            )
        state = np.zeros(2 + HISTORY * self._width)
        state[:2] = self.seed, len(self.actions)
        if self.actions:
            played = np.concatenate(self.actions)
            state[2 : 2 + played.size] = played
        return state

    def write(self, state: Array) -> object:
        """Reset and play again; returns the observation."""
        seed, count = int(state[0]), int(state[1])
        observation = self._begin(seed)
        for action in state[2 : 2 + count * self._width].reshape(count, self._width):
            observation = self._act(action)
        return observation
