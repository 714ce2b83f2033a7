"""Sub-goals: the recorded segment that leads from near here to near the goal, and a frame on it.

A model plans well over a handful of blocks, goals are further. What was recorded knows the way:
an episode that once passed near the present and later near the goal. Aiming at its frame a few
blocks ahead keeps the score within the model's range (retrieved sub-goals, arXiv:2609.30036).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from goalsight.errors import MemoryFileError
from goalsight.memory.search import Search
from goalsight.memory.store import Memory
from goalsight.memory.ways import Ways


@dataclass(frozen=True, kw_only=True)
class SubgoalConfig:
    """How an agent with a memory chooses what to aim at."""

    aim_blocks: int = 4
    """Action blocks ahead on a recorded segment at which the sub-goal lies: as far as the model
    plans well."""
    match_radius: float = 0.5
    """Energy, in units of the latents' variance, up to which a recorded frame counts as near the
    present or near the goal."""
    step_cost: float = 0.01
    """Energy, in the same units, that one block of a longer segment costs."""
    jumps: int = 0
    """Times that the way to the goal may change from one recorded episode to another, where the
    two are near each other."""
    switch_margin: float = 0.05
    """Energy by which another segment must be better than the one being followed."""

    def __post_init__(self) -> None:
        if self.aim_blocks < 1:
            raise ValueError(f"aim_blocks must be at least 1, got {self.aim_blocks}")
        if self.jumps < 0:
            raise ValueError(f"jumps must be >= 0, got {self.jumps}")
        for name in ("match_radius", "step_cost", "switch_margin"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Part of a recorded episode that leads from near the present to near the goal."""

    episode: int
    """Which of the memory's episodes."""
    start: int
    """Row of the memory nearest to the present on it."""
    aim: int
    """Row to aim at."""
    end: int
    """Row at which it is left: near the goal, or near another episode that leads on."""
    jumps: int
    """How often the way to the goal changes episodes from here on."""
    score: float
    """Energy from the present to its start, of every change of episodes and from the last row to
    the goal, and the price of the blocks on the way."""


@dataclass(frozen=True)
class Aim:
    """What to plan to now, for each of B problems."""

    latents: Tensor
    """(B, P, D) of the sub-goal, or of the goal where that is what to aim at."""
    segments: tuple[Segment | None, ...]
    """Where each sub-goal lies; None where the goal itself is aimed at."""


class SubgoalFinder:
    """Finds segments for B problems; their goals are prepared once, see `set_goals`."""

    def __init__(self, memory: Memory, config: SubgoalConfig, search: Search) -> None:
        """Search a memory.

        Args:
            memory: that was checked against the model.
            config: what counts as near and how far to aim.
            search: over the memory's rows; its device is where things are computed.

        Raises:
            MemoryFileError: if ways may change episodes and the memory has no links.
        """
        if config.jumps and memory.links is None:
            raise MemoryFileError(
                f"jumps={config.jumps} needs a memory that knows where episodes come near each "
                "other; build it with goalsight memory build --links"
            )
        self.memory, self.config, self._search = memory, config, search
        self._goals: Tensor | None = None

    @torch.no_grad()
    def set_goals(self, goals: Tensor) -> None:
        """Prepare for new goals: one look at every row, kept until the next call.

        Args:
            goals: (B, P, D) latents of the goal images.

        Raises:
            ValueError: if they are not latents of the memory's shape.
        """
        if goals.shape[1:] != self.memory.latents.shape[1:]:
            raise ValueError(
                f"goals must be (B, {', '.join(map(str, self.memory.latents.shape[1:]))}), got "
                f"{tuple(goals.shape)}"
            )
        config, unit = self.config, self.memory.variance
        self._goals = goals
        self._ways = [
            Ways(
                self.memory,
                self._search.energy(goal) / unit,
                match_radius=config.match_radius,
                step_cost=config.step_cost,
                jumps=config.jumps,
            )
            for goal in goals.flatten(1)
        ]

    @torch.no_grad()
    def aim(self, now: Tensor, following: Sequence[Segment | None] = ()) -> Aim:
        """What to aim at from here.

        Args:
            now: (B, P, D) latents of the present frames.
            following: the segments of the last call, if a plan is under way: another one is taken
                only where it is better by `switch_margin`.

        Returns:
            A sub-goal `aim_blocks` ahead where a segment was found that long; else the goal: where
            it is that near on the segment, where no segment promises to end nearer to it than it
            is now, or where nothing near was recorded.

        Raises:
            RuntimeError: before `set_goals`.
            ValueError: if there are not as many problems as goals.
        """
        if self._goals is None:
            raise RuntimeError("no goals yet: call set_goals(goals) first")
        if now.shape != self._goals.shape:
            raise ValueError(f"{tuple(self._goals.shape)} goals, got {tuple(now.shape)} presents")
        kept = list(following) or [None] * len(now)
        segments = tuple(
            self._segment(problem, latent, kept[problem])
            for problem, latent in enumerate(now.flatten(1))
        )
        latents = [
            goal if segment is None else self._search.rows[segment.aim].reshape(goal.shape)
            for goal, segment in zip(self._goals, segments, strict=True)
        ]
        return Aim(torch.stack(latents), segments)

    def _segment(self, problem: int, now: Tensor, kept: Segment | None) -> Segment | None:
        """The best segment of one problem, or None where the goal is what to aim at."""
        config = self.config
        rows, energy = self._candidates(now, kept)
        energy = energy / self.memory.variance
        ways = self._ways[problem]
        score = energy + ways.to_go[-1, rows]
        score = torch.where(energy <= config.match_radius, score, torch.inf)
        favoured = score
        if kept is not None:
            on_it = (rows >= kept.start) & (rows < kept.end)
            favoured = torch.where(on_it, score - config.switch_margin, score)
        best = int(favoured.argmin())
        assert self._goals is not None, "checked by `aim`"
        direct = (now - self._goals[problem].flatten()).square().mean() / self.memory.variance
        if not score[best] < direct:
            return None
        start = int(rows[best])
        aim, end, jumps = ways.walk(start, config.aim_blocks * self.memory.rows_per_block)
        if aim is None:
            return None
        return Segment(
            episode=int(ways.episode[start]),
            start=start,
            aim=aim,
            end=end,
            jumps=jumps,
            score=float(score[best]),
        )

    def _candidates(self, now: Tensor, kept: Segment | None) -> tuple[Tensor, Tensor]:
        """Rows near the present, in order, and those of the segment being followed."""
        rows, energy = self._search.near(now)
        if kept is None or len(rows) == self.memory.rows:
            return rows, energy
        rows = torch.cat((rows, torch.arange(kept.start, kept.end, device=rows.device)))
        return rows, self._search.energy(now, rows)
