"""The sampling distribution of CEM, iCEM and MPPI: Gaussian numbers and categorical ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from goalsight_planners.config import GaussianConfig
from goalsight_planners.space import Space, pick, put
from goalsight_planners.stopping import freeze


@dataclass(frozen=True)
class Distribution:
    """Independent Gaussians, and for every block of a discrete axis a categorical."""

    mean: Tensor
    """(B, H, R, A) a plan; of a discrete axis the likeliest values."""
    std: Tensor
    """(B, H, R, A), in action units."""
    odds: tuple[Tensor, ...]
    """One (B, H, V) for each discrete axis: probability of each value."""

    def frozen(self, stopped: Tensor, new: Distribution) -> Distribution:
        """This one for the problems that are done (B,), the new one for the others."""
        return Distribution(
            mean=freeze(stopped, self.mean, new.mean),
            std=freeze(stopped, self.std, new.std),
            odds=tuple(
                freeze(stopped, old, fresh) for old, fresh in zip(self.odds, new.odds, strict=True)
            ),
        )


def begin(space: Space, config: GaussianConfig, mean: Tensor, *, guessed: bool) -> Distribution:
    """The distribution before anything was evaluated.

    Args:
        space: where to search.
        config: its first spread.
        mean: (B, H, R, A) plan to start from.
        guessed: whether the mean is a caller's guess. Then half of the probability of a discrete
            axis goes to what was guessed; the rest, or all of it, is uniform.
    """
    std = ((config.fixed_std or config.init_std) * space.half_range).expand_as(mean)
    odds = []
    for one, values in zip(space.discrete, space.values, strict=True):
        same = mean[:, :, 0, one.axis, None] == values[:, None]
        uniform = torch.full_like(same, 1 / len(one.values), dtype=mean.dtype)
        hit = same / same.sum(dim=-1, keepdim=True).clamp_min(1)
        odds.append(uniform.lerp(hit, 0.5) if guessed else uniform)
        std = put(std, one.axis, _deviation(odds[-1], values))
    return Distribution(mean, std, tuple(odds))


def draw(space: Space, distribution: Distribution, noise: Tensor) -> Tensor:
    """Plans (B, N, H, R, A) from standard normal noise (B, N, H, S, A), coloured or not.

    A discrete axis reads its noise through the Gaussian's distribution function, so that coloured
    noise keeps it at one value for longer as well (a Gaussian copula).
    """
    points = noise * distribution.std[:, None] + distribution.mean[:, None]
    for one, values, odds in zip(space.discrete, space.values, distribution.odds, strict=True):
        level = torch.special.ndtr(noise[:, :, :, 0, one.axis])
        passed = level[..., None] > odds.cumsum(dim=-1)[:, None, :, :-1]
        points = put(points, one.axis, pick(values, passed.sum(dim=-1)))
    return space.plans(points)


def refit(
    old: Distribution,
    plans: Tensor,
    weights: Tensor,
    *,
    space: Space,
    config: GaussianConfig,
    std_momentum: float | None = None,
) -> Distribution:
    """Fit the distribution to plans (B, n, H, R, A) by weights (B, n) that sum to 1.

    The old distribution keeps the share `config.momentum`, in the std `std_momentum` if given, and
    all of its std where `config.fixed_std` says so.
    """
    inertia = config.momentum if std_momentum is None else std_momentum
    weights = weights[:, :, None, None, None]
    mean = (weights * plans).sum(dim=1)
    std = (weights * (plans - mean[:, None]).square()).sum(dim=1).sqrt()
    mean = mean.lerp(old.mean, config.momentum)
    std = std.lerp(old.std, inertia).maximum(config.min_std * space.half_range)
    if config.fixed_std:
        std = old.std
    odds = []
    for one, values, before in zip(space.discrete, space.values, old.odds, strict=True):
        hits = plans[:, :, :, 0, one.axis, None] == values[:, None, None]
        share = (weights[..., 0] * hits).sum(dim=1)
        share = share / share.sum(dim=-1, keepdim=True).clamp_min(1e-12)
        share = share.lerp(before, config.momentum)
        floor = config.min_probability
        odds.append((1 - len(one.values) * floor) * share + floor)
        likeliest = odds[-1].argmax(dim=-1)[:, None]
        mean = put(mean, one.axis, pick(values, likeliest)[:, 0])
        std = put(std, one.axis, _deviation(odds[-1], values))
    return Distribution(space.plans(mean[:, None])[:, 0], std, tuple(odds))


def spread(space: Space, distribution: Distribution) -> Tensor:
    """(B,) width of the distribution in normalised units, see `IterationStats.spread`."""
    relative = distribution.std / space.half_range.clamp_min(1e-12)
    for one, odds in zip(space.discrete, distribution.odds, strict=True):
        relative = put(relative, one.axis, 1 - odds.amax(dim=-1))
    return relative.mean(dim=(1, 2, 3))


def _deviation(odds: Tensor, values: Tensor) -> Tensor:
    """Standard deviation (B, H) of a categorical (B, H, V) over values (B or 1, V)."""
    mean = (odds * values[:, None]).sum(dim=-1, keepdim=True)
    return (odds * (values[:, None] - mean).square()).sum(dim=-1).sqrt()
