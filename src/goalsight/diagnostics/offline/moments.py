"""Recorded moments: what was seen, what was done next, and where that led."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from goalsight.clip import Clip
from goalsight.data import Windows
from goalsight.diagnostics.context import EvalContext
from goalsight.diagnostics.energy import encode_frames


@dataclass(frozen=True)
class Moments:
    """N held-out windows with their latents; the goal is the last frame of each."""

    clip: Clip
    """(N, T) frames; `now` is the frame a plan begins at."""
    z: Tensor
    """(N, T, P, D) their latents, on the model's device."""
    now: int
    """Frame a plan begins at."""
    episodes: Tensor
    """(N,) episode of each."""

    @property
    def blocks(self) -> int:
        """H, action blocks from now to the goal."""
        return self.clip.length - 1 - self.now

    @property
    def plans(self) -> Tensor:
        """(N, H, K, A) what was done."""
        return self.clip.actions[:, self.now :]

    def history(self, index: int) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """What a model looks back at: (1, T', P, D) latents, (1, T'-1, K, A) blocks, proprio."""
        seen = slice(index, index + 1)
        latents = self.z[seen, : self.now + 1]
        past = self.clip.actions[seen, : self.now] if self.now else None
        return latents, past, self.clip.proprio[seen, : self.now + 1]

    def picture(self, index: int, frame: int) -> NDArray[np.uint8]:
        """(H, W, 3) one frame of a moment as an agent's camera shows it; -1 is the goal's."""
        return self.clip.frames[index, frame].permute(1, 2, 0).cpu().numpy()


@torch.inference_mode()
def gather_moments(subject: EvalContext, blocks: int, count: int, seed: int) -> Moments:
    """Held-out moments, drawn without replacement.

    Args:
        subject: model and dataset.
        blocks: H, action blocks to the goal.
        count: moments; all there are if fewer.
        seed: of the choice.

    Raises:
        DatasetError: if no held-out episode is long enough.
    """
    windows: Windows = subject.windows(subject.split.held_out, blocks)
    order = np.random.default_rng(seed).permutation(len(windows))
    chosen = np.sort(order[:count]).tolist()
    device = next(subject.model.parameters()).device
    clip = windows.__getitems__(chosen).to(device)
    return Moments(
        clip=clip,
        z=encode_frames(subject.model, clip.frames),
        now=clip.length - 1 - blocks,
        episodes=torch.tensor([windows.locate(index)[0] for index in chosen]),
    )
