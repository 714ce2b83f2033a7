"""The two curves of the report, as SVG that takes its ink from the page around it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from goalsight.benchmark.results import Outcome, Results
from goalsight.benchmark.statistics import success_rate

COLOURS = {"agent": "#e4572e", "expert": "#3a86c8", "random": "#8d99ae", "hold": "#b08f2e"}
"""Colour of a row; readable on white and on near-black."""
_SPARE = ("#6a4c93", "#2a9d8f", "#c9184a", "#588157")
_DASHES = {"agent": "-", "expert": "--", "random": ":", "hold": "-."}
_INK = "#010203"  # a colour nobody uses, replaced by the page's own
_STYLE: Any = {  # matplotlib types the keys as a literal of hundreds
    "svg.fonttype": "none",
    "svg.hashsalt": "goalsight",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def colour_of(row: str, rows: Sequence[str]) -> str:
    """A row's colour; rows without one of their own share a few spares."""
    others = [name for name in rows if name not in COLOURS]
    return COLOURS.get(row) or _SPARE[others.index(row) % len(_SPARE)]


def distance_over_time(results: Results) -> str:
    """SVG of the distance to the goal over time: median and quartiles of each row's pairs."""

    def draw(axes: Axes) -> None:
        names = [row.row for row in results.rows]
        for row in names:
            curves = 100 * np.array([o.distance_m for o in _of(results, row)])  # (P, steps) cm
            low, middle, high = np.percentile(curves, [25, 50, 75], axis=0)
            times = results.manifest.control_dt * np.arange(curves.shape[1])
            colour = colour_of(row, names)
            axes.fill_between(times, low, high, color=colour, alpha=0.16, linewidth=0)
            axes.plot(times, middle, _DASHES.get(row, "-"), color=colour, label=row, linewidth=1.8)
        _threshold(axes, 100 * results.manifest.threshold)
        axes.set(xlabel="time [s]", ylabel="distance to goal [cm]", ylim=(0, None), xmargin=0)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4)

    return _svg(draw)


def success_over_start(results: Results, groups: int = 4) -> str:
    """SVG of terminal success against the distance at the start, with 95 % Wilson intervals.

    Args:
        results: of a run.
        groups: equally large groups of pairs, from the nearest start to the farthest.
    """

    def draw(axes: Axes) -> None:
        names = [row.row for row in results.rows]
        for number, row in enumerate(names):
            outcomes = sorted(_of(results, row), key=lambda o: o.distance_m[0])
            parts = [part for part in np.array_split(np.arange(len(outcomes)), groups) if part.size]
            starts = [100 * np.mean([outcomes[i].distance_m[0] for i in part]) for part in parts]
            rates = [success_rate(np.array([outcomes[i].terminal for i in p])) for p in parts]
            heights = 100 * np.array([rate.rate for rate in rates])
            ends = 100 * np.array([[r.rate - r.low, r.high - r.rate] for r in rates]).T
            axes.errorbar(
                np.array(starts) + 0.12 * (number - len(names) / 2),  # so that bars do not hide
                heights,
                yerr=ends.clip(0),
                fmt="o" + _DASHES.get(row, "-"),
                color=colour_of(row, names),
                label=row,
                linewidth=1.6,
                elinewidth=0.8,
                markersize=4,
            )
        axes.set(xlabel="distance at the start [cm]", ylabel="terminal success [%]", ylim=(-4, 104))

    return _svg(draw)


def sparkline(outcome: Outcome, threshold: float, *, width: int = 120, height: int = 32) -> str:
    """SVG polyline of one pair's distance curve, with the threshold as a dashed line."""
    curve = np.array(outcome.distance_m)
    top = max(float(curve.max()), 2 * threshold)
    xs = np.linspace(1, width - 1, curve.size)
    ys = height - 1 - (height - 2) * curve / top
    level = height - 1 - (height - 2) * threshold / top
    points = " ".join(f"{x:.0f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    return (
        f'<svg class="spark" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="distance to goal over time">'
        f'<line x1="0" x2="{width}" y1="{level:.1f}" y2="{level:.1f}"/>'
        f'<polyline points="{points}"/></svg>'
    )


def _of(results: Results, row: str) -> list[Outcome]:
    return [outcome for outcome in results.pairs if outcome.row == row]


def _threshold(axes: Axes, level_cm: float) -> None:
    axes.axhline(level_cm, color=_INK, linewidth=0.8, linestyle=(0, (4, 3)), alpha=0.6)
    text = f"success within {level_cm:g} cm"
    axes.annotate(
        text,
        (1, level_cm),
        (-2, 3),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right",
        fontsize=8,
    )


def _svg(draw: Callable[[Axes], None]) -> str:
    """Draw on one axes; the SVG element alone, without the XML header."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(4.6, 2.9), layout="constrained")
        axes = figure.add_subplot()
        axes.grid(visible=True, axis="y", color=_INK, alpha=0.12, linewidth=0.6)
        draw(axes)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace(_INK, "currentColor")
