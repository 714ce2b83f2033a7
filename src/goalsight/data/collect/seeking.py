"""Policies that look: they act on what they see, toward the picture of a goal.

Who they are this package does not know (it may not import the agent): whoever collects hands a
`Seeking` in. Each worker makes its own seeker once and shows it one goal an episode.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from goalsight.data.format import Goal
from goalsight.errors import UserError


class Seeker(Protocol):
    """Acts from observations toward a goal image."""

    def begin(self, goal: NDArray[np.uint8], seed: int) -> None:
        """Start an episode: (H, W, 3) goal image; all that is random depends on the seed."""

    def act(self, observation: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """(A,) action for `pixels` (H, W, 3) and `observation` (Q,)."""


@dataclass(frozen=True, kw_only=True)
class Seeking:
    """Who acts where the policy is `agent`; crosses process boundaries."""

    make: Callable[[], Seeker]
    """Makes a worker's seeker; must pickle."""
    facts: Mapping[str, str]
    """What makes its episodes what they are, for the provenance: checkpoint, settings."""


def goal_image_of(env: object, size: int) -> NDArray[np.uint8]:
    """(size, size, 3) picture of the goal that the environment drew at its reset.

    Raises:
        UserError: if it has none.
    """
    if not hasattr(env, "goal_image"):
        raise UserError(
            "this environment shows no goal image, so an agent has nothing to seek; collect with "
            "another --policy"
        )
    image = np.asarray(env.goal_image())
    if image.shape != (size, size, 3) or image.dtype != np.uint8:
        raise ValueError(
            f"goal image must be uint8 {(size, size, 3)}, got {image.dtype} {image.shape}"
        )
    return image


def hindsight(image: NDArray[np.uint8], success: NDArray[np.bool_]) -> Goal:
    """What an episode sought, and which of its frames it is a success for.

    Hindsight relabelling (Andrychowicz et al. 2017, arXiv:1707.01495): where it did not reach what
    it sought, it shows the way to what it reached instead, its last frame.

    Args:
        image: (H, W, 3) what it sought.
        success: (L,) whether the task was solved after each action.

    >>> hindsight(np.zeros((2, 2, 3), np.uint8), np.array([True, False, True, True, True])).frame
    3
    """
    last = len(success) - 1
    solved = bool(success[-1])
    unsolved = np.flatnonzero(~success)
    first = int(unsolved[-1]) + 1 if len(unsolved) else 0
    # Solved after action t is seen in frame t + 1.
    return Goal(image=image, is_success=solved, frame=min(first + 1, last) if solved else last)
