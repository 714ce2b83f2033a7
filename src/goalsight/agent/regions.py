"""How much each patch of a token grid counts: the patches in a box, or those that must change."""

from __future__ import annotations

from math import isqrt

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from goalsight.errors import UserError

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in the model's pictures [pixels]: left, top, and one past right and bottom."""


def grid_side(patches: int) -> int:
    """Patches on a side of a square token grid.

    Raises:
        UserError: for a pooled latent, or tokens that are no square grid.
    """
    side = isqrt(patches)
    if patches == 1 or side**2 != patches:
        what = "one latent for the whole picture" if patches == 1 else f"{patches} tokens, no grid"
        raise UserError(
            f"this model has {what}; only parts of a square token grid can be masked: leave the "
            "region out, or train with --config grid"
        )
    return side


def box_weights(box: Box, image_size: int, patches: int) -> Tensor:
    """Share of each patch that lies in a box.

    Args:
        box: the region that counts.
        image_size: height and width of the pictures [pixels].
        patches: P, of a square grid, row by row.

    Returns:
        (P,) in [0, 1].

    Raises:
        UserError: if the box is empty or leaves the picture, or there is no grid.

    >>> box_weights((0, 0, 24, 16), 32, 4).tolist()
    [1.0, 0.5, 0.0, 0.0]
    """
    side = grid_side(patches)
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= image_size and 0 <= y0 < y1 <= image_size):
        raise UserError(
            f"region {x0},{y0},{x1},{y1} is no box in a picture of {image_size} x {image_size} "
            "pixels; give x0,y0,x1,y1 with x0 < x1 and y0 < y1"
        )
    edges = torch.linspace(0, image_size, side + 1)
    x, y = (_inside(edges, low, high) for low, high in ((x0, x1), (y0, y1)))
    return (y[:, None] * x).flatten()


def _inside(edges: Tensor, low: int, high: int) -> Tensor:
    """Share of each interval between edges (G+1,) that lies in [low, high]: (G,)."""
    covered = edges[1:].clamp_max(high) - edges[:-1].clamp_min(low)
    return covered.clamp_min(0) / (edges[1:] - edges[:-1])


def change_weights(start: NDArray[np.uint8], goal: NDArray[np.uint8], patches: int) -> Tensor:
    """How much each patch changes from one picture to another, the most changed one 1.

    What stays as it is says nothing of the task; where the two pictures agree everywhere, every
    patch counts the same.

    Args:
        start: (S, S, 3) first picture.
        goal: (S, S, 3) goal image.
        patches: P, of a square grid, row by row.

    Returns:
        (P,) in [0, 1].

    Raises:
        UserError: if there is no grid.
    """
    side = grid_side(patches)
    pictures = torch.from_numpy(np.stack([start, goal])).float()
    change = (pictures[1] - pictures[0]).abs().mean(-1)
    by_patch = torch.nn.functional.adaptive_avg_pool2d(change[None, None], side).flatten()
    most = by_patch.max()
    return by_patch / most if most > 0 else torch.ones_like(by_patch)
