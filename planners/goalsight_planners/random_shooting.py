"""Random shooting: the search that does not learn, the bar every other planner must clear."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from goalsight_planners.cem import CEMConfig
from goalsight_planners.plan import Cost, IterationStats, Plan
from goalsight_planners.space import Bounds, evaluate, make_space, take


@torch.no_grad()
def random_shooting(
    cost: Cost,
    init: Tensor | None,
    bounds: Bounds,
    config: CEMConfig,
    generators: Sequence[torch.Generator],
) -> Plan:
    """Draw plans uniformly inside the bounds and return the cheapest.

    Takes what `cem` takes and evaluates as many plans (`samples` x `iterations`), so that the two
    can be compared. Of the config, `init_std`, `min_std`, `momentum` and `keep_elites` have no
    meaning here.

    Args:
        cost: maps plans (B, N, H, K, A) to costs (B, N).
        init: (B, H, K, A) plan that is tried first, such as `shift(plan)`; None draws them all.
        bounds: lowest and highest action, each (A,) or (B, A); they set the device.
        config: how far to look and how many plans to draw.
        generators: one random stream a problem, on the device of the bounds.

    Returns:
        The cheapest plan of each problem; `mean` and `std` are those of the elites.

    Raises:
        ValueError: if shapes or devices disagree or the bounds are not finite and ordered.
    """
    repeat = config.action_mode == "repeat"
    space = make_space(
        bounds, init, generators, horizon=config.horizon, block=config.block, repeat=repeat
    )
    elites = space.low.new_empty(space.problems, 0, *space.shape)
    elite_cost = elites.new_empty(space.problems, 0)
    spread: Tensor = (space.half_range / 3**0.5).mean(dim=(1, 2, 3)).expand(space.problems)
    history: list[IterationStats] = []
    for iteration in range(config.iterations):
        points = elites.new_empty(space.problems, config.samples, *space.shape)
        for row, generator in zip(points, generators, strict=True):
            row.uniform_(generator=generator)
        low, high = space.low[:, None], space.high[:, None]
        points = torch.lerp(low, high, points).clamp_(low, high)  # rounding
        if iteration == 0 and init is not None:
            points[:, 0] = space.start(init)
        pool_cost = torch.cat([evaluate(cost, space, points), elite_cost], dim=1)
        elite_cost, index = pool_cost.topk(config.elites, dim=1, largest=False, sorted=True)
        elites = take(torch.cat([points, elites], dim=1), index)
        history.append(
            IterationStats(
                best_cost=elite_cost[:, 0], elite_cost=elite_cost.mean(dim=1), spread=spread
            )
        )
    std, mean = torch.std_mean(elites, dim=1, correction=0)
    mean = mean.clamp(space.low, space.high)
    return Plan(
        actions=space.blocks(elites[:, 0]),
        mean=space.blocks(mean),
        std=space.blocks(std),
        cost=elite_cost[:, 0],
        history=tuple(history),
        evaluations=config.samples * config.iterations,
    )
