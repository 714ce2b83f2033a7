"""Windows that know where their episode went on to: what a goal-conditioned loss needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from goalsight.clip import Clip
from goalsight.data import Windows


@dataclass(frozen=True)
class GoalClip(Clip):
    """A window and a picture that the same episode reached after it."""

    goal: Tensor
    """(B, 1, C, H, W) uint8 RGB."""
    time: Tensor
    """(B,) float32 control steps from frame 0 to the goal, at least as many as the window has."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> GoalClip:
        """The same clip on another device."""
        clip = super().to(device, non_blocking=non_blocking)
        return GoalClip(
            clip.frames,
            clip.actions,
            clip.proprio,
            self.goal.to(device, non_blocking=non_blocking),
            self.time.to(device, non_blocking=non_blocking),
        )


class GoalWindows(torch.utils.data.Dataset[Clip]):
    """Windows with a goal each, drawn anew at every look.

    The draw is a function of seed and of the batch alone: a resumed run draws what it would have.
    """

    def __init__(self, windows: Windows, furthest: int, seed: int) -> None:
        """Give windows goals.

        Args:
            windows: of at least two frames.
            furthest: control steps from a window's first frame to the furthest goal; the end of
                the episode where that is nearer.
            seed: of the goals.
        """
        self._windows, self._furthest, self._seed = windows, furthest, seed
        self._last = windows.last_rows

    def __len__(self) -> int:
        """Number of windows."""
        return len(self._windows)

    def __getitems__(self, indices: Sequence[int]) -> GoalClip:
        """Windows as one clip (B, ...).

        Raises:
            IndexError: if there is no such window.
        """
        clip = self._windows.__getitems__(indices)
        rows = self._windows.rows(indices)
        first, least = rows[:, 0], rows[:, -1] - rows[:, 0]
        room = np.maximum(least, np.minimum(self._last[first] - first, self._furthest))
        draw = np.random.default_rng([self._seed, *indices]).random(len(first))
        ahead = least + (draw * (room - least + 1)).astype(np.int64)
        return GoalClip(
            clip.frames,
            clip.actions,
            clip.proprio,
            self._windows.pictures((first + ahead)[:, None]),
            torch.from_numpy(ahead.astype(np.float32)).to(clip.actions.device),
        )
