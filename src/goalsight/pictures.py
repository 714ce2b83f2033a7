"""Pictures at a model's size: the same way in training and in acting."""

from __future__ import annotations

import torch
from torch import Tensor


def resize(frames: Tensor, size: int) -> Tensor:
    """Resize pictures with an antialiased bilinear filter; the same size gives them back.

    Args:
        frames: (N, H, W, C) uint8.
        size: new height and width [pixels].

    Returns:
        (N, size, size, C) uint8.
    """
    if frames.shape[1:3] == (size, size):
        return frames
    planes = frames.permute(0, 3, 1, 2).float()
    resized = torch.nn.functional.interpolate(
        planes, (size, size), mode="bilinear", antialias=True, align_corners=False
    )
    return resized.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def centre_square(frames: Tensor) -> Tensor:
    """(N, H, W, C) pictures to the (N, S, S, C) square in their middle, S the shorter side.

    >>> centre_square(torch.arange(8).reshape(1, 2, 4, 1)).flatten().tolist()
    [1, 2, 5, 6]
    """
    height, width = frames.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return frames[:, top : top + side, left : left + side]
