"""What people see of an episode: the whole scene, with what the agent sees in its corner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goalsight.environments import Env, task_of
from goalsight.report.pixels import Frames, with_inset

if TYPE_CHECKING:
    from goalsight_envs.cameras import Overview

SIDE = 384
"""Height and width of a picture for people [pixels]."""


class Stage:
    """Draws an episode of the arm scene for people; nothing of it reaches the agent."""

    def __init__(self, world: Env) -> None:
        """Draw this environment; the GL context is made with the first picture."""
        self._task = task_of(world)
        self._overview: Overview | None = None

    def now(self, seen: Frames) -> Frames:
        """(384, 384, 3) the scene as it is, `seen` (H, W, 3) in the corner."""
        return with_inset(self._eye().see(self._task.data), seen)

    def goal(self, shown: Frames) -> Frames:
        """(384, 384, 3) the goal state, the goal image `shown` (H, W, 3) in the corner."""
        return with_inset(self._eye().see(self._task.goal_data), shown)

    def close(self) -> None:
        """Free the GL context."""
        if self._overview is not None:
            self._overview.close()

    def _eye(self) -> Overview:
        from goalsight_envs.cameras import Overview

        if self._overview is None:  # after the reset: textures are uploaded as they are then
            self._overview = Overview(self._task.model, SIDE)
        return self._overview


def stage_of(world: Env) -> Stage | None:
    """The stage of a task of the arm scene; None for an environment of another package."""
    from goalsight_envs.base import ArmEnv

    return Stage(world) if isinstance(world.unwrapped, ArmEnv) else None
