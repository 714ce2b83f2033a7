"""Figures of the reports that show pictures: similarity, landscape, surprise."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from goalsight.diagnostics.energy import LandscapeReport
from goalsight.diagnostics.figures import COLOURS, STYLE
from goalsight.diagnostics.similarity import SimilarityReport
from goalsight.diagnostics.surprise import SurpriseReport, ViolationReport

SHOWN = 6
"""Landscapes drawn."""
MARK = "#c9184a"
"""Colour of what is pointed at."""


@mpl.rc_context(STYLE)
def draw_similarity(report: SimilarityReport) -> Figure:
    """The frames, the map over each of them, and the principal components as colours."""
    columns = len(report.pictures)
    figure, axes = _sheet(3, columns, 1.75 * columns, 5.9)
    limits = (float(report.maps.min()), float(report.maps.max()))
    for i, (picture, values, colours) in enumerate(
        zip(report.pictures, report.maps, report.colours, strict=True)
    ):
        axes[0, i].imshow(picture)
        axes[0, i].set_title(f"step {report.steps[i]}")
        shown = axes[1, i].imshow(
            values, cmap="inferno", vmin=limits[0], vmax=limits[1], interpolation="nearest"
        )
        axes[2, i].imshow(colours, interpolation="nearest")
    _mark_patch(axes[0, 0], report.patch, report.pictures.shape[1] / report.maps.shape[1])
    figure.colorbar(shown, ax=axes[1, :].tolist(), fraction=0.02, pad=0.01)
    shares = " + ".join(f"{100 * share:.0f}" for share in report.explained)
    for row, name in enumerate(("frame", "similarity", "colours of the patches")):
        axes[row, 0].set_ylabel(name)
    figure.suptitle(
        f"Cosine with patch {report.patch} of the first frame. Colours: principal components, "
        f"{shares} % of the variance",
        fontsize=9,
    )
    return figure


@mpl.rc_context(STYLE)
def draw_landscape(report: LandscapeReport) -> Figure:
    """Some landscapes with the recorded action in them, and found against recorded over all."""
    figure = Figure(figsize=(11.5, 5.6), layout="constrained")
    axes = figure.subplots(2, 4)
    found = report.found
    chosen = np.linspace(0, len(found) - 1, min(SHOWN, len(found))).round().astype(int)
    places = axes[:, :3].reshape(-1)
    for place, w in zip(places, chosen.tolist(), strict=False):
        _landscape(place, report, w, found[w])
    for place in places[len(chosen) :]:
        place.set_visible(False)
    for i, place in enumerate(axes[:, 3]):
        place.plot([-1, 1], [-1, 1], color="black", linewidth=0.8, alpha=0.4)
        place.plot(report.recorded[:, i], found[:, i], ".", color=COLOURS["imagined"], alpha=0.7)
        place.set(
            xlabel=f"recorded {report.axes[i]}",
            ylabel="of least energy",
            xlim=(-1.1, 1.1),
            ylim=(-1.1, 1.1),
            aspect="equal",
            title=f"{report.axes[i]}: correlation {report.correlation[i]:.2f}",
        )
    marks = [
        Line2D([], [], color=MARK, marker="+", linestyle="", markersize=10, label="recorded"),
        Line2D(
            [],
            [],
            color="white",
            marker="o",
            linestyle="",
            markeredgecolor="black",
            markersize=6,
            label="least energy",
        ),
    ]
    figure.legend(handles=marks, loc="outside lower left", ncols=2)
    figure.suptitle(
        f"Energy after {_blocks(report.horizon)} (dark is near what really came). Error "
        f"{report.error:.2f}, by chance {report.chance_error:.2f}; "
        f"{100 * report.better_than_recorded:.0f} % of actions beat the recorded one",
        fontsize=9,
    )
    return figure


@mpl.rc_context(STYLE)
def draw_surprise(report: SurpriseReport) -> Figure:
    """For each violation: an example, surprise over time, and how well the two come apart."""
    rows = len(report.violations)
    figure = Figure(figsize=(11.5, 2.7 * rows), layout="constrained")
    axes = figure.subplots(rows, 3, squeeze=False, width_ratios=[1.6, 1, 1])
    for (film, curve, spread), item in zip(axes, report.violations, strict=True):
        _film(film, item)
        _curves(curve, item)
        _spread(spread, item)
    return figure


def _sheet(rows: int, columns: int, width: float, height: float) -> tuple[Figure, NDArray[Any]]:
    """Panels for pictures: no ticks, no grid."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes: NDArray[Any] = figure.subplots(rows, columns, squeeze=False)
    for place in axes.flat:
        _bare(place)
    return figure, axes


def _bare(axes: Axes) -> None:
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def _mark_patch(axes: Axes, patch: tuple[int, int], side: float) -> None:
    corner = (patch[1] * side - 0.5, patch[0] * side - 0.5)
    axes.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=MARK, linewidth=2))


def _landscape(axes: Axes, report: LandscapeReport, w: int, found: NDArray[Any]) -> None:
    half = (report.values[1] - report.values[0]) / 2
    low, high = report.values[0] - half, report.values[-1] + half
    axes.grid(visible=False)
    axes.imshow(report.energies[w].T, origin="lower", extent=(low, high, low, high), cmap="inferno")
    axes.plot(*report.recorded[w], "+", color=MARK, markersize=13, markeredgewidth=2.5)
    axes.plot(*found, "o", color="white", markeredgecolor="black", markersize=6)
    axes.set(xlabel=report.axes[0], ylabel=report.axes[1], xlim=(low, high), ylim=(low, high))


def _film(axes: Axes, item: ViolationReport) -> None:
    """A possible clip above an impossible one, with a line where the event shows."""
    possible, impossible = (np.concatenate(list(frames), 1) for frames in item.example)
    height, side = possible.shape[0], item.example[0].shape[2]
    gap = np.full((max(2, height // 16), possible.shape[1], 3), 255, np.uint8)
    axes.imshow(np.concatenate([possible, gap, impossible]))
    _bare(axes)
    axes.axvline(item.event * side - 0.5, color=MARK, linewidth=1.5)
    axes.set_yticks([height / 2, 1.5 * height + len(gap)], ["possible", "impossible"])
    axes.tick_params(length=0)
    axes.set_title(f"{item.violation}: the line is the event, frames one block apart")


def _curves(axes: Axes, item: ViolationReport) -> None:
    """Median and quartiles of the surprise, block by block from the event."""
    blocks = np.arange(item.possible.shape[1]) - item.first + 1
    for values, name, colour in (
        (item.possible, "possible", COLOURS["encoded"]),
        (item.impossible, "impossible", COLOURS["imagined"]),
    ):
        low, middle, high = np.percentile(values, [25, 50, 75], axis=0)
        axes.fill_between(blocks, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(blocks, middle, "o-", color=colour, label=name)
    axes.set(
        xlabel="block, 1 is the first to show it",
        ylabel="squared latent error",
        xticks=blocks,
        ylim=(0, None),
        title="Surprise: median and quartiles",
    )
    axes.legend()


def _spread(axes: Axes, item: ViolationReport) -> None:
    """Histograms of the clips' scores."""
    calm, struck = (values[:, item.first :].max(1) for values in (item.possible, item.impossible))
    floor = 1e-6 * max(float(struck.max()), float(calm.max()), 1e-12)
    both = np.log10(np.concatenate([calm, struck]).clip(floor))
    edges = np.linspace(both.min() - 1e-3, both.max() + 1e-3, 25)
    for values, colour in ((calm, COLOURS["encoded"]), (struck, COLOURS["imagined"])):
        axes.hist(np.log10(values.clip(floor)), edges.tolist(), color=colour, alpha=0.55)
    low, high = item.auroc_interval
    axes.set(
        xlabel="log10 of a clip's largest surprise",
        ylabel="clips",
        title=f"AUROC {item.auroc:.2f} [{low:.2f}, {high:.2f}], paired {100 * item.paired:.0f} %",
    )


def _blocks(count: int) -> str:
    return "1 block" if count == 1 else f"{count} blocks"
