"""What if? The same start imagined under opposite actions, shown as the nearest recorded frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from goalsight.clip import Clip
from goalsight.data import Windows
from goalsight.diagnostics.plans import draw_clips, encode_frames, imagine_plans, require_frames
from goalsight.errors import UserError
from goalsight.models import WorldModel

Pictures = NDArray[np.uint8]
Array = NDArray[np.float64]

WORDS = {
    "dx": ("far", "near"),
    "dy": ("left", "right"),
    "dz": ("down", "up"),
    "gripper": ("close", "open"),
}
"""What -1 and +1 on an action axis look like from the front camera of our tasks."""
READS = {"gripper": ("opening",)}
"""Proprio that tells what an axis did; for an axis `dx` it is `ee_x` or `x`."""


@dataclass(frozen=True, kw_only=True)
class Opposites:
    """One action axis pushed to either side, everything else at zero."""

    axis: str
    """Name of the action axis."""
    labels: tuple[str, str]
    """What the axis at -1 and at +1 is called."""
    variable: str | None
    """Proprio that should follow, SI units; None if the dataset has none we know of."""
    divergence: float
    """Latent distance between the two imagined ends, in units of the typical distance between two
    recorded frames; 0 for a model that does not see the action."""
    separation: float | None
    """Mean of `variable` in the frame nearest to the + end minus that nearest to the - end [SI]."""
    right_sign: float | None
    """Share of starts in which that difference is above 0; ties count half, .5 is chance."""


@dataclass(frozen=True, kw_only=True)
class CounterfactualReport:
    """S starts, each imagined under 2 actions an axis."""

    opposites: tuple[Opposites, ...]
    """One for each axis asked for."""
    horizon: int
    """Blocks imagined."""
    strength: float
    """Size of the action on the axis."""
    starts: Pictures
    """(S, H, W, 3) present frames."""
    nearest: Pictures
    """(S, X, 2, h, H, W, 3) recorded frame nearest to each imagined latent: X axes, - and +, h
    blocks."""
    distances: Array
    """(S, X, 2, h) latent distance to it, in units of the typical distance between two frames."""
    sources: NDArray[np.int64]
    """(S, X, 2, h, 2) its episode and control step."""

    def summary(self) -> str:
        """What was found, in a line an axis."""
        lines = []
        for pair in self.opposites:
            low, high = pair.labels
            line = (
                f"{low} against {high}: imagined ends {pair.divergence:.2f} apart (1 is two "
                "recorded frames at random)"
            )
            if pair.separation is not None and pair.right_sign is not None:
                line += (
                    f", {pair.variable} differs by {pair.separation:.3f} SI units in the nearest "
                    f"frames, the right way round in {100 * pair.right_sign:.0f} % of the starts"
                )
            lines.append(line)
        return "\n".join(lines)

    def numbers(self) -> dict[str, Any]:
        """What was found, as JSON values."""
        return {
            "horizon": self.horizon,
            "strength": self.strength,
            "starts": len(self.starts),
            "axes": [
                {
                    "axis": pair.axis,
                    "labels": list(pair.labels),
                    "variable": pair.variable,
                    "divergence": pair.divergence,
                    "separation": pair.separation,
                    "right_sign": pair.right_sign,
                    "distance_to_nearest": float(self.distances[:, i].mean()),
                }
                for i, pair in enumerate(self.opposites)
            ],
        }

    def to_json(self) -> dict[str, Any]:
        """`numbers`, and the pictures named by episode and control step."""
        return self.numbers() | {"nearest": self.sources.tolist()}


@dataclass(frozen=True)
class _Bank:
    """Recorded frames to recognise imagined latents by."""

    clip: Clip
    z: Tensor
    sources: NDArray[np.int64]
    scale: Tensor
    """() root mean square distance between two of them."""


@torch.inference_mode()
def counterfactual(
    model: WorldModel,
    windows: Windows,
    *,
    axes: tuple[str, ...] | None = None,
    horizon: int = 2,
    strength: float = 0.7,
    count: int = 64,
    bank: int = 2000,
    seed: int = 0,
) -> CounterfactualReport:
    """Imagine opposite actions from the same starts and find what the model thinks it would see.

    Args:
        model: to look into.
        windows: of at least `context` frames; starts and recorded frames come from them.
        axes: action axes; by default `dy` and `gripper`, or the first two where there are none.
        horizon: blocks imagined, each with the same action.
        strength: size of the action on the axis, in (0, 1].
        count: starts.
        bank: recorded frames to recognise imagined latents by.
        seed: of the choice of both.

    Raises:
        UserError: if an axis is not one of the dataset's, or a number makes no sense.
    """
    names = windows.dataset.provenance.action_names
    chosen = _axes(axes, names)
    if horizon < 1 or count < 1 or bank < 2 or not 0 < strength <= 1:
        raise UserError(
            f"horizon and count must be at least 1, bank at least 2 and strength in (0, 1], got "
            f"{horizon}, {count}, {bank} and {strength}"
        )
    require_frames(windows, model.config.context)
    clip = draw_clips(model, windows, count, seed)
    known = _fill_bank(model, windows, bank, seed + 1)
    plans = opposite_plans(model, [names.index(axis) for axis in chosen], horizon, strength)
    now = model.config.context - 1
    z = model.encode(clip.frames[:, : now + 1])
    batch = plans.expand(len(z), *plans.shape).to(z)
    ends = imagine_plans(model, z, clip, now, batch)
    ends = rearrange(ends, "s (x two) h p d -> s x two h p d", two=2)
    distances, indices = _nearest(ends, known)
    opposites = tuple(
        _compare(axis, ends[:, i], indices[:, i, :, -1], known, windows)
        for i, axis in enumerate(chosen)
    )
    return CounterfactualReport(
        opposites=opposites,
        horizon=horizon,
        strength=strength,
        starts=_pictures(clip.frames[:, now]),
        nearest=_pictures(known.clip.frames[:, 0][indices]),
        distances=(distances / known.scale).double().cpu().numpy(),
        sources=known.sources[indices.cpu().numpy()],
    )


def opposite_plans(model: WorldModel, axes: list[int], horizon: int, strength: float) -> Tensor:
    """Plans that hold one axis at -strength, then at +strength, for each axis.

    Returns:
        (2 X, H, K, A), the two of an axis one after the other.
    """
    config = model.config
    plans = torch.zeros(len(axes), 2, horizon, config.frameskip, config.action_dim)
    for i, axis in enumerate(axes):
        plans[i, 0, ..., axis], plans[i, 1, ..., axis] = -strength, strength
    return plans.flatten(0, 1)


def _axes(axes: tuple[str, ...] | None, names: list[str]) -> list[str]:
    if axes is None:
        return ["dy", "gripper"] if {"dy", "gripper"} <= set(names) else names[:2]
    if not axes or not set(axes) <= set(names):
        raise UserError(f"action axes are {', '.join(names)}; got {', '.join(axes) or 'none'}")
    return list(axes)


def _fill_bank(model: WorldModel, windows: Windows, size: int, seed: int) -> _Bank:
    order = np.random.default_rng(seed).permutation(len(windows))[:size]
    indices = np.sort(order).tolist()
    clip = windows.__getitems__(indices)
    z = encode_frames(model, clip.frames[:, 0])
    # For independent draws the mean squared distance is twice the summed variance.
    scale = (2 * z.flatten(1).var(0).sum()).sqrt().clamp_min(1e-12)
    sources = np.array([windows.locate(index) for index in indices], np.int64)
    return _Bank(clip, z, sources, scale)


def _nearest(z: Tensor, bank: _Bank) -> tuple[Tensor, Tensor]:
    """Distance to, and index of, the bank's frame nearest to each latent (*B, P, D)."""
    queries = z.flatten(-2).flatten(0, -2)
    found = [torch.cdist(part, bank.z.flatten(1)).min(-1) for part in torch.split(queries, 1024)]
    shape = z.shape[:-2]
    return (
        torch.cat([item.values for item in found]).reshape(shape),
        torch.cat([item.indices for item in found]).reshape(shape).cpu(),
    )


def _compare(axis: str, ends: Tensor, indices: Tensor, bank: _Bank, windows: Windows) -> Opposites:
    """What pushing one axis either way made of S starts; ends (S, 2, h, P, D), indices (S, 2)."""
    source = windows.dataset.provenance
    apart = (ends[:, 1, -1] - ends[:, 0, -1]).flatten(1).norm(dim=-1).mean() / bank.scale
    ours = source.env.startswith("Goalsight/") and axis in WORDS
    candidates = READS.get(axis, (f"ee_{axis[1:]}", axis[1:]))
    variable = next((name for name in candidates if name in source.proprio_names), None)
    separation = right_sign = None
    if variable is not None:
        column = bank.clip.proprio[:, 0, source.proprio_names.index(variable)]
        difference = column[indices[:, 1]] - column[indices[:, 0]]
        separation = float(difference.mean())
        right_sign = float(((difference > 0).float() + 0.5 * (difference == 0)).mean())
    return Opposites(
        axis=axis,
        labels=WORDS[axis] if ours else (f"{axis} -", f"{axis} +"),
        variable=variable,
        divergence=float(apart),
        separation=separation,
        right_sign=right_sign,
    )


def _pictures(frames: Tensor) -> Pictures:
    """(*B, C, H, W) to (*B, H, W, C)."""
    return np.ascontiguousarray(frames.movedim(-3, -1).cpu().numpy())
