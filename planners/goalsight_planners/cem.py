"""The cross-entropy method: sample plans, keep the elites, refit, repeat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from goalsight_planners.plan import Cost, IterationStats, Plan
from goalsight_planners.space import Bounds, Space, evaluate, make_space, take


@dataclass(frozen=True, kw_only=True)
class CEMConfig:
    """How far a planner looks and how hard it searches.

    Normalised action units are those in which the bounds are [-1, 1].
    """

    horizon: int = 5
    """Action blocks looked ahead, H."""
    block: int = 5
    """Control steps in an action block, K."""
    samples: int = 200
    """Candidate plans an iteration."""
    iterations: int = 5
    """Refits of the sampling distribution."""
    elites: int = 20
    """Best plans kept to refit the sampling distribution."""
    init_std: float = 0.7
    """Sampling spread of the first iteration, in normalised action units."""
    min_std: float = 0.05
    """Floor on the sampling spread, in normalised action units."""
    momentum: float = 0.0
    """Share of the old mean and std in the new ones, in [0, 1); 0 forgets them."""
    action_mode: Literal["repeat", "free"] = "repeat"
    """`repeat` holds one action inside a block (H x A numbers), `free` searches H x K x A."""
    keep_elites: int = 0
    """Elites that compete again in the next iteration, at the cost found when they were drawn."""

    def __post_init__(self) -> None:
        """Raises ValueError where a field is out of its range."""
        for name in ("horizon", "block", "iterations"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 1 < self.elites <= self.samples:
            raise ValueError(f"elites must be in [2, samples], got {self.elites} of {self.samples}")
        if not 0 < self.min_std <= self.init_std:
            raise ValueError(
                f"min_std must be in (0, init_std={self.init_std}], got {self.min_std}"
            )
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be in [0, 1), got {self.momentum}")
        if self.action_mode not in ("repeat", "free"):
            raise ValueError(f"action_mode must be 'repeat' or 'free', got {self.action_mode!r}")
        if not 0 <= self.keep_elites <= self.elites:
            raise ValueError(
                f"keep_elites must be in [0, elites={self.elites}], got {self.keep_elites}"
            )


@dataclass(frozen=True)
class _Search:
    """What one iteration hands to the next, for plans of (H, S, A) numbers."""

    mean: Tensor  # (B, H, S, A)
    std: Tensor  # (B, H, S, A)
    kept: Tensor  # (B, keep_elites, H, S, A); empty before the first iteration
    kept_cost: Tensor  # (B, keep_elites)
    best: Tensor  # (B, H, S, A)
    best_cost: Tensor  # (B,)


@torch.no_grad()
def cem(
    cost: Cost,
    init: Tensor | None,
    bounds: Bounds,
    config: CEMConfig,
    generators: Sequence[torch.Generator],
) -> Plan:
    """Search B independent problems at once by the cross-entropy method.

    De Boer et al. 2005, "A tutorial on the cross-entropy method"; kept elites and the mean as a
    last candidate are from iCEM (Pinneri et al. 2020, arXiv:2008.06389). A problem draws from its
    own generator alone, so its plan does not depend on which others are in the batch. Nothing
    inside an iteration waits for the device.

    Args:
        cost: maps plans (B, N, H, K, A) to costs (B, N).
        init: (B, H, K, A) mean to start from, such as `shift(plan)`; None starts mid-bounds.
        bounds: lowest and highest action, each (A,) or (B, A); they set the device.
        config: how hard to search.
        generators: one random stream a problem, on the device of the bounds.

    Returns:
        The cheapest plan of each problem, the last sampling distribution and the history.

    Raises:
        ValueError: if shapes or devices disagree or the bounds are not finite and ordered.
    """
    repeat = config.action_mode == "repeat"
    space = make_space(
        bounds, init, generators, horizon=config.horizon, block=config.block, repeat=repeat
    )
    search = _begin(space, config, init)
    history: list[IterationStats] = []
    for iteration in range(config.iterations):
        points = _sample(space, search, config.samples, generators)
        if iteration == config.iterations - 1:
            points[:, 0] = search.mean
        search, stats = _refit(search, points, evaluate(cost, space, points), space, config)
        history.append(stats)
    return Plan(
        actions=space.blocks(search.best),
        mean=space.blocks(search.mean),
        std=space.blocks(search.std),
        cost=search.best_cost,
        history=tuple(history),
        evaluations=config.samples * config.iterations,
    )


def _begin(space: Space, config: CEMConfig, init: Tensor | None) -> _Search:
    """The search before its first iteration: no plan evaluated yet."""
    mean = space.start(init)
    return _Search(
        mean=mean,
        std=(config.init_std * space.half_range).expand_as(mean),
        kept=mean.new_empty(space.problems, 0, *space.shape),
        kept_cost=mean.new_empty(space.problems, 0),
        best=mean,
        best_cost=mean.new_full((space.problems,), torch.inf),
    )


def _sample(
    space: Space, search: _Search, samples: int, generators: Sequence[torch.Generator]
) -> Tensor:
    """Draw (B, N, H, S, A) points from the sampling distribution, clipped to the bounds."""
    noise = search.mean.new_empty(space.problems, samples, *space.shape)
    for row, generator in zip(noise, generators, strict=True):
        row.normal_(generator=generator)
    noise.mul_(search.std[:, None]).add_(search.mean[:, None])
    return noise.clamp_(space.low[:, None], space.high[:, None])


def _refit(
    search: _Search, points: Tensor, costs: Tensor, space: Space, config: CEMConfig
) -> tuple[_Search, IterationStats]:
    """Fit the sampling distribution to the cheapest of the points and of the elites kept."""
    points = torch.cat([points, search.kept], dim=1) if config.keep_elites else points
    costs = torch.cat([costs, search.kept_cost], dim=1) if config.keep_elites else costs
    elite_cost, index = costs.topk(config.elites, dim=1, largest=False, sorted=True)
    elites = take(points, index)
    std, mean = torch.std_mean(elites, dim=1, correction=0)
    mean = mean.lerp(search.mean, config.momentum).clamp(space.low, space.high)  # rounding
    std = std.lerp(search.std, config.momentum).maximum(config.min_std * space.half_range)
    better = elite_cost[:, 0] < search.best_cost
    refitted = _Search(
        mean=mean,
        std=std,
        kept=elites[:, : config.keep_elites],
        kept_cost=elite_cost[:, : config.keep_elites],
        best=torch.where(better[:, None, None, None], elites[:, 0], search.best),
        best_cost=torch.where(better, elite_cost[:, 0], search.best_cost),
    )
    stats = IterationStats(
        best_cost=refitted.best_cost,
        elite_cost=elite_cost.mean(dim=1),
        spread=std.mean(dim=(1, 2, 3)),
    )
    return refitted, stats
