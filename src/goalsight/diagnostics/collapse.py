"""Is the representation collapsed? Spread, spectrum and effective rank of held-out latents."""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import torch
from einops import rearrange
from matplotlib.figure import Figure
from torch import Tensor

from goalsight.collapse import rank_of_spectrum
from goalsight.diagnostics.context import COLOURS, STYLE, Latents, panels

ROWS = 2048
"""Latents the spectrum is taken of at most, at random."""
COLLAPSED_SHARE = 0.05
"""Effective rank under this share of the width is called a collapse."""
FLAT = 1e-6
"""A latent that varies less than this everywhere is a constant."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """How much of its dimensions a set of latents uses, apart from what a patch always shows."""

    std: tuple[float, ...]
    """(D,) standard deviation of each dimension, in the order of the dimensions."""
    spectrum: tuple[float, ...]
    """(min(rows, D),) share of the variance along each principal direction, largest first."""
    effective_rank: float
    """exp(entropy of the normalised singular values) in [1, D]; 1 for latents on a line."""
    possible_rank: int
    """The largest rank that could be found, min(rows - 1, D)."""
    rank_share: float
    """Effective rank as a share of it."""
    directions_for_90: int
    """Principal directions that hold 90 % of the variance."""

    @property
    def mean_std(self) -> float:
        """Mean standard deviation of the dimensions."""
        return sum(self.std) / len(self.std)


@dataclass(frozen=True, kw_only=True)
class CollapseReport:
    """How much of the latent space a model uses on held-out frames."""

    frames: int
    """Frames looked at."""
    patches: int
    """P, tokens of a frame."""
    width: int
    """D, dimensions of a token."""
    encoded: Usage
    """Of what the encoder makes of recorded frames."""
    imagined: Usage | None
    """Of predictions `blocks` ahead; None if nothing was imagined."""
    blocks: int
    """Action blocks imagined."""
    collapsed: bool
    """Whether the encoded latents are constant or use under 5 % of their dimensions."""

    def summary(self) -> str:
        """A line for each kind of latents and the verdict."""
        lines = [_line("encoded", self.encoded)]
        if self.imagined is not None:
            lines.append(_line(f"{self.blocks} blocks ahead", self.imagined))
        if self.collapsed:
            lines.append(
                "collapsed: pictures differ in fewer directions than 5 % of the width; train "
                "with an anti-collapse objective, or more of it"
            )
        return "\n".join(lines)


def collapse(latents: Latents, *, seed: int = 0) -> CollapseReport:
    """Measure spread, spectrum and effective rank (RankMe, Garrido et al. 2023, arXiv:2210.02885).

    Tokens of a grid are rows like the pooled latents of other models, after the mean of each patch
    is taken away: otherwise a grid that only knows where its patches are would look rich.

    Args:
        latents: of held-out windows.
        seed: of the choice of rows.
    """
    encoded, last, rows = latents.encoded, latents.imagined[:, -1:], ROWS
    imagined = None
    if latents.blocks:
        # More rows find more rank: both kinds are judged on as many.
        rows = min(ROWS, last.shape[:3].numel())
        imagined = usage_of(last.flatten(0, 1), rows, seed)
    usage = usage_of(encoded.flatten(0, 1), rows, seed)
    return CollapseReport(
        frames=encoded.shape[0] * encoded.shape[1],
        patches=encoded.shape[2],
        width=encoded.shape[3],
        encoded=usage,
        imagined=imagined,
        blocks=latents.blocks,
        collapsed=usage.rank_share < COLLAPSED_SHARE or max(usage.std) < FLAT,
    )


def usage_of(z: Tensor, most_rows: int = ROWS, seed: int = 0) -> Usage:
    """How much of their dimensions latents (B, P, D) use, the spectrum of `most_rows` of them.

    >>> line = torch.linspace(-1, 1, 9)[:, None, None] * torch.ones(1, 1, 4)
    >>> round(usage_of(line).effective_rank, 2)
    1.0
    """
    rows = rearrange(z - z.mean(0), "b p d -> (b p) d").double()
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    sample = rows[order[:most_rows]]
    sample = sample - sample.mean(0)
    # The smaller of the two Gram matrices has the same spectrum and is cheap for wide latents.
    gram = sample @ sample.T if sample.shape[0] < sample.shape[1] else sample.T @ sample
    variances = torch.linalg.eigvalsh(gram).flip(0).clamp_min(0)
    shares = variances / variances.sum().clamp_min(1e-30)
    rank = rank_of_spectrum(variances.sqrt()).item()
    possible = max(1, min(len(sample) - 1, sample.shape[1]))
    return Usage(
        std=tuple(rows.std(0, correction=0).tolist()),
        spectrum=tuple(shares.tolist()),
        effective_rank=rank,
        possible_rank=possible,
        rank_share=rank / possible,
        directions_for_90=int((shares.cumsum(0) < 0.9).sum()) + 1,
    )


def _line(name: str, usage: Usage) -> str:
    return (
        f"{name:<16} effective rank {usage.effective_rank:6.1f} of {usage.possible_rank} "
        f"({usage.rank_share:.0%}), 90 % of the variance in {usage.directions_for_90} directions, "
        f"std {min(usage.std):.3g} to {max(usage.std):.3g}"
    )


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
