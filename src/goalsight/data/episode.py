"""One recorded episode on its way from a worker to the writer; no parquet, no PyTorch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Goal:
    """What an episode of a goal-seeking policy was after, and what it is good for in hindsight."""

    image: NDArray[np.uint8] = field(compare=False)
    """(H, W, 3) the goal image it was shown."""
    is_success: bool
    """Whether the task was solved after the last action."""
    frame: int
    """Frame that the episode leads to: for a success the first of those that stayed solved, for a
    failure the last, which is what it reached instead."""


@dataclass(frozen=True)
class Episode:
    """What happened in one episode of L control steps; row t is (frame t, action t)."""

    index: int
    """Which episode of the dataset."""
    proprio: NDArray[np.float32]
    """(L, Q) what the robot measured before each action, SI units."""
    actions: NDArray[np.float32]
    """(L, A)."""
    success: NDArray[np.bool_]
    """(L,) whether the task was solved after each action."""
    frames_file: Path = field(compare=False)
    """mp4 (or npy) with the L frames, not yet in its place."""
    frames_sha256: str
    """Of that file."""
    truth: dict[str, NDArray[np.float32]]
    """Simulator truth by name, each (L, d), before each action."""
    policy: str | None = None
    """Who acted, where that differs from episode to episode."""
    origin: int | None = None
    """Index that the seed made it from, where that is not `index`."""
    goal: Goal | None = None
    """What it sought; None where the policy seeks nothing."""
    other_frames: dict[str, tuple[Path, str]] = field(default_factory=dict, compare=False)
    """File and its SHA-256 by name for cameras beside the main one."""
    factors: dict[str, Any] = field(default_factory=dict)
    """Factors of variation that were not nominal, as JSON values."""
    env: str | None = None
    """Gymnasium id, where that differs from episode to episode."""

    @property
    def length(self) -> int:
        """L."""
        return len(self.actions)
