"""MPPI: every sample counts, the cheap ones exponentially more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from goalsight_planners.config import GaussianConfig
from goalsight_planners.gaussian import Rule, search
from goalsight_planners.limits import Projection
from goalsight_planners.plan import Cost, Plan, Stop
from goalsight_planners.space import Bounds


@dataclass(frozen=True, kw_only=True)
class MPPIConfig(GaussianConfig):
    """As any Gaussian search, and how sharply the weights fall with the cost."""

    temperature: float = 0.2
    """Cost above the cheapest, in standard deviations of the samples' costs, at which a weight has
    fallen to 1/e. Relative, so that it means the same for any cost function."""
    std_momentum: float = 0.0
    """Share of the old std in the new one, in [0, 1]; 1 never narrows, as in the original."""

    def __post_init__(self) -> None:
        """Raises ValueError where a field is out of its range."""
        super().__post_init__()
        if not self.temperature > 0:
            raise ValueError(f"temperature must be positive, got {self.temperature}")
        if not 0 <= self.std_momentum <= 1:
            raise ValueError(f"std_momentum must be in [0, 1], got {self.std_momentum}")


def mppi(
    cost: Cost,
    init: Tensor | None,
    bounds: Bounds,
    config: MPPIConfig,
    generators: Sequence[torch.Generator],
    *,
    limits: Projection | None = None,
    stop: Stop | None = None,
) -> Plan:
    """Search B independent problems at once by model predictive path integral control.

    Williams et al. 2017, "Model predictive path integral control: from theory to parallel
    computation", the mean as the exponentially weighted mean of all samples; the std is refitted
    with the same weights as in TD-MPC2 (Hansen et al. 2024, arXiv:2310.16828) unless
    `std_momentum` is 1. Unlike in both, the temperature is relative to the spread of the costs,
    and the cheapest plan is returned rather than the mean, which is the last candidate.

    Args:
        cost: maps plans (B, N, H, K, A) to costs (B, N).
        init: (B, H, K, A) mean to start from, (B, M, H, K, A) guesses, or None; see `cem`.
        bounds: lowest and highest action, each (A,) or (B, A); they set the device.
        config: how hard to search.
        generators: one random stream a problem, on the device of the bounds.
        limits: what a plan must obey beyond its bounds; see `cem`.
        stop: asked between iterations whether to end the search; see `cem`.

    Returns:
        The cheapest plan of each problem, the last sampling distribution and the history.

    Raises:
        ValueError: as `cem`.
    """

    def weigh(costs: Tensor) -> Tensor:
        return path_weights(costs, config.temperature)

    rule = Rule(
        counts=(config.samples,) * config.iterations,
        weigh=weigh,
        std_momentum=config.std_momentum,
    )
    return search(cost, init, bounds, config, generators, limits=limits, stop=stop, rule=rule)


def path_weights(costs: Tensor, temperature: float) -> Tensor:
    """Weights (B, n), summing to 1, that fall exponentially with the cost (B, n).

    A cost that is not finite weighs nothing; where none is finite, all weigh the same. Adding a
    constant to the costs of a problem, or scaling them, changes nothing.

    >>> path_weights(torch.tensor([[0.0, torch.inf]]), 1.0).tolist()
    [[1.0, 0.0]]
    """
    finite = costs.isfinite()
    number = finite.sum(dim=1, keepdim=True).clamp_min(1)
    known = torch.where(finite, costs, 0)
    mean = known.sum(dim=1, keepdim=True) / number
    deviation = torch.where(finite, costs - mean, 0).square().sum(dim=1, keepdim=True) / number
    least = torch.where(finite, costs, torch.inf).amin(dim=1, keepdim=True)
    scale = (temperature * deviation.sqrt()).clamp_min(torch.finfo(costs.dtype).tiny)
    level = torch.where(finite, (least - costs) / scale, -torch.inf)
    weights = level.softmax(dim=1)
    return torch.where(finite.any(dim=1, keepdim=True), weights, 1 / costs.shape[1])
