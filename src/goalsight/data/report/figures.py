"""The figures of the page, as SVG that takes its ink from the page around it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from goalsight.data.report.measures import Array, Measures, Movable
from goalsight.data.report.verdict import PREDICTABLE

_INK = "#010203"  # a colour nobody uses, replaced by the page's own
_HEAT = LinearSegmentedColormap.from_list(
    "goalsight", ["#f4c9a800", "#f0a06acc", "#e4572e", "#b52650", "#7a1650"]
)
_BAR = "#3a86c8"
_LIMIT = "#c2392b"
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
}


def from_above(places: Array, box: Array | None) -> str:
    """SVG of where (N, 3) positions lie on the table, y across and x towards the reader [cm].

    Args:
        places: (N, 3) [m].
        box: (2, 3) lower and upper corner to show [m], so that figures can be compared; None
            shows where the positions are.
    """
    return _heat(places[:, [1, 0]], ("y [cm]", "x [cm]"), None if box is None else box[:, [1, 0]])


def from_the_side(places: Array, box: Array | None) -> str:
    """SVG of the heights of (N, 3) positions over y [cm]; arguments as `from_above`."""
    shown = None if box is None else box[:, [1, 2]]
    return _heat(places[:, [1, 2]], ("y [cm]", "height [cm]"), shown, upside_down=False)


def openings(movable: Movable) -> str:
    """SVG of how often something with one degree of freedom is how far open."""

    def draw(axes: Axes) -> None:
        axes.hist(100 * movable.places[:, 0], bins=28, color=_BAR)
        axes.set(xlabel="opening [cm]", ylabel="frames")

    return _svg(draw)


def lengths(measures: Measures) -> str:
    """SVG of how long episodes are; a single length is a single bar."""

    def draw(axes: Axes) -> None:
        found, counts = np.unique(measures.lengths, return_counts=True)
        if len(found) <= 6:
            axes.bar([str(length) for length in found], counts, width=0.5, color=_BAR)
            axes.margins(x=0.6 / len(found))
        else:
            axes.hist(measures.lengths, bins=min(30, len(found)), color=_BAR)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        axes.set(xlabel="control steps", ylabel="episodes")

    return _svg(draw)


def predictable(measures: Measures) -> str:
    """SVG of the R2 of each action axis from the state, with the limit on their mean."""

    def draw(axes: Axes) -> None:
        names = list(measures.predictable)
        values = [max(0.0, measures.predictable[name]) for name in names]
        colours = [_LIMIT if value > PREDICTABLE else _BAR for value in values]
        axes.barh(names[::-1], values[::-1], height=0.6, color=colours[::-1])
        axes.axvline(PREDICTABLE, color=_INK, linewidth=0.9, linestyle=(0, (4, 3)), alpha=0.6)
        axes.set(xlim=(0, 1), xlabel="R2 from the state, held-out episodes")
        axes.grid(visible=False, axis="y")

    return _svg(draw)


def actions(measures: Measures, names: Sequence[str]) -> str:
    """SVG of how often each action axis takes which value."""
    shown = min(len(names), 12)
    columns = 2 if shown <= 4 else 4
    rows = -(-shown // columns)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat[shown:]:
            axes.set_axis_off()
        for i, axes in enumerate(grid.flat[:shown]):
            axes.hist(measures.actions[:, i], bins=31, color=_BAR)
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
            axes.set_title(names[i], fontsize=9)
            axes.xaxis.set_major_locator(MaxNLocator(nbins=3))

    return _draw(draw, (4.6, max(2.9, 1.2 * rows)))


def _heat(
    points: Array, labels: tuple[str, str], box: Array | None, upside_down: bool = True
) -> str:
    """(N, 2) points [m] as a map of counts; the square root, so that rare places show."""
    low, high = points.min(0), points.max(0)
    if box is not None:
        low, high = np.minimum(box[0], low), np.maximum(box[1], high)
    pad = np.maximum(0.01, 0.03 * (high - low))
    low, high = 100 * (low - pad), 100 * (high + pad)
    cells = np.clip((high - low).round(), 8, 60).astype(int)

    def draw(axes: Axes) -> None:
        ranges = list(zip(low.tolist(), high.tolist(), strict=True))
        across, up = 100 * points.T
        counts, _, _ = np.histogram2d(across, up, bins=cells.tolist(), range=ranges)
        top = max(float(np.quantile(counts[counts > 0], 0.995)), 1.0)
        axes.imshow(
            np.sqrt(np.minimum(counts.T, top)),
            extent=(low[0], high[0], low[1], high[1]),
            origin="lower",
            cmap=_HEAT,
            interpolation="nearest",
            aspect="equal",
        )
        if upside_down:
            axes.invert_yaxis()
        axes.set(xlabel=labels[0], ylabel=labels[1])
        axes.grid(visible=False)

    return _svg(draw)


def _svg(draw: Callable[[Axes], None]) -> str:
    """Draw on one axes."""

    def on(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.set_axisbelow(True)
        axes.grid(visible=True, color=_INK, alpha=0.12, linewidth=0.6)
        draw(axes)

    return _draw(on, (4.6, 2.9))


def _draw(draw: Callable[[Figure], None], size: tuple[float, float]) -> str:
    """The SVG element alone, without the XML header."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace(_INK, "currentColor")
