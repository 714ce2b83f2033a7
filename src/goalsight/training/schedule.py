"""The learning rate as a function of how far the run is, whichever limit it runs into first."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """AdamW with linear warm-up and cosine annealing to zero."""

    lr: float = 3e-3
    """Largest learning rate."""
    weight_decay: float = 1e-4
    """Decoupled weight decay."""
    warmup_steps: int = 100
    """Steps over which the learning rate grows to `lr`."""

    def __post_init__(self) -> None:
        if not (self.lr > 0 and self.weight_decay >= 0 and self.warmup_steps >= 0):
            raise ValueError(
                "lr must be above 0, weight_decay and warmup_steps at least 0, got "
                f"{self.lr}, {self.weight_decay} and {self.warmup_steps}"
            )


def run_progress(
    step: int, max_steps: float, elapsed_s: float = 0.0, max_time_s: float | None = None
) -> float:
    """How much of a run is over: the larger share of its steps and of its time.

    Args:
        step: optimiser steps done.
        max_steps: steps the run may take; infinite for no limit.
        elapsed_s: training time so far, that before a resume included [s].
        max_time_s: training time the run may take [s]; None for no limit.

    Returns:
        In [0, 1].

    >>> run_progress(10, 100), run_progress(10, 100, elapsed_s=30.0, max_time_s=60.0)
    (0.1, 0.5)
    """
    share = step / max_steps if max_steps > 0 else 1.0
    if max_time_s is not None:
        share = max(share, elapsed_s / max_time_s if max_time_s > 0 else 1.0)
    return min(1.0, share)


def learning_rate_scale(step: int, progress: float, warmup_steps: int) -> float:
    """Factor on the learning rate: a cosine of the progress, ramped up at the start.

    Following progress and not steps, a run that its time limit ends is annealed all the same.

    Args:
        step: optimiser steps done.
        progress: of the run, in [0, 1].
        warmup_steps: length of the ramp.

    Returns:
        In [0, 1]; 0 at progress 1.

    >>> learning_rate_scale(0, 0.0, warmup_steps=4), learning_rate_scale(50, 0.5, warmup_steps=4)
    (0.25, 0.5)
    """
    warmth = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    return warmth * 0.5 * (1.0 + math.cos(math.pi * progress))
