"""What every diagnostic looks at: encoded frames, what the model imagined, and the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from goalsight.data import Windows
from goalsight.errors import UserError
from goalsight.models import WorldModel
from goalsight.progress import Progress, silent

MEMORY_LIMIT = 2 * 2**30
"""Latents of up to this many bytes are kept; large token grids get fewer windows."""
FRAMES_AT_ONCE = 256
"""Frames encoded in one call."""


@dataclass(frozen=True)
class Latents:
    """Latents of N windows, on the CPU. Frame 0 is the present, frame b is b action blocks later.

    Raises:
        ValueError: if the fields disagree in windows, blocks or the shape of a latent.
    """

    encoded: Tensor
    """(N, H+1, P, D) what the encoder makes of the recorded frames."""
    imagined: Tensor
    """(N, H, P, D) open-loop predictions of frames 1 to H from the recorded actions."""
    labels: dict[str, Tensor]
    """name -> (N, H+1, d) simulator truth as `state.*` and proprio as `proprio.*`, SI units."""
    episodes: Tensor
    """(N,) episode of each window."""

    def __post_init__(self) -> None:
        count, frames, *latent = self.encoded.shape
        wanted = (count, frames - 1, *latent)
        if tuple(self.imagined.shape) != wanted or self.encoded.ndim != 4:
            raise ValueError(
                f"encoded {tuple(self.encoded.shape)} needs imagined {wanted}, got "
                f"{tuple(self.imagined.shape)}"
            )
        if self.episodes.shape != (count,):
            raise ValueError(f"{count} windows need ({count},) episodes, got {self.episodes.shape}")
        for name, values in self.labels.items():
            if values.ndim != 3 or values.shape[:2] != (count, frames):
                raise ValueError(
                    f"label {name!r} must be ({count}, {frames}, d), got {tuple(values.shape)}"
                )

    @property
    def blocks(self) -> int:
        """H, action blocks imagined."""
        return self.imagined.shape[1]


@torch.no_grad()
def imagine(
    model: WorldModel,
    windows: Windows,
    *,
    blocks: int,
    count: int = 1000,
    seed: int = 0,
    memory_limit: int = MEMORY_LIMIT,
    progress: Progress = silent,
) -> Latents:
    """Encode windows of a dataset and imagine them from their present frame on.

    One pass serves every diagnostic: `probe`, `collapse` and `drift` are functions
    of its result.

    Args:
        model: in evaluation mode, on any device.
        windows: of T >= `blocks` + 1 frames, `blocks` of them after the present; the frames before
            the present are history for models that look back. Models are compared on the same
            predictions if T and `seed` are the same.
        blocks: H, action blocks to imagine; 0 only encodes.
        count: windows to take, at random and without repetition; all there are if fewer.
        seed: of the choice.
        memory_limit: bytes of latents to keep at most; fewer windows are taken if need be.
        progress: told how many windows are done.

    Raises:
        ValueError: if the windows are too short or cut at another frameskip than the model's.
        UserError: if the model encodes or predicts something that is not a number.
    """
    size = 4 * (2 * blocks + 1) * model.patches * model.latent_dim
    chosen = _choose(len(windows), min(count, memory_limit // size), seed)
    step = max(1, FRAMES_AT_ONCE // (blocks + 1))
    parts = []
    for start in range(0, len(chosen), step):
        parts.append(_imagine_batch(model, windows, chosen[start : start + step], blocks))
        progress(min(start + step, len(chosen)), len(chosen))
    return Latents(
        encoded=torch.cat([part.encoded for part in parts]),
        imagined=torch.cat([part.imagined for part in parts]),
        labels={name: torch.cat([part.labels[name] for part in parts]) for name in parts[0].labels},
        episodes=torch.cat([part.episodes for part in parts]),
    )


def _choose(available: int, count: int, seed: int) -> list[int]:
    """Indices of the windows to look at, at least one, in the order of the dataset."""
    order = np.random.default_rng(seed).permutation(available)
    return sorted(order[: max(1, count)].tolist())


def _imagine_batch(model: WorldModel, windows: Windows, indices: list[int], blocks: int) -> Latents:
    """The latents of one batch of windows."""
    clip = windows.__getitems__(indices)
    now = clip.length - 1 - blocks
    if now < 0:
        raise ValueError(
            f"{blocks} blocks need windows of at least {blocks + 1} frames, got {clip.length}"
        )
    if clip.length > 1 and clip.frameskip != model.config.frameskip:
        raise ValueError(
            f"the model takes blocks of {model.config.frameskip} control steps, the windows are "
            f"cut at {clip.frameskip}"
        )
    device = next(model.buffers()).device
    there = clip.to(device)
    z = model.encode(there.frames)
    imagined = z[:, :0]
    if blocks:
        past = there.actions[:, :now] if now else None
        plans = there.actions[:, None, now:]
        context, known = z[:, : now + 1], there.proprio[:, : now + 1]
        imagined = model.rollout(context, plans, past, known)[:, 0]
    labels = {f"state.{name}": values for name, values in windows.truth(indices).items()}
    names = windows.dataset.provenance.proprio_names
    labels |= {f"proprio.{n}": clip.proprio[..., i : i + 1] for i, n in enumerate(names)}
    if not (z.isfinite().all() and imagined.isfinite().all()):
        raise UserError(
            "the model makes latents that are not numbers; its training diverged: train it again "
            "with a smaller --optimiser.lr"
        )
    return Latents(
        encoded=z[:, now:].float().cpu(),
        imagined=imagined.float().cpu(),
        labels={name: values[:, now:].float() for name, values in labels.items()},
        episodes=torch.tensor([windows.locate(index)[0] for index in indices]),
    )
