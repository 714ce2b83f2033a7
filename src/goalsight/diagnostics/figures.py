"""Figures of the reports about spread and drift, and the style they share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from goalsight.diagnostics.collapse import CollapseReport, Usage
from goalsight.diagnostics.drift import DriftReport

COLOURS = {
    "encoded": "#3a86c8",
    "imagined": "#e4572e",
    "copied": "#8d99ae",
    "mean": "#b08f2e",
}
"""One colour for each kind of latent, in every figure."""
STYLE: Any = {  # matplotlib types the keys as a literal of hundreds
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}


@mpl.rc_context(STYLE)
def panels(columns: int, *, width: float = 4.2, height: float = 3.2) -> tuple[Figure, list[Axes]]:
    """A white figure with panels side by side, each so many inches wide and high."""
    figure = Figure(figsize=(width * columns, height), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


@mpl.rc_context(STYLE)
def draw_collapse(report: CollapseReport) -> Figure:
    """Spectrum and standard deviations of encoded and imagined latents."""
    figure, (spectrum, spread) = panels(2)
    kinds: list[tuple[str, str, Usage]] = [("encoded", "encoded", report.encoded)]
    if report.imagined is not None:
        kinds.append(("imagined", f"imagined, {report.blocks} blocks", report.imagined))
    for kind, label, usage in kinds:
        shares = np.maximum(usage.spectrum, 1e-8)
        named = f"{label}: effective rank {usage.effective_rank:.1f}"
        ranks = np.arange(1, len(shares) + 1)
        spectrum.plot(ranks, shares, ".-", color=COLOURS[kind], label=named, markersize=3)
        dims = np.arange(1, report.width + 1)
        spread.plot(
            dims, np.sort(usage.std)[::-1], ".-", color=COLOURS[kind], label=label, markersize=3
        )
    spectrum.set(
        yscale="log",
        xlabel="principal direction",
        ylabel="share of the variance",
        title=f"Spectrum: {report.width} dimensions, {report.frames} frames",
    )
    spread.set(
        xlabel="dimension, sorted",
        ylabel="standard deviation",
        ylim=(0, None),
        title="Spread of each dimension",
    )
    if report.collapsed:
        spectrum.set_title("Collapsed", loc="right", color="#c9184a")
    spectrum.legend()
    spread.legend()
    return figure


@mpl.rc_context(STYLE)
def draw_drift(report: DriftReport) -> Figure:
    """Error by blocks ahead, with the interval of the model and the two baselines."""
    figure, (axes,) = panels(1, width=5.2, height=3.4)
    blocks = np.array(report.blocks)
    axes.fill_between(
        blocks, report.low, report.high, color=COLOURS["imagined"], alpha=0.2, linewidth=0
    )
    axes.plot(blocks, report.model, "o-", color=COLOURS["imagined"], label="model, open loop")
    axes.plot(blocks, report.copy_last, "s--", color=COLOURS["copied"], label="copy-last")
    axes.plot(blocks, report.mean, ":", color=COLOURS["mean"], label="mean latent", linewidth=2)
    axes.set(
        xlabel="action blocks ahead",
        ylabel="squared error / latent variance",
        ylim=(0, _top([report.model, report.copy_last, report.mean])),
        xticks=blocks,
        title=f"Drift over {report.windows} windows of {report.episodes} held-out episodes",
    )
    axes.legend()
    return figure


def _top(curves: Sequence[Sequence[float]]) -> float:
    """Upper end of an axis: all of the curves, unless one explodes far above the baselines."""
    highest = max(max(curve) for curve in curves)
    return min(1.08 * highest, 3.0)
