"""Filmstrips: what was recorded above what was imagined."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from goalsight.diagnostics.decode import DecodedRollouts, DecodeReport

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
