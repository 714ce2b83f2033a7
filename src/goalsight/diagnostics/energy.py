"""Energy landscapes: how far from what really came next, as a function of the action imagined.

A model that can be planned with has one valley, and the recorded action lies in it. The picture
is that of V-JEPA 2 (Assran et al. 2025, arXiv:2506.09985, figure of the energy landscape).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from goalsight.clip import Clip
from goalsight.data import Windows
from goalsight.energies import goal_energy
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


Array = NDArray[np.float64]

ROUNDING = 1e-4
"""Energies nearer to each other than this share are equal: float32 sums of thousands of numbers."""


@dataclass(frozen=True, kw_only=True)
class LandscapeReport:
    """Energies over two action axes, for W recorded moments."""

    axes: tuple[str, str]
    """Names of the two axes; the others stay as they were recorded."""
    horizon: int
    """Blocks imagined; the energy is that of the last."""
    values: Array
    """(G,) what an axis is set to, the mean over the blocks, in action units [-1, 1]."""
    energies: Array
    """(W, G, G) energy with the first axis at `values[i]` and the second at `values[j]`."""
    recorded: Array
    """(W, 2) mean of the recorded action on the two axes."""
    recorded_energies: Array
    """(W,) energy of the blocks exactly as they were recorded."""

    @property
    def found(self) -> Array:
        """(W, 2) where on the grid the energy is least; the centre of such places if several."""
        least = self._least()
        places = np.einsum("wij,ijc->wc", least, self._grid())
        centres: Array = places / least.sum((1, 2))[:, None]
        return centres

    @property
    def error(self) -> float:
        """Mean distance from the least energy to the recorded action [action units].

        Where several actions share it their distances are averaged, so that a model that does not
        see the action scores `chance_error`.
        """
        least = self._least()
        return float(((least * self._distances()).sum((1, 2)) / least.sum((1, 2))).mean())

    @property
    def chance_error(self) -> float:
        """The same for a grid point drawn at random: what an action-blind model scores."""
        return float(self._distances().mean())

    @property
    def correlation(self) -> tuple[float, float]:
        """Pearson correlation of found and recorded action on each axis; 0 if one is constant."""
        first, second = (
            _correlation(self.found[:, axis], self.recorded[:, axis]) for axis in (0, 1)
        )
        return first, second

    @property
    def better_than_recorded(self) -> float:
        """Mean share of the grid with less energy than the recorded action: 0 perfect, .5 chance.

        Equal energies count half, so that a model that does not see actions gets .5.
        """
        limit = self.recorded_energies[:, None, None]
        tolerance = ROUNDING * np.abs(limit)
        less = (self.energies < limit - tolerance).mean((1, 2))
        equal = (np.abs(self.energies - limit) <= tolerance).mean((1, 2))
        return float((less + equal / 2).mean())

    def summary(self) -> str:
        """What was found, in a few lines for a person."""
        first, second = self.correlation
        return (
            f"least energy is {self.error:.2f} from the recorded action (chance "
            f"{self.chance_error:.2f}, in action units)\n"
            f"correlation of the two: {self.axes[0]} {first:.2f}, {self.axes[1]} {second:.2f}\n"
            f"{100 * self.better_than_recorded:.0f} % of the other actions have less energy "
            "(50 % is chance)"
        )

    def numbers(self) -> dict[str, Any]:
        """What was found, as JSON values."""
        return {
            "axes": list(self.axes),
            "horizon": self.horizon,
            "windows": len(self.energies),
            "error": self.error,
            "chance_error": self.chance_error,
            "correlation": list(self.correlation),
            "better_than_recorded": self.better_than_recorded,
        }

    def _grid(self) -> Array:
        """(G, G, 2) the two values at each point."""
        return np.stack(np.meshgrid(self.values, self.values, indexing="ij"), -1)

    def _distances(self) -> Array:
        """(W, G, G) from each point to the recorded action."""
        distances: Array = np.linalg.norm(self._grid() - self.recorded[:, None, None], axis=-1)
        return distances

    def _least(self) -> Array:
        """(W, G, G) 1 where the energy is least, up to rounding; else 0."""
        lowest = self.energies.min((1, 2), keepdims=True)
        least: Array = (self.energies <= lowest + ROUNDING * np.abs(lowest)).astype(np.float64)
        return least

    def to_json(self) -> dict[str, Any]:
        """`numbers` and every landscape."""
        return self.numbers() | {
            "values": compact(self.values),
            "recorded": compact(self.recorded),
            "recorded_energies": compact(self.recorded_energies),
            "energies": compact(self.energies),
        }


@torch.inference_mode()
def energy_landscape(
    model: WorldModel,
    windows: Windows,
    *,
    axes: tuple[str, str] | None = None,
    horizon: int = 1,
    count: int = 64,
    grid: int = 15,
    seed: int = 0,
) -> LandscapeReport:
    """Score every combination of two action axes against the frame that was really recorded.

    Args:
        model: to look into.
        windows: of at least `context + horizon` frames.
        axes: names of two action axes; the first two by default.
        horizon: blocks between the present frame and the goal frame.
        count: recorded moments.
        grid: values an axis is set to, from -1 to 1.
        seed: of the choice of moments.

    Raises:
        UserError: if the axes are not two of the dataset's, or the windows are too short.
    """
    names = windows.dataset.provenance.action_names
    chosen = axes or (names[0], names[min(1, len(names) - 1)])
    if len(set(chosen)) != 2 or not set(chosen) <= set(names):
        raise UserError(
            f"an energy landscape needs two different action axes out of {', '.join(names)}, got "
            f"{', '.join(chosen)}"
        )
    if grid < 2 or horizon < 1 or count < 1:
        raise UserError(
            f"grid must be at least 2, horizon and count at least 1, got {grid}, {horizon} and "
            f"{count}"
        )
    require_frames(windows, model.config.context + horizon)
    clip = draw_clips(model, windows, count, seed)
    columns = [names.index(name) for name in chosen]
    values = torch.linspace(-1, 1, grid, device=clip.actions.device)
    now = model.config.context - 1
    blocks = clip.actions[:, now : now + horizon]
    energies = landscape_energies(model, clip, now, shifted_plans(blocks, columns, values))
    own = landscape_energies(model, clip, now, blocks[:, None])
    return LandscapeReport(
        axes=chosen,
        horizon=horizon,
        values=_array(values),
        energies=_array(energies).reshape(-1, grid, grid),
        recorded=_array(blocks[..., columns].mean((1, 2))),
        recorded_energies=_array(own[:, 0]),
    )


def shifted_plans(blocks: Tensor, axes: list[int], values: Tensor) -> Tensor:
    """Recorded blocks with the mean of two axes moved to every pair of values.

    Moving keeps how the action varies within a block; what leaves [-1, 1] is clipped.

    Args:
        blocks: (B, H, K, A) recorded blocks.
        axes: the two columns to move.
        values: (G,) new means.

    Returns:
        (B, G * G, H, K, A) plans; plan i * G + j has the first axis at `values[i]`, the second at
        `values[j]`.

    >>> plans = shifted_plans(torch.zeros(1, 1, 1, 3), [0, 2], torch.tensor([-1.0, 1.0]))
    >>> plans[0, :, 0, 0].tolist()
    [[-1.0, 0.0, -1.0], [-1.0, 0.0, 1.0], [1.0, 0.0, -1.0], [1.0, 0.0, 1.0]]
    """
    pairs = torch.cartesian_prod(values, values)
    plans = blocks[:, None].repeat(1, len(pairs), 1, 1, 1)
    centred = blocks[..., axes] - blocks[..., axes].mean((1, 2), keepdim=True)
    plans[..., axes] = centred[:, None] + pairs[None, :, None, None, :]
    return plans.clamp_(-1, 1)


def landscape_energies(model: WorldModel, clip: Clip, now: int, plans: Tensor) -> Tensor:
    """(B, N) energy of each plan (B, N, H, K, A) from frame `now` to the frame H blocks later."""
    z = model.encode(clip.frames)
    goal = z[:, now + plans.shape[2]]
    # One moment at a time: a grid of plans is a batch by itself.
    rows = [
        goal_energy(imagine_plans(model, z[i], _one(clip, i), now, plans[i])[:, -1:], goal[i])[:, 0]
        for i in range(len(plans))
    ]
    return torch.stack(rows)


def _one(clip: Clip, index: int) -> Clip:
    return Clip(clip.frames[index], clip.actions[index], clip.proprio[index])


def _correlation(a: Array, b: Array) -> float:
    if len(a) < 2 or a.std() < 1e-9 or b.std() < 1e-9:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _array(tensor: Tensor) -> Array:
    return tensor.double().cpu().numpy()
