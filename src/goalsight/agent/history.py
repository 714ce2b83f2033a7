"""What an agent remembers of an episode."""

from __future__ import annotations

from collections import deque

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from goalsight.errors import CheckpointError


class History:
    """What a model that looks back needs of the last frames: latents, proprio, blocks between."""

    def __init__(self, frames: int) -> None:
        """Remember this many frames, the present one included."""
        self.frames = frames
        self._latents: deque[Tensor] = deque(maxlen=frames)
        self._proprio: deque[Tensor | None] = deque(maxlen=frames)
        self._blocks: deque[Tensor] = deque(maxlen=frames)

    def clear(self) -> None:
        """Forget an episode."""
        for part in (self._latents, self._proprio, self._blocks):
            part.clear()

    def look(self, latent: Tensor, proprio: Tensor | None) -> None:
        """Take in the frame at the end of a block: (1, 1, P, D) and (1, 1, Q) or None."""
        self._latents.append(latent)
        self._proprio.append(proprio)

    def run(self, block: Tensor) -> None:
        """Take in the (K, A) block that runs from the last frame on."""
        self._blocks.append(block[None, None])

    def latents(self) -> Tensor:
        """(1, T, P, D), the present frame last."""
        return torch.cat(tuple(self._latents), dim=1)

    def past(self) -> Tensor | None:
        """(1, T-1, K, A) blocks between the frames; None for a single frame."""
        wanted = len(self._latents) - 1
        return torch.cat(tuple(self._blocks)[-wanted:], dim=1) if wanted else None

    def proprio(self) -> Tensor | None:
        """(1, T, Q), or None for models that do not see it."""
        known = [row for row in self._proprio if row is not None]
        return torch.cat(known, dim=1) if known else None


def read_picture(picture: NDArray[np.uint8], size: int) -> Tensor:
    """(1, 1, 3, H, W) uint8 frames of a picture (H, W, 3).

    Raises:
        ValueError: if it is of another size than the model's.
    """
    if picture.dtype != np.uint8 or picture.shape != (size, size, 3):
        raise ValueError(
            f"this agent sees uint8 pictures of ({size}, {size}, 3), got {picture.dtype} "
            f"{picture.shape}"
        )
    return rearrange(torch.from_numpy(np.array(picture)), "h w c -> 1 1 c h w")


def read_proprio(proprio: NDArray[np.float32], wanted: int, name: str) -> Tensor | None:
    """(1, 1, Q) proprio for models that see it, None for others.

    Args:
        proprio: what the robot measures.
        wanted: Q of the model; 0 for models that do not see it.
        name: of the checkpoint, for messages.

    Raises:
        CheckpointError: if it has another width than in training.
    """
    if not wanted:
        return None
    if np.shape(proprio) != (wanted,):
        raise CheckpointError(
            f"checkpoint {name} sees {wanted} numbers of proprio, the robot measures "
            f"{np.size(proprio)}; train on data of this robot, or with --proprio false"
        )
    return torch.from_numpy(np.array(proprio, np.float32))[None, None]
