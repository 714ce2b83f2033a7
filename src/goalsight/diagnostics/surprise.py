"""Violation of expectation: is the model more surprised by what cannot happen?

Surprise is the prediction error one block ahead, in latent space. The paradigm is that of infant
psychology, brought to models by IntPhys (Riochet et al. 2018, arXiv:1803.07616) and to V-JEPA by
Garrido et al. 2025 (arXiv:2502.11831), whose score of a clip, the largest surprise, is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import binomtest, rankdata
from torch import Tensor

from goalsight.clip import Clip
from goalsight.diagnostics.context import (
    COLOURS,
    MARK,
    STYLE,
    bare,
    compact,
    device_of,
    encode_frames,
    imagine_plans,
)
from goalsight.errors import UserError
from goalsight.models import WorldModel

Array = NDArray[np.float64]
RESAMPLES = 1000
"""Bootstrap resamples of an interval."""


@dataclass(frozen=True, kw_only=True)
class StagedEvent:
    """N matched pairs of clips that agree up to an event."""

    violation: str
    """What happens in the impossible ones."""
    event: int
    """First frame that shows it."""
    possible: Clip
    """(N, T, ...) matched controls."""
    impossible: Clip
    """(N, T, ...) the same with the violation."""
    groups: NDArray[np.int64]
    """(N,) pairs of one group come from one take and are not independent."""


@dataclass(frozen=True, kw_only=True)
class ViolationReport:
    """How surprised the model was by one violation and by its matched controls."""

    violation: str
    """What happened."""
    event: int
    """First frame that shows it."""
    possible: Array
    """(N, S) surprise block by block; before the event both are equal."""
    impossible: Array
    """(N, S)."""
    first: int
    """Which of the S blocks is the first to show the event."""
    auroc: float
    """Probability that a violation surprises more than a control, of any pair; .5 is chance. Less
    means that the model expects the violation: a copy of the last frame expects a frozen cube."""
    auroc_interval: tuple[float, float]
    """95 %, bootstrap over groups."""
    paired: float
    """Share of violations that surprise more than their own control."""
    paired_interval: tuple[float, float]
    """95 %, Wilson."""
    example: tuple[NDArray[np.uint8], NDArray[np.uint8]]
    """(T, H, W, 3) pictures of a possible and of an impossible clip."""

    def numbers(self) -> dict[str, Any]:
        """What was found, as JSON values."""
        return {
            "violation": self.violation,
            "pairs": len(self.possible),
            "auroc": self.auroc,
            "auroc_interval": list(self.auroc_interval),
            "paired": self.paired,
            "paired_interval": list(self.paired_interval),
        }


@dataclass(frozen=True, kw_only=True)
class SurpriseReport:
    """All violations that were shown to a model."""

    violations: tuple[ViolationReport, ...]
    """One each."""

    def summary(self) -> str:
        """What was found, in a line a violation."""
        return "\n".join(
            f"{item.violation:<11} AUROC {item.auroc:.2f} "
            f"[{item.auroc_interval[0]:.2f}, {item.auroc_interval[1]:.2f}], more surprising than "
            f"its own control in {100 * item.paired:.0f} % of {len(item.possible)} pairs"
            for item in self.violations
        )

    def numbers(self) -> dict[str, Any]:
        """What was found, as JSON values."""
        return {"violations": [item.numbers() for item in self.violations]}

    def to_json(self) -> dict[str, Any]:
        """`numbers` and the surprise at every block; pictures left out."""
        curves = [
            {
                "first_block_after_event": item.first,
                "possible": compact(item.possible),
                "impossible": compact(item.impossible),
            }
            for item in self.violations
        ]
        return {
            "violations": [
                item.numbers() | {"surprise": curve}
                for item, curve in zip(self.violations, curves, strict=True)
            ]
        }


@torch.inference_mode()
def surprise(model: WorldModel, events: Sequence[StagedEvent], *, seed: int = 0) -> SurpriseReport:
    """Show staged events to a model and compare its surprise with that at their controls.

    Args:
        model: to look into.
        events: as `goalsight.diagnostics.voe_scenes.stage` makes them.
        seed: of the bootstrap.

    Raises:
        UserError: if the model is of another robot than the one on the stage.
        ValueError: if the clips are staged at another frameskip than the model's.
    """
    for event in events:
        clip = event.possible
        check_robot(model, clip.actions.shape[-1], clip.proprio.shape[-1])
        if clip.frameskip != model.config.frameskip:
            raise ValueError(
                f"the model takes blocks of {model.config.frameskip} control steps, the clips are "
                f"staged with {clip.frameskip}"
            )
    return SurpriseReport(violations=tuple(_show(model, event, seed) for event in events))


def check_robot(model: WorldModel, action_dim: int, proprio_dim: int) -> None:
    """Refuse a model that takes other actions or proprio than the arm on the stage has.

    Raises:
        UserError: naming both widths.
    """
    config = model.config
    if config.action_dim != action_dim or config.proprio_dim not in {0, proprio_dim}:
        raise UserError(
            f"the staged clips have actions of {action_dim} and proprio of {proprio_dim} numbers, "
            f"the model takes {config.action_dim} and {config.proprio_dim or 'no'} proprio; "
            "surprise needs a model of goalsight's own arm"
        )


def block_surprise(model: WorldModel, clip: Clip) -> Tensor:
    """Prediction error of every block, one block ahead from what was really seen before.

    Args:
        model: that predicts.
        clip: (N, T, ...) with T > context.

    Returns:
        (N, T - context) mean squared latent error; the first is that of frame `context`.
    """
    clip = clip.to(device_of(model))
    z = encode_frames(model, clip.frames)
    errors = []
    for now in range(model.config.context - 1, clip.length - 1):
        plans = clip.actions[:, None, now : now + 1]
        predicted = imagine_plans(model, z, clip, now, plans)[:, 0, 0]
        errors.append((predicted - z[:, now + 1]).square().flatten(1).mean(1))
    return torch.stack(errors, 1)


def auroc(negative: Array, positive: Array) -> float:
    """Area under the ROC curve: the share of (negative, positive) couples in the right order.

    Ties count half; this is the Mann-Whitney U statistic over n * m.

    Args:
        negative: (n,) scores that should be low.
        positive: (m,) scores that should be high.

    >>> auroc(np.array([1.0, 2.0]), np.array([2.0, 3.0]))
    0.875
    """
    n, m = len(negative), len(positive)
    ranks = rankdata(np.concatenate([negative, positive]))
    return float((ranks[n:].sum() - m * (m + 1) / 2) / (n * m))


def auroc_interval(
    negative: Array, positive: Array, groups: NDArray[np.int64], seed: int
) -> tuple[float, float]:
    """95 % interval of `auroc` by resampling whole groups of pairs.

    Args:
        negative: (N,) scores of the controls.
        positive: (N,) scores of the violations, pair by pair.
        groups: (N,) pairs of one group are drawn together.
        seed: of the resampling.
    """
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    values = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(len(members), size=len(members))
        rows = np.concatenate([members[i] for i in drawn])
        values.append(auroc(negative[rows], positive[rows]))
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _show(model: WorldModel, event: StagedEvent, seed: int) -> ViolationReport:
    possible, impossible = (
        block_surprise(model, clip).double().cpu().numpy()
        for clip in (event.possible, event.impossible)
    )
    first = event.event - model.config.context
    calm, struck = possible[:, first:].max(1), impossible[:, first:].max(1)
    wins = int((struck > calm).sum())
    interval = binomtest(wins, len(calm)).proportion_ci(method="wilson")
    return ViolationReport(
        violation=event.violation,
        event=event.event,
        possible=possible,
        impossible=impossible,
        first=first,
        auroc=auroc(calm, struck),
        auroc_interval=auroc_interval(calm, struck, event.groups, seed),
        paired=wins / len(calm),
        paired_interval=(float(interval.low), float(interval.high)),
        example=(_pictures(event.possible), _pictures(event.impossible)),
    )


def _pictures(clip: Clip) -> NDArray[np.uint8]:
    """(T, H, W, 3) of the first clip."""
    return np.ascontiguousarray(clip.frames[0].movedim(1, -1).numpy())


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


def _film(axes: Axes, item: ViolationReport) -> None:
    """A possible clip above an impossible one, with a line where the event shows."""
    possible, impossible = (np.concatenate(list(frames), 1) for frames in item.example)
    height, side = possible.shape[0], item.example[0].shape[2]
    gap = np.full((max(2, height // 16), possible.shape[1], 3), 255, np.uint8)
    axes.imshow(np.concatenate([possible, gap, impossible]))
    bare(axes)
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
