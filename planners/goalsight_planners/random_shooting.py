"""Random shooting: the search that does not learn, the bar every other planner must clear."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from goalsight_planners.config import SearchConfig
from goalsight_planners.limits import Projection
from goalsight_planners.noise import uniform
from goalsight_planners.plan import Cost, IterationStats, Plan, Stop
from goalsight_planners.ranking import Elites
from goalsight_planners.space import Bounds, Space, evaluate, make_space, pick, put
from goalsight_planners.stopping import time_is_up


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
