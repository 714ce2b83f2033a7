"""Latents of a frozen encoder, computed once: every frame is in many windows and many epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from goalsight.clip import Clip
from goalsight.data import Windows
from goalsight.models import WorldModel
from goalsight.progress import progress_bar

MEMORY_LIMIT = 4 * 2**30
"""Latents of up to this many bytes are kept in memory."""
CHUNK = 64
"""Frames encoded at a time."""


@dataclass(frozen=True)
class EncodedClip(Clip):
    """A clip whose frames were encoded before."""

    latents: Tensor
    """(*B, T, P, D) float32."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> EncodedClip:
        """The same clip on another device; its frames stay, nobody looks at them any more."""
        return EncodedClip(
            self.frames,
            self.actions.to(device, non_blocking=non_blocking),
            self.proprio.to(device, non_blocking=non_blocking),
            self.latents.to(device, non_blocking=non_blocking),
        )


def latents_of(model: WorldModel, clip: Clip) -> Tensor:
    """Latents (*B, T, P, D) of a clip, encoded now unless they were before."""
    return clip.latents if isinstance(clip, EncodedClip) else model.encode(clip.frames)


def worth_remembering(model: WorldModel, windows: Windows, frames: float) -> bool:
    """Whether encoding every frame once is less work, and its result fits into memory.

    Args:
        model: with a frozen encoder.
        windows: to train on.
        frames: that the run will look at, all its steps together.
    """
    size = 4 * windows.total_rows * model.patches * model.latent_dim
    has_weights = any(True for _ in model.encoder.parameters())  # pixels as they are have none
    return has_weights and windows.total_rows < frames and size <= MEMORY_LIMIT


@torch.no_grad()
def latent_variance(model: WorldModel, windows: Windows, frames: int = 512) -> float:
    """Variance over frames of the latents, averaged over patches and dimensions.

    What an energy is measured in: 1 for latents that a batch norm made, far less for layer-normed
    patches of which most show an empty table.

    Args:
        model: in any mode; its batch statistics are left alone.
        windows: of the training data.
        frames: to look at, evenly spread; all there are if fewer.
    """
    rows = np.linspace(0, windows.total_rows - 1, min(frames, windows.total_rows)).astype(np.int64)
    device, training = next(model.parameters()).device, model.training
    model.eval()
    chunks = [rows[at : at + CHUNK][None] for at in range(0, len(rows), CHUNK)]
    z = torch.cat([model.encode(windows.pictures(chunk).to(device))[0] for chunk in chunks])
    model.train(training)
    return float(z.float().var(0).mean()) if len(z) > 1 else 1.0


class EncodedWindows(torch.utils.data.Dataset[Clip]):
    """Windows whose clips carry their latents."""

    def __init__(self, windows: Windows, model: WorldModel) -> None:
        """Encode all frames, in float32 whatever the run's precision is.

        Args:
            windows: of frames.
            model: whose encoder stays as it is, on any device.
        """
        self._windows = windows
        self._latents = encode_all(windows, model)

    def __len__(self) -> int:
        """Number of windows."""
        return len(self._windows)

    def __getitems__(self, indices: Sequence[int]) -> EncodedClip:
        """Windows as one clip (B, ...).

        Raises:
            IndexError: if there is no such window.
        """
        clip = self._windows.__getitems__(indices)
        latents = self._latents[torch.from_numpy(self._windows.rows(indices))]
        return EncodedClip(clip.frames, clip.actions, clip.proprio, latents)


@torch.no_grad()
def encode_all(windows: Windows, model: WorldModel) -> Tensor:
    """Latents of all frames of some episodes; a bar shows if it takes long.

    Args:
        windows: of those episodes, one after another.
        model: whose encoder stays as it is, on any device, in evaluation mode.

    Returns:
        (rows, P, D) float32 on the CPU.
    """
    device, total = next(model.parameters()).device, windows.total_rows
    latents = torch.empty(total, model.patches, model.latent_dim)
    with progress_bar("Encoding", "frames") as report:
        for at in range(0, total, CHUNK):
            rows = np.arange(at, min(at + CHUNK, total))[None]
            latents[at : at + CHUNK] = model.encode(windows.pictures(rows).to(device))[0]
            report(min(at + CHUNK, total), total)
    return latents
