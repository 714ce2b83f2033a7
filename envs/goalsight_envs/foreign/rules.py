"""When a goal counts as reached: a distance between measurements, and a threshold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goalsight_envs.foreign.config import WrapConfig
from goalsight_envs.foreign.errors import WrapError

Array = NDArray[np.float64]


class GoalRules:
    """Euclidean distance of what is measured, and success within a threshold of it."""

    config: WrapConfig
    _threshold: float

    @property
    def success_threshold(self) -> float:
        """Largest distance to the goal that counts as success.

        Raises:
            WrapError: if nobody has said it.
        """
        if not self._threshold:
            raise WrapError(
                "nobody says how near a goal counts as reached; add threshold=NUMBER to the "
                "settings of the wrapped environment"
            )
        return self._threshold

    @property
    def min_displacement(self) -> float:
        """Distance a benchmark pair must at least ask for."""
        return max(self.config.displacement, self.success_threshold)

    def goal_distance(self, achieved: Array, desired: Array) -> Array:
        """(*B,) Euclidean distance of (*B, G) measured goals from (*B, G) desired ones."""
        return np.asarray(np.linalg.norm(np.subtract(achieved, desired), axis=-1))

    def succeeded(self, achieved: Array, desired: Array) -> NDArray[np.bool_]:
        """(*B,) whether (*B, G) measured goals are within the threshold of (*B, G) desired ones."""
        return np.asarray(self.goal_distance(achieved, desired) <= self.success_threshold)

    def is_goal(self, goal: Array) -> bool:
        """Whether a (G,) measurement may be a goal: any may."""
        return True

    def compute_reward(self, achieved_goal: Array, desired_goal: Array, info: object) -> Array:
        """(*B,) 0 where (*B, G) goals are fulfilled, else -1."""
        return np.asarray(self.succeeded(achieved_goal, desired_goal), np.float64) - 1.0
