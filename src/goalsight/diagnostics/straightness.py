"""How straight paths through latent space are: cosines of consecutive velocities."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from goalsight.diagnostics.latents import Latents

AT_REST = 1e-3
"""Steps shorter than this share of the latents' spread have no direction to speak of."""
BINS = 40
"""Of the histogram, over cosines from -1 to 1."""


@dataclass(frozen=True, kw_only=True)
class Turning:
    """How a set of paths turns."""

    cosine: float
    """Mean cosine between consecutive velocities: 1 straight, 0 at random, -1 back and forth; not
    a number for paths at rest."""
    by_block: tuple[float, ...]
    """(H-1,) the same at each turn of the path."""
    curvature_deg: float
    """Mean angle between consecutive velocities [degrees]."""
    speed: float
    """Root mean squared length of a step, in units of the latents' standard deviation."""
    histogram: tuple[float, ...]
    """(BINS,) share of the turns in each bin of cosines from -1 to 1."""
    turns: int
    """Turns counted; those at rest have no direction and are left out."""

    def words(self) -> str:
        """Cosine and angle, or that there is none."""
        if not self.turns:
            return "does not move"
        return f"cosine {self.cosine:.2f}, {self.curvature_deg:.0f} degrees a turn"


@dataclass(frozen=True, kw_only=True)
class StraightnessReport:
    """Straightness of encoded and imagined paths under the same actions."""

    encoded: Turning
    """Of what was recorded."""
    imagined: Turning
    """Of open-loop predictions from the same first frame."""
    blocks: int
    """H, steps of a path."""
    windows: int
    """Paths looked at."""

    def summary(self) -> str:
        """A line for each kind of path."""
        return "\n".join(
            f"{name:<9} {turning.words()}, a step is {turning.speed:.2f} std long"
            for name, turning in (("encoded", self.encoded), ("imagined", self.imagined))
        )


def straightness(latents: Latents) -> StraightnessReport:
    """Measure how straight encoded and imagined paths are.

    Perceptual straightening (Henaff et al. 2019, doi:10.1038/s41593-019-0377-4): a latent in which
    natural motion is straight is easy to extrapolate. Independent noise on every frame gives -0.5,
    so that an encoder that jitters looks more curved than its predictor.

    Args:
        latents: of held-out windows, imagined at least two blocks ahead.

    Raises:
        ValueError: if the paths have fewer than two steps.
    """
    if latents.blocks < 2:
        raise ValueError(f"a path needs 2 blocks to turn, got {latents.blocks}")
    encoded = latents.encoded
    centre = encoded.mean((0, 1))
    spread = (encoded - centre).square().sum((2, 3)).mean().sqrt().clamp_min(1e-12)
    return StraightnessReport(
        encoded=turning_of(encoded, spread),
        imagined=turning_of(torch.cat((encoded[:, :1], latents.imagined), dim=1), spread),
        blocks=latents.blocks,
        windows=len(encoded),
    )


def turning_of(paths: Tensor, spread: Tensor) -> Turning:
    """How paths turn.

    Args:
        paths: (N, T, P, D) with T >= 3.
        spread: () length that counts as one standard deviation.
    """
    steps = paths.diff(dim=1).flatten(2).double()
    lengths = steps.norm(dim=-1)
    moving = lengths > AT_REST * spread
    known = moving[:, 1:] & moving[:, :-1]
    products = (steps[:, 1:] * steps[:, :-1]).sum(-1)
    cosines = products / (lengths[:, 1:] * lengths[:, :-1]).clamp_min(1e-30)
    cosines = torch.where(known, cosines.clamp(-1, 1), torch.nan)
    turns = int(known.sum())
    counts = torch.histc(cosines[known], BINS, -1, 1)
    return Turning(
        cosine=cosines.nanmean().item(),
        by_block=tuple(cosines.nanmean(0).tolist()),
        curvature_deg=math.degrees(cosines.acos().nanmean().item()),
        speed=(lengths.square().mean().sqrt() / spread).item(),
        histogram=tuple((counts / max(turns, 1)).tolist()),
        turns=turns,
    )
