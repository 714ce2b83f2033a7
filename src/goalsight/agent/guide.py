"""What an agent with a memory aims at now."""

from __future__ import annotations

import torch
from torch import Tensor

from goalsight.memory import Memory, Segment, SubgoalConfig, SubgoalFinder, search_for


class Guide:
    """Chooses an agent's sub-goals and stays with a segment that is being followed."""

    def __init__(self, memory: Memory, config: SubgoalConfig, device: torch.device) -> None:
        """Search a memory that fits the agent's model.

        Args:
            memory: of recorded latents.
            config: how far to aim.
            device: of the agent.
        """
        self.memory_sha256 = memory.sha256()
        self._search = search_for(memory, device)
        self._finder = SubgoalFinder(memory, config, self._search)
        self._goal: Tensor | None = None
        self.segment: Segment | None = None
        """The segment being followed; None while the goal itself is aimed at."""

    def clear(self) -> None:
        """Forget an episode."""
        self.segment = None

    def aim(self, now: Tensor, goal: Tensor) -> Tensor:
        """(1, P, D) what to plan to from the present latent (1, P, D), on the way to a goal."""
        if self._goal is None or not torch.equal(goal, self._goal):
            self._finder.set_goals(goal)
            self._goal, self.segment = goal, None
        aim = self._finder.aim(now, (self.segment,))
        self.segment = aim.segments[0]
        return aim.latents

    def first_aims(self, now: Tensor, goals: Tensor) -> Tensor:
        """(B, P, D) what to plan to first in B episodes (B, P, D); its own one is left as it is."""
        finder = SubgoalFinder(self._finder.memory, self._finder.config, self._search)
        finder.set_goals(goals)
        return finder.aim(now).latents
