"""Random shooting: the search that does not learn, the bar every other planner must clear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from goalsight_planners.base import (
    Bounds,
    Cost,
    IterationStats,
    Plan,
    Projection,
    SearchConfig,
    Space,
    Stop,
    evaluate,
    make_space,
    pick,
    put,
    take,
    time_is_up,
    uniform,
)


@torch.no_grad()
def random_shooting(
    cost: Cost,
    init: Tensor | None,
    bounds: Bounds,
    config: SearchConfig,
    generators: Sequence[torch.Generator],
    *,
    limits: Projection | None = None,
    stop: Stop | None = None,
) -> Plan:
    """Draw plans uniformly inside the bounds and return the cheapest.

    Evaluates `samples` x `iterations` plans, as CEM of the same config does, so that the two can
    be compared. It never narrows, so `stop_spread` has no meaning here.

    Args:
        cost: maps plans (B, N, H, K, A) to costs (B, N).
        init: (B, H, K, A) plan or (B, M, H, K, A) plans to try first, such as `shift(plan)`; None
            draws them all.
        bounds: lowest and highest action, each (A,) or (B, A); they set the device.
        config: how far to look and how many plans to draw.
        generators: one random stream a problem, on the device of the bounds.
        limits: what a plan must obey beyond its bounds; see `cem`.
        stop: asked between iterations whether to end the search; see `cem`.

    Returns:
        The cheapest plan of each problem; `mean` and `std` are those of the elites.

    Raises:
        ValueError: as `cem`.
    """
    space = make_space(bounds, init, config, generators, limits)
    elites = Elites.none(space)
    width = space.low.new_full((space.problems,), 3**-0.5)  # a uniform distribution's deviation
    history: list[IterationStats] = []
    for iteration in range(config.iterations):
        if time_is_up(stop, iteration):
            break
        plans = scatter(space, uniform(space, config.samples, generators))
        if iteration == 0 and init is not None:
            guesses = space.guesses(init)
            plans[:, : guesses.shape[1]] = guesses
        elites = elites.join(plans, evaluate(cost, space, plans), config.elites)
        history.append(elites.stats(width))
    return elites.plan(space, history, config.samples * len(history))


def scatter(space: Space, level: Tensor) -> Tensor:
    """Plans spread evenly over the space, from numbers (B, N, H, S, A) uniform on [0, 1)."""
    points = space.between(level)
    for one, values in zip(space.discrete, space.values, strict=True):
        index = (level[:, :, :, 0, one.axis] * len(one.values)).long()
        points = put(points, one.axis, pick(values, index.clamp_max(len(one.values) - 1)))
    return space.plans(points)


@dataclass(frozen=True)
class Elites:
    """Plans (B, E, H, R, A) and their costs (B, E), ascending."""

    plans: Tensor
    costs: Tensor

    @classmethod
    def none(cls, space: Space) -> Elites:
        """Before anything was evaluated."""
        empty = space.low.new_empty(space.problems, 0, *space.shape)
        return cls(empty, empty.new_empty(space.problems, 0))

    def join(self, plans: Tensor, costs: Tensor, most: int) -> Elites:
        """The cheapest of these and of plans (B, N, H, R, A) with costs (B, N)."""
        costs = torch.cat([costs, self.costs], dim=1)
        best, index = costs.topk(min(most, costs.shape[1]), dim=1, largest=False)
        return Elites(take(torch.cat([plans, self.plans], dim=1), index), best)

    def stats(self, spread: Tensor) -> IterationStats:
        """An entry of the history."""
        return IterationStats(
            best_cost=self.costs[:, 0], elite_cost=self.costs.mean(dim=1), spread=spread
        )

    def plan(self, space: Space, history: list[IterationStats], evaluations: int) -> Plan:
        """The outcome of a search that found these."""
        std, mean = torch.std_mean(self.plans, dim=1, correction=0)
        return Plan(
            actions=space.blocks(self.plans[:, 0]),
            mean=space.blocks(space.plans(mean[:, None])[:, 0]),
            std=space.blocks(std),
            elites=space.blocks(self.plans),
            cost=self.costs[:, 0],
            history=tuple(history),
            evaluations=evaluations,
        )
