"""Choosing and enlarging frames: what the filmstrip, the video and the page share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]


def check_frames(frames: Frames, goal: Frames | None) -> None:
    """Refuse what is not a stack of pictures with a goal of the same size.

    Args:
        frames: (T, H, W, 3) uint8.
        goal: (H, W, 3) uint8, (G, H, W, 3) several, or None.

    Raises:
        ValueError: naming the shape that came.
    """
    if frames.ndim != 4 or frames.shape[0] == 0 or frames.shape[-1] != 3:
        raise ValueError(f"frames must be (T, H, W, 3) with T >= 1, got {frames.shape}")
    if frames.dtype != np.uint8 or (goal is not None and goal.dtype != np.uint8):
        raise ValueError("frames and goal must be uint8 RGB")
    if goal is not None and (goal.ndim not in {3, 4} or goal.shape[-3:] != frames.shape[1:]):
        raise ValueError(
            f"goal must have the size of the frames, {frames.shape[1:]}, got {goal.shape}; "
            "render both at one size"
        )


def enlarge(pictures: Frames, factor: int) -> Frames:
    """Repeat every pixel: (..., H, W, 3) becomes (..., factor H, factor W, 3)."""
    return pictures.repeat(factor, axis=-3).repeat(factor, axis=-2)


def spread(length: int, count: int) -> NDArray[np.int64]:
    """Indices of at most `count` frames out of `length`, evenly spaced, both ends included.

    >>> spread(51, 6).tolist(), spread(3, 6).tolist(), spread(5, 1).tolist()
    ([0, 10, 20, 30, 40, 50], [0, 1, 2], [0])
    """
    return np.linspace(0, length - 1, min(count, length)).round().astype(np.int64)
