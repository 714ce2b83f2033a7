"""The figure of an offline evaluation: drift, recovered actions, ranks."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from goalsight.diagnostics.figures import COLOURS, STYLE, panels
from goalsight.diagnostics.offline.evaluation import OfflineReport
from goalsight.diagnostics.offline.ranking import RankReport


@mpl.rc_context(STYLE)
def draw_offline(report: OfflineReport) -> Figure:
    """Open-loop error, error of recovered actions, and how the recorded plan is ranked."""
    figure, (error, recovery, ranks) = panels(3, width=4.0)
    _draw_error(error, report)
    _draw_recovery(recovery, report)
    _draw_ranks(ranks, report)
    return figure


def _draw_error(axes: Axes, report: OfflineReport) -> None:
    drift = report.drift
    blocks = np.array(drift.blocks)
    axes.fill_between(
        blocks, drift.low, drift.high, color=COLOURS["imagined"], alpha=0.2, linewidth=0
    )
    axes.plot(blocks, drift.model, "o-", color=COLOURS["imagined"], label="model, open loop")
    axes.plot(blocks, drift.copy_last, "s--", color=COLOURS["copied"], label="copy-last")
    top = min(1.08 * max(*drift.model, *drift.copy_last), 3.0)
    axes.set(
        xlabel="action blocks ahead",
        ylabel="squared error / latent variance",
        ylim=(0, top),
        xticks=blocks,
        title=f"Open-loop error, {drift.episodes} held-out episodes",
    )
    axes.legend()


def _draw_recovery(axes: Axes, report: OfflineReport) -> None:
    parts = [("inverse head", report.inverse), ("planned", report.planned)]
    shown = [(name, part) for name, part in parts if part is not None]
    places = np.arange(len(shown))
    errors = np.array([part.error for _, part in shown])
    ends = np.array([[part.error - part.low, part.high - part.error] for _, part in shown]).T
    axes.bar(
        places, errors, 0.5, yerr=ends.clip(0), capsize=4, color=COLOURS["imagined"], alpha=0.8
    )
    baseline = report.planned.baseline
    axes.axhline(baseline, color=COLOURS["mean"], linestyle=":", linewidth=2, label="mean action")
    axes.set(
        xticks=places,
        xticklabels=[name for name, _ in shown],
        xlim=(-0.6, len(shown) - 0.4),
        ylabel="mean absolute error [action units]",
        ylim=(0, 1.25 * max(baseline, *(errors + ends[1]))),
        title=f"Recovery of {report.planned.moments} blocks",
    )
    axes.grid(axis="x", visible=False)
    axes.legend(loc="upper right")


def _draw_ranks(axes: Axes, report: OfflineReport) -> None:
    parts: list[tuple[RankReport, str, str]] = [
        (report.ranking, "encoded", "recorded plans"),
        (report.ranking_random, "imagined", "random plans"),
    ]
    for part, colour, name in parts:
        share = 100 * np.sort(part.ranks) / part.among
        found = 100 * np.arange(1, len(share) + 1) / len(share)
        label = f"{name}: {100 * part.top_10:.0f} % in best 10 %"
        axes.step(
            [0, *share, 100], [0, *found, 100], color=COLOURS[colour], where="post", label=label
        )
    axes.plot([0, 100], [0, 100], ":", color=COLOURS["mean"], linewidth=2, label="chance")
    axes.set(
        xlabel=f"rank of the recorded plan [% of {report.ranking.among}]",
        ylabel="moments at or under it [%]",
        xlim=(0, 100),
        ylim=(0, 102),
        title=f"Goal ranking, goals {report.goal_blocks} blocks ahead",
    )
    axes.legend(loc="lower right")
