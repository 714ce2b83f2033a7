"""What to collect, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from goalsight.data.collect.mix import PolicyMix
from goalsight.data.format import VideoMode

PolicyName = Literal["play", "random", "expert", "agent", "correct"]
AGENTS = frozenset({"agent", "correct"})
"""Policies in which an agent acts: it alone, or until an expert takes over."""


@dataclass(frozen=True, kw_only=True)
class CollectConfig:
    """One run of `goalsight collect`."""

    env: str
    """Gymnasium id, `module:Name-v0` for an environment of another package."""
    episodes: int
    """Episodes the dataset shall have in the end; those already there count."""
    out: Path
    """Folder of the dataset."""
    policy: str = "play"
    """Who acts: one of `PolicyName`, or `module:function` of a policy of the user's. The agent of
    `agent` and `correct` is handed to `collect`."""
    workers: int = 1
    """Processes that roll out; 1 uses this one. Changes nothing in the dataset."""
    seed: int = 0
    """Episode i depends on this and on i alone."""
    size: int = 64
    """Height and width of the frames [pixels]."""
    steps: int = 100
    """Control steps per episode."""
    video: VideoMode = "h264"
    """`h264`: an mp4 per episode; `none`: only decoded frames, no video library needed."""
    cameras: tuple[str, ...] = ()
    """What is recorded, the main camera first; empty leaves the choice to the environment."""
    factors: str | dict[str, Any] | None = None
    """What varies between episodes, as the environment's own `factors` argument takes it."""
    redraw: bool = False
    """Whether looks vary from one control step to the next, too; records have the first ones."""
    mix: PolicyMix | None = None
    """Several policies instead of one, see `load_mix`."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: if a field is out of its range.
        """
        for name, least in (("episodes", 1), ("workers", 1), ("seed", 0), ("steps", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.redraw and self.factors is None:
            raise ValueError("redraw has nothing to draw: say which factors vary, such as looks")
        if self.mix is not None and self.policy != "play":
            raise ValueError(
                f"give a policy or a mix, not both: {self.policy!r}, {self.mix.name!r}"
            )
        if not 16 <= self.size <= 1024:
            raise ValueError(f"size must be in [16, 1024] pixels, got {self.size}")
        for name, choices in (("policy", get_args(PolicyName)), ("video", get_args(VideoMode))):
            theirs = name == "policy" and ":" in self.policy
            if getattr(self, name) not in choices and not theirs:
                raise ValueError(
                    f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}"
                )


@dataclass(frozen=True, kw_only=True)
class CollectSummary:
    """What a run did."""

    path: Path
    """The dataset."""
    episodes: int
    """Episodes it has now."""
    frames: int
    """Frames it has now."""
    kept: int
    """Episodes that were there before."""
    steps: int
    """Control steps recorded by this run."""
    seconds: float
    """Time they took, from the first reset to the last commit [s]."""
    interrupted: bool
    """Whether Ctrl-C or a termination signal ended it early."""

    @property
    def steps_per_second(self) -> float:
        """Control steps per second, all workers together."""
        return self.steps / self.seconds if self.seconds > 0 else 0.0
