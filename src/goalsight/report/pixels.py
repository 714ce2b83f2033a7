"""Choosing and enlarging frames: what the filmstrip, the video and the page share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

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


def enlarge(picture: Frames, side: int) -> Frames:
    """A picture whose shorter side is at least `side` pixels, smoothly interpolated.

    Args:
        picture: (H, W, 3) uint8.
        side: least side of the result [pixels]; a larger picture stays as it is.

    Returns:
        (H', W', 3) uint8 of the same shape to rounding.
    """
    height, width = picture.shape[:2]
    least = min(height, width)
    if least >= side:
        return picture
    size = (round(width * side / least), round(height * side / least))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def with_inset(picture: Frames, small: Frames, *, share: float = 0.3) -> Frames:
    """A picture with a small one, its pixels kept hard, in the lower right corner.

    Args:
        picture: (H, W, 3) uint8.
        small: (h, w, 3) uint8.
        share: of the picture's width that the small one takes, rounded to a whole factor of it.

    Returns:
        (H, W, 3) uint8.
    """
    factor = max(1, round(share * picture.shape[1] / small.shape[1]))
    inset = small.repeat(factor, axis=0).repeat(factor, axis=1)
    framed = np.pad(inset, ((2, 0), (2, 0), (0, 0)), constant_values=255)
    height, width = (min(a, b) for a, b in zip(framed.shape[:2], picture.shape[:2], strict=True))
    shown = picture.copy()
    shown[-height:, -width:] = framed[:height, :width]
    return shown


def spread(length: int, count: int) -> NDArray[np.int64]:
    """Indices of at most `count` frames out of `length`, evenly spaced, both ends included.

    >>> spread(51, 6).tolist(), spread(3, 6).tolist(), spread(5, 1).tolist()
    ([0, 10, 20, 30, 40, 50], [0, 1, 2], [0])
    """
    return np.linspace(0, length - 1, min(count, length)).round().astype(np.int64)
