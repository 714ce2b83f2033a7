"""What a model imagines, as pictures: a decoder trained afterwards on frozen latents.

The world model learns nothing from it. A picture shows what the latent holds and the decoder has
learned to draw; what is missing from it may be missing from either.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional

from goalsight.data import Windows
from goalsight.models import SIZES, WorldModel
from goalsight.models.decoder import Decoder, DecoderShape
from goalsight.models.pixels import PixelEncoder, to_pictures
from goalsight.progress import Progress, silent

EXAMPLES = 3
"""Windows shown."""
COLUMNS = 6
"""Frames shown of each."""
_TILE = 1.1
"""Side of a picture in the figure [inches]."""


def draw_decode(rollouts: DecodedRollouts, report: DecodeReport) -> Figure:
    """Draw the windows in which most moves: real, decoded and imagined frames in three rows.

    Args:
        rollouts: pictures of N windows.
        report: their errors, written above the columns.
    """
    columns = _columns(rollouts.real.shape[1])
    shown = _most_moving(rollouts.real)
    rows = [
        (name, getattr(rollouts, name)[window])
        for window in shown
        for name in ("real", "encoded", "imagined")
    ]
    figure = Figure(
        figsize=(_TILE * len(columns) + 1.0, _TILE * len(rows) + 0.9), layout="constrained"
    )
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    for axes, (name, frames) in zip(grid, rows, strict=True):
        for cell, block in zip(axes, columns, strict=True):
            _show(cell, frames[block])
        axes[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    for cell, block in zip(grid[0], columns, strict=True):
        error = report.imagined_rmse[block]
        cell.set_title(f"+{block}\nerror {error:.1f}" if block else "now", fontsize=9)
    figure.suptitle("blocks ahead; error of the imagined in grey levels of 255", fontsize=10)
    return figure


def _columns(frames: int) -> list[int]:
    """The present, the first block, and evenly spaced ones to the last.

    >>> _columns(11), _columns(3)
    ([0, 1, 3, 6, 8, 10], [0, 1, 2])
    """
    if frames <= COLUMNS:
        return list(range(frames))
    later = np.linspace(1, frames - 1, COLUMNS - 1).round().astype(int)
    return [0, *later.tolist()]


def _most_moving(real: Tensor) -> list[int]:
    """Windows with the largest change from their first to their last frame."""
    change = (real[:, -1].float() - real[:, 0].float()).square().mean((1, 2, 3))
    largest: list[int] = change.argsort(descending=True)[:EXAMPLES].tolist()
    return largest


def _show(axes: Axes, picture: Tensor) -> None:
    """A (3, h, w) uint8 picture without ticks."""
    axes.imshow(picture.permute(1, 2, 0).numpy(), interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)


Draw = Callable[[Tensor], Tensor]
"""(*B, P, D) latents to (*B, 3, H, W) uint8 pictures."""
AT_ONCE = 32
"""Windows imagined in one call."""
MOVED = 24.0
"""Change of a pixel within a window that counts as motion [grey levels of 255]."""


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """How a decoder is trained: two minutes on a processor."""

    steps: int = 2000
    """Optimiser steps."""
    batch: int = 64
    """Pictures in a step."""
    lr: float = 2e-3
    """Highest learning rate; it rises over 50 steps and falls to zero along a cosine."""
    seed: int = 0
    """Of initial weights and of the order of the pictures."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or not self.lr > 0:
            raise ValueError(
                f"steps, batch and lr must be positive, got {self.steps}, {self.batch}, {self.lr}"
            )


@dataclass(frozen=True)
class DecodedRollouts:
    """N held-out windows three times, (N, H+1, 3, height, width) uint8; frame 0 is the present."""

    real: Tensor
    """As recorded."""
    encoded: Tensor
    """Decoded from the latents of the recorded frames: what the decoder can do at its best."""
    imagined: Tensor
    """Decoded from open-loop predictions; frame 0 is that of `encoded`."""


@dataclass(frozen=True, kw_only=True)
class DecodeReport:
    """How near decoded pictures are to the real ones; entry b of a tuple is b blocks ahead."""

    windows: int
    """N, held-out windows."""
    encoded_rmse: tuple[float, ...]
    """Error of pictures decoded from encoded frames [grey levels of 255]."""
    imagined_rmse: tuple[float, ...]
    """Error of pictures decoded from predictions [grey levels of 255]."""
    copy_last_rmse: tuple[float, ...]
    """Error of the present frame shown again [grey levels of 255]."""
    encoded_edges: tuple[float, ...]
    """Share of the real pictures' edges, where something moves, that decoding encoded frames
    draws in their place."""
    imagined_edges: tuple[float, ...]
    """Share of them that decoding predictions draws in their place: blur makes it fall."""

    def summary(self) -> str:
        """Two lines for a person."""
        last = len(self.imagined_rmse) - 1
        return (
            f"error after {last} blocks: imagined {self.imagined_rmse[last]:.1f}, encoded "
            f"{self.encoded_rmse[last]:.1f}, present frame again {self.copy_last_rmse[last]:.1f} "
            "(grey levels of 255)\n"
            f"edges drawn in their place: imagined {self.imagined_edges[1]:.0%} after 1 block, "
            f"{self.imagined_edges[last]:.0%} after {last}; encoded "
            f"{self.encoded_edges[last]:.0%}"
        )


def is_generative(model: WorldModel) -> bool:
    """Whether the model's latents are pictures already."""
    return isinstance(model.encoder, PixelEncoder)


def drawer(model: WorldModel, decoder: Decoder | None) -> Draw:
    """What makes pictures of a model's latents; a model of pixels needs no decoder.

    Raises:
        ValueError: if there is no decoder and the model is not one of pixels.
    """
    if decoder is not None:
        return decoder.pictures
    if not is_generative(model):
        raise ValueError("latents need a decoder to become pictures: train one with fit_decoder")
    size = model.config.image_size

    def draw(z: Tensor) -> Tensor:
        return to_pictures(z, size).reshape(*z.shape[:-2], 3, size, size)

    return draw


def fit_decoder(
    model: WorldModel,
    windows: Windows,
    config: DecoderConfig | None = None,
    *,
    progress: Progress = silent,
) -> Decoder:
    """Train a decoder on encoded frames, squared error of pixels; the model stays as it is.

    Args:
        model: in evaluation mode, on the device to train on.
        windows: of one frame or more, of the episodes to fit on; the first frame is used.
        config: how long.
        progress: told how many steps are done.

    Returns:
        The decoder, in evaluation mode, on the model's device.
    """
    config = config or DecoderConfig()
    device = next(model.buffers()).device
    shape = DecoderShape(
        patches=model.patches,
        dim=model.latent_dim,
        image_size=model.config.image_size,
        width=SIZES[model.config.size].stem,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        decoder = Decoder(shape).to(device)
    optimiser = torch.optim.AdamW(decoder.parameters(), lr=config.lr, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: (
            min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / config.steps))
        ),
    )
    choice = np.random.default_rng(config.seed)
    with torch.enable_grad():
        for step in range(config.steps):
            rows = choice.integers(len(windows), size=config.batch).tolist()
            frames = windows.__getitems__(rows).frames[:, :1].to(device)
            loss = _picture_error(model, decoder, frames)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            progress(step + 1, config.steps)
    return decoder.eval()


def _picture_error(model: WorldModel, decoder: Decoder, frames: Tensor) -> Tensor:
    """Squared error of decoded pictures in [-1, 1]; frames are (B, 1, 3, H, W) uint8."""
    with torch.no_grad():
        z = model.encode(frames)[:, 0]
    wanted = frames[:, 0].float().mul(2 / 255).sub(1.0)
    return functional.mse_loss(decoder(z), wanted)


@torch.no_grad()
def decode(
    model: WorldModel,
    windows: Windows,
    draw: Draw,
    *,
    blocks: int,
    count: int = 200,
    seed: int = 0,
) -> DecodedRollouts:
    """Real, decoded and imagined pictures of some windows.

    Args:
        model: in evaluation mode, on any device.
        windows: held out, of T >= `blocks` + 1 frames, `blocks` of them after the present.
        draw: what makes pictures of latents, see `drawer`.
        blocks: H, action blocks to imagine.
        count: windows to take, at random and without repetition; all there are if fewer.
        seed: of the choice.
    """
    order = np.random.default_rng(seed).permutation(len(windows))[:count].tolist()
    parts = [
        _decode_batch(model, windows, order[start : start + AT_ONCE], draw, blocks)
        for start in range(0, len(order), AT_ONCE)
    ]
    return DecodedRollouts(
        *(
            torch.cat([getattr(part, name) for part in parts])
            for name in ("real", "encoded", "imagined")
        )
    )


def _decode_batch(
    model: WorldModel, windows: Windows, indices: list[int], draw: Draw, blocks: int
) -> DecodedRollouts:
    """One batch of windows."""
    clip = windows.__getitems__(indices).to(next(model.buffers()).device)
    now = clip.length - 1 - blocks
    z = model.encode(clip.frames)
    imagined = model.rollout(
        z[:, : now + 1],
        clip.actions[:, None, now:],
        clip.actions[:, :now] if now else None,
        clip.proprio[:, : now + 1],
    )[:, 0]
    encoded = draw(z[:, now:])
    return DecodedRollouts(
        real=clip.frames[:, now:].cpu(),
        encoded=encoded.cpu(),
        imagined=torch.cat((encoded[:, :1], draw(imagined)), dim=1).cpu(),
    )


def compare(rollouts: DecodedRollouts) -> DecodeReport:
    """Errors and edges of decoded pictures by blocks ahead."""
    real, encoded, imagined = (
        pictures.float() for pictures in (rollouts.real, rollouts.encoded, rollouts.imagined)
    )
    moved = _moved(real)
    return DecodeReport(
        windows=len(real),
        encoded_rmse=_rmse(encoded, real),
        imagined_rmse=_rmse(imagined, real),
        copy_last_rmse=_rmse(real[:, :1].expand_as(real), real),
        encoded_edges=_edges(encoded, real, moved),
        imagined_edges=_edges(imagined, real, moved),
    )


def _rmse(one: Tensor, other: Tensor) -> tuple[float, ...]:
    """Root mean squared difference by block, (N, H+1, 3, h, w) twice to H+1 numbers."""
    return tuple((one - other).square().mean((0, 2, 3, 4)).sqrt().tolist())


def _moved(real: Tensor) -> Tensor:
    """Where something moves in a window, (N, H+1, 3, h, w) to (N, 1, 1, h, w) of 0 and 1."""
    change = (real.amax(1) - real.amin(1)).amax(1)
    return (change > MOVED).float()[:, None, None]


def _edges(drawn: Tensor, real: Tensor, where: Tensor) -> tuple[float, ...]:
    """Slope of drawn on real differences of neighbouring pixels by block: 1 if all are there.

    Noise adds nothing to it, and an edge in the wrong place nothing either.

    Args:
        drawn: (N, H+1, 3, h, w) pictures.
        real: (N, H+1, 3, h, w) pictures.
        where: (N, 1, 1, h, w) weights.
    """
    shared = wanted = torch.zeros(real.shape[1])
    for axis, weight in ((-1, where[..., 1:]), (-2, where[..., 1:, :])):
        real_edges = weight * real.diff(dim=axis)
        shared = shared + (drawn.diff(dim=axis) * real_edges).sum((0, 2, 3, 4))
        wanted = wanted + real_edges.square().sum((0, 2, 3, 4))
    return tuple((shared / wanted.clamp_min(1e-9)).tolist())
