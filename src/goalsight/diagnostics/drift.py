"""How far imagination strays from what then happened, by blocks ahead."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from goalsight.diagnostics.latents import Latents

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
