"""Plans imagined from the middle of recorded clips, and frames encoded some at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from goalsight.clip import Clip
from goalsight.data import Windows
from goalsight.errors import UserError
from goalsight.models import WorldModel

ENCODED_AT_ONCE = 256
"""Frames that pass the encoder together; bounds memory, changes no number."""


def draw_clips(model: WorldModel, windows: Windows, count: int, seed: int) -> Clip:
    """Windows drawn without replacement, as one batch on the model's device.

    Args:
        model: that will look at them.
        windows: to draw from.
        count: how many; all there are if there are fewer.
        seed: of the choice.

    Returns:
        A clip with one batch axis.
    """
    order = np.random.default_rng(seed).permutation(len(windows))
    return windows.__getitems__(np.sort(order[:count]).tolist()).to(device_of(model))


def device_of(model: WorldModel) -> torch.device:
    """Where a model's weights are."""
    return next(model.parameters()).device


def encode_frames(model: WorldModel, frames: Tensor) -> Tensor:
    """Latents of many frames, some at a time.

    Args:
        model: that encodes.
        frames: (*B, C, H, W) uint8, on any device.

    Returns:
        (*B, P, D) float32 latents on the model's device.
    """
    flat = frames.flatten(0, -4)
    parts = [
        model.encode(part[:, None].to(device_of(model)))[:, 0]
        for part in torch.split(flat, ENCODED_AT_ONCE)
    ]
    z = torch.cat(parts)
    return z.reshape(*frames.shape[:-3], *z.shape[1:])


def imagine_plans(model: WorldModel, z: Tensor, clip: Clip, now: int, plans: Tensor) -> Tensor:
    """Roll plans out from frame `now` of each clip, with the history the model looks back at.

    Args:
        model: that imagines.
        z: (*B, T, P, D) latents of the clip's frames.
        clip: batch of clips; those after `now` are not looked at.
        now: frame the plans begin at.
        plans: (*B, N, H, K, A) candidate plans.

    Returns:
        (*B, N, H, P, D) imagined latents after each block.
    """
    past = clip.actions[..., :now, :, :] if now else None
    proprio = clip.proprio[..., : now + 1, :] if model.config.proprio_dim else None
    return model.rollout(z[..., : now + 1, :, :], plans, past, proprio)


def compact(values: NDArray[np.float64]) -> list[Any]:
    """Nested lists of numbers rounded to five significant digits: what a figure needs of them."""
    exponents = np.floor(np.log10(np.maximum(np.abs(values), 1e-30)))
    scale = 10.0 ** (4 - exponents)
    rounded: list[Any] = (np.round(values * scale) / scale).tolist()
    return rounded


def require_frames(windows: Windows, wanted: int) -> None:
    """Refuse windows that are too short for a diagnostic.

    Raises:
        UserError: naming how many frames a window needs.
    """
    got = len(windows[0].frames)
    if got < wanted:
        raise UserError(f"this needs windows of {wanted} frames, got {got}; cut longer windows")
