"""The figure of the probes: what can be read, and how it fades as imagination goes on."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from goalsight.diagnostics.figures import COLOURS, STYLE
from goalsight.diagnostics.probe import ProbeReport, Source, error_text

MOST_CURVES = 4
"""Variables whose error is drawn over blocks."""
READABLE = 0.2
"""R2 of encoded latents from which on it is worth asking how imagination keeps a variable."""
SOURCES: tuple[tuple[Source, str, str], ...] = (
    ("encoded", "-", "frame seen"),
    ("imagined", "o-", "frame imagined"),
    ("copied", "s--", "as if nothing moved"),
)


@mpl.rc_context(STYLE)
def draw_probe(report: ProbeReport) -> Figure:
    """Bars of R2 for every variable; error over blocks for the first few of them."""
    curves = curves_of(report)
    rows = max(1, (len(curves) + 1) // 2)
    height = max(2.4 + 0.9 * (rows > 1), 0.28 * len(report.variables) + 1.0, 2.2 * rows)
    figure = Figure(figsize=(11.0 if curves else 5.4, height), layout="constrained")
    if not curves:
        _draw_bars(figure.add_subplot(), report)
        return figure
    left, right = np.asarray(figure.subfigures(1, 2, width_ratios=(5.2, 5.8)))
    _draw_bars(left.add_subplot(), report)
    grid = right.subplots(rows, 2, squeeze=False).reshape(-1)
    for axes, variable in zip(grid, curves, strict=False):
        _draw_error(axes, report, variable)
    for axes in grid[len(curves) :]:
        axes.set_axis_off()
    handles, labels = grid[0].get_legend_handles_labels()
    right.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure


def curves_of(report: ProbeReport) -> Sequence[str]:
    """Variables to draw over blocks: the first that can be read, simulator truth before proprio."""
    if not report.blocks:
        return []
    best = {name: report.find(name, report.probes[-1]).r2 for name in report.variables}
    moving = [name for name, r2 in best.items() if r2 is not None]
    readable = [name for name in moving if (best[name] or 0.0) >= READABLE]
    return [*readable, *(name for name in moving if name not in readable)][:MOST_CURVES]


def _draw_bars(axes: Axes, report: ProbeReport) -> None:
    """R2 of encoded latents by each probe, with the last one's error in words."""
    names = report.variables
    places = np.arange(len(names))
    thick = 0.8 / len(report.probes)
    for number, kind in enumerate(report.probes, 1):
        heights = [max(0.0, report.find(name, kind).r2 or 0.0) for name in names]
        axes.barh(
            places + thick * (number - (len(report.probes) + 1) / 2),
            heights,
            thick,
            color=COLOURS["encoded"],
            alpha=number / len(report.probes),
            label=kind,
        )
    for place, name in enumerate(names):
        reading = report.find(name, report.probes[-1])
        text = "constant" if reading.r2 is None else error_text(reading)
        axes.text(1.02, place, text, va="center", fontsize=8)
    axes.set(
        yticks=places,
        yticklabels=names,
        xlim=(0, 1),
        xlabel="R2 on held-out episodes",
        title=f"Probes of encoded latents ({report.features} numbers)",
    )
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    error = f"{report.probes[-1]} error"
    axes.text(1.02, 1.01, error, fontsize=8, style="italic", transform=axes.transAxes)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2)


def _draw_error(axes: Axes, report: ProbeReport, variable: str) -> None:
    """Error of the last probe by blocks ahead."""
    blocks = np.arange(1, report.blocks + 1)
    unit = report.find(variable, report.probes[-1]).unit
    scale, name = (100.0, "cm") if unit == "m" else (1.0, unit or "no unit")
    for source, style, label in SOURCES:
        readings = [report.find(variable, report.probes[-1], source, int(b)) for b in blocks]
        errors = [scale * reading.rmse for reading in readings]
        axes.plot(blocks, errors, style, color=COLOURS[source], label=label, markersize=4)
    axes.set(
        xlabel="action blocks ahead",
        ylabel=f"error [{name}]",
        ylim=(0, None),
        xticks=blocks,
        title=variable,
    )
