"""CMA-ES through the `cmaes` library: the reference for what a careful search finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
    time_is_up,
)
from goalsight_planners.random import Elites

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class CMAESConfig(SearchConfig):
    """How large the population is and how wide it starts."""

    samples: int = 20
    """Population; 4 + 3 ln(numbers in a plan) is the usual choice."""
    iterations: int = 50
    """Generations."""
    elites: int = 10
    """Best plans returned."""
    init_std: float = 0.5
    """Spread of the first population, in normalised action units."""

    def __post_init__(self) -> None:
        """Raises ValueError where a field is out of its range."""
        super().__post_init__()
        if not self.init_std > 0:
            raise ValueError(f"init_std must be positive, got {self.init_std}")


@torch.no_grad()
def cma_es(
    cost: Cost,
    init: Tensor | None,
    bounds: Bounds,
    config: CMAESConfig,
    generators: Sequence[torch.Generator],
    *,
    limits: Projection | None = None,
    stop: Stop | None = None,
) -> Plan:
    """Search B independent problems side by side by covariance matrix adaptation.

    Hansen 2016, "The CMA evolution strategy: a tutorial" (arXiv:1604.00772), as implemented by
    Nomura and Shibata 2024 (arXiv:2402.01373). One optimiser a problem, on the host: every
    generation waits for the device, and a matrix of the size of a plan is factorised. A reference
    to measure the others by, not a planner for a control loop. Points outside the bounds are
    clipped; a discrete axis takes the nearest of its values.

    Args:
        cost: maps plans (B, N, H, K, A) to costs (B, N).
        init: (B, H, K, A) mean to start from; (B, M, H, K, A) guesses, the first the mean and all
            in the first population; None starts mid-bounds.
        bounds: lowest and highest action, each (A,) or (B, A); they set the device.
        config: population and generations.
        generators: one random stream a problem, on the device of the bounds; each seeds an
            optimiser.
        limits: what a plan must obey beyond its bounds; see `cem`.
        stop: asked between iterations whether to end the search; see `cem`.

    Returns:
        The cheapest plan of each problem; `mean` and `std` are those of the elites.

    Raises:
        ValueError: as `cem`.
        ModuleNotFoundError: if `cmaes` is not installed.
    """
    space = make_space(bounds, init, config, generators, limits)
    guesses = space.guesses(init)
    optimisers = _optimisers(space, guesses[:, 0], config, generators)
    elites = Elites.none(space)
    stopped = torch.zeros(space.problems, dtype=torch.bool)
    history: list[IterationStats] = []
    for generation in range(config.iterations):
        if time_is_up(stop, generation) or (config.stop_spread and bool(stopped.all())):
            break
        rows = _ask(optimisers, config.samples)
        if generation == 0 and init is not None and init.ndim == 5:
            rows[:, : guesses.shape[1]] = _rows(space, guesses)
        plans = _plans(space, rows)
        costs = evaluate(cost, space, plans)
        _tell(optimisers, rows, costs, stopped)
        # a problem that is done draws on, unseen: its plan must not depend on the others
        seen = torch.where(stopped[:, None].to(costs.device), torch.inf, costs)
        elites = elites.join(plans, seen, config.elites)
        width = torch.from_numpy(rows).std(dim=1).mean(dim=1).float()
        stopped = stopped | (width <= config.stop_spread)
        history.append(elites.stats(width.to(costs.device)))
    return elites.plan(space, history, config.samples * len(history))


def _optimisers(
    space: Space, mean: Tensor, config: CMAESConfig, generators: Sequence[torch.Generator]
) -> list[Any]:
    """One optimiser a problem, in normalised units, seeded by the problem's own stream."""
    try:
        import numpy as np
        from cmaes import CMA
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "cma_es needs the package cmaes: pip install cmaes", name=error.name
        ) from error
    rows = _rows(space, mean[:, None])[:, 0]
    box = np.tile([-1.0, 1.0], (rows.shape[1], 1))
    seeds = [int(torch.randint(2**31, (), generator=one, device=one.device)) for one in generators]
    return [
        CMA(
            mean=row,
            sigma=config.init_std,
            bounds=box,
            n_max_resampling=0,  # clip at once: near a corner almost every draw is outside
            seed=seed,
            population_size=config.samples,
        )
        for row, seed in zip(rows, seeds, strict=True)
    ]


def _ask(optimisers: list[Any], count: int) -> Rows:
    """A population (B, N, H x S x A) in normalised units."""
    import numpy as np

    return np.array([[one.ask() for _ in range(count)] for one in optimisers])


def _tell(optimisers: list[Any], rows: Rows, costs: Tensor, stopped: Tensor) -> None:
    """Let every problem that is not done learn from its population's costs (B, N)."""
    for one, population, paid, done in zip(
        optimisers, rows, costs.tolist(), stopped.tolist(), strict=True
    ):
        if not done:
            one.tell(list(zip(population, paid, strict=True)))


def _rows(space: Space, plans: Tensor) -> Rows:
    """Normalised units (B, N, H x S x A) of plans (B, N, H, R, A)."""
    share = space.share(plans[..., : space.free, :]).flatten(2)
    rows: Rows = (2 * share - 1).double().cpu().numpy()
    return rows


def _plans(space: Space, rows: Rows) -> Tensor:
    """Plans (B, N, H, R, A) of normalised units (B, N, H x S x A)."""
    share = (torch.from_numpy(rows).float().to(space.low.device) + 1) / 2
    return space.plans(space.between(share.view(*share.shape[:2], *space.drawn)))
