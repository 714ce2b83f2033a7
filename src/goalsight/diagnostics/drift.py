"""How far imagination strays from what then happened, by blocks ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from goalsight.diagnostics.context import COLOURS, STYLE, Latents, panels

RESAMPLES = 200
"""Bootstrap draws of the 95 % interval."""


@dataclass(frozen=True, kw_only=True)
class DriftReport:
    """Open-loop error of a model at each number of blocks ahead, beside two without a model.

    All errors are mean squared latent distances divided by `variance`: 0 is perfect, 1 is as good
    as the mean latent. Position b - 1 of a tuple is b blocks ahead.
    """

    blocks: tuple[int, ...]
    """1 to H, action blocks ahead."""
    model: tuple[float, ...]
    """Error of the open-loop prediction."""
    low: tuple[float, ...]
    """Lower end of its 95 % interval, a bootstrap over episodes."""
    high: tuple[float, ...]
    """Upper end."""
    copy_last: tuple[float, ...]
    """Error of the present frame's latent in place of a prediction."""
    mean: tuple[float, ...]
    """Error of the mean latent in place of a prediction; about 1."""
    variance: float
    """Mean over patches and dimensions of the encoded latents' variance, in latent units."""
    windows: int
    """Windows measured on."""
    episodes: int
    """Episodes they come from."""

    @property
    def useful_blocks(self) -> int:
        """Blocks ahead up to which the model beats both baselines without a gap."""
        floor = np.minimum(self.copy_last, self.mean)
        worse = np.flatnonzero(np.asarray(self.model) >= floor)
        return int(worse[0]) if worse.size else len(self.blocks)

    def summary(self) -> str:
        """The errors as a table."""
        rows = [("blocks ahead", [str(block) for block in self.blocks])]
        for name, values in (
            ("model", self.model),
            ("copy-last", self.copy_last),
            ("mean", self.mean),
        ):
            rows.append((name, [f"{value:.3f}" for value in values]))
        lines = [f"{name:<13}" + "".join(f"{cell:>7}" for cell in cells) for name, cells in rows]
        lines.append(
            f"error in units of the latents' variance ({self.variance:.3g}); better than both "
            f"baselines up to {self.useful_blocks} of {len(self.blocks)} blocks"
        )
        return "\n".join(lines)


def drift(latents: Latents, *, seed: int = 0) -> DriftReport:
    """Measure the open-loop error against copy-last and mean baselines.

    Copy-last is the error of a model in which nothing ever moves: it tells how much there was to
    predict. The mean baseline tells when a prediction has lost every connection to what happened.

    Args:
        latents: of held-out windows, imagined at least one block ahead.
        seed: of the bootstrap.

    Raises:
        ValueError: if nothing was imagined.
    """
    if latents.blocks < 1:
        raise ValueError("a drift needs latents imagined at least 1 block ahead")
    centre = latents.encoded.mean((0, 1))
    variance = (latents.encoded - centre).square().mean().item()
    future = latents.encoded[:, 1:]

    def errors(guess: Tensor) -> Tensor:
        """(N, H) squared distances; a collapsed model has next to no variance to divide by."""
        return (guess - future).square().mean((2, 3)) / max(variance, 1e-12)

    model = errors(latents.imagined)
    low, high = bootstrap(model, latents.episodes, seed)
    return DriftReport(
        blocks=tuple(range(1, latents.blocks + 1)),
        model=tuple(model.mean(0).tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
        copy_last=tuple(errors(latents.encoded[:, :1]).mean(0).tolist()),
        mean=tuple(errors(centre).mean(0).tolist()),
        variance=variance,
        windows=len(future),
        episodes=len(set(latents.episodes.tolist())),
    )


def bootstrap(values: Tensor, episodes: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    """95 % interval of a mean over windows, resampling whole episodes: windows of one are alike.

    Args:
        values: (N, H) a number for each window and block.
        episodes: (N,) which episode each window is from.
        seed: of the draws.

    Returns:
        (H,) 2.5 and (H,) 97.5 percentiles.
    """
    names, which = torch.unique(episodes, return_inverse=True)
    sums = values.new_zeros(len(names), values.shape[1]).index_add_(0, which, values)
    counts = torch.bincount(which, minlength=len(names)).to(values)[:, None]
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randint(len(names), (RESAMPLES, len(names)), generator=generator)
    means = sums[draws].sum(1) / counts[draws].sum(1)
    ends = torch.quantile(means, torch.tensor([0.025, 0.975], dtype=means.dtype), dim=0)
    return ends[0], ends[1]


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
