"""Adam through the model: follow the gradient of the cost from several starts at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from goalsight_planners.base import (
    Bounds,
    Cost,
    Finished,
    IterationStats,
    Plan,
    Projection,
    SearchConfig,
    Space,
    Stop,
    evaluate,
    freeze,
    make_space,
    time_is_up,
    uniform,
)
from goalsight_planners.random import Elites, scatter

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8  # of the paper


@dataclass(frozen=True, kw_only=True)
class AdamConfig(SearchConfig):
    """How many starts, how many steps, how long."""

    samples: int = 8
    """Starts that descend side by side: the guesses, then plans drawn uniformly."""
    iterations: int = 42
    """Times every start is evaluated; after all but the last it takes a gradient step."""
    elites: int = 4
    """Best plans returned."""
    rate: float = 0.2
    """Length of the first steps in normalised action units; falls linearly to a tenth."""

    def __post_init__(self) -> None:
        """Raises ValueError where a field is out of its range."""
        super().__post_init__()
        if not self.rate > 0:
            raise ValueError(f"rate must be positive, got {self.rate}")

    @property
    def evaluations(self) -> int:
        """Evaluations for one problem if nothing stops early; a gradient counts as three."""
        return self.samples * (3 * (self.iterations - 1) + 1)


@dataclass(frozen=True)
class _Descent:
    """Where the starts are, as shares (B, starts, H, S, A) of the way between the bounds."""

    at: Tensor
    first: Tensor  # running mean of the gradient
    second: Tensor  # and of its square


def adam(
    cost: Cost,
    init: Tensor | None,
    bounds: Bounds,
    config: AdamConfig,
    generators: Sequence[torch.Generator],
    *,
    limits: Projection | None = None,
    stop: Stop | None = None,
) -> Plan:
    """Search B independent problems at once by gradient descent from several starts.

    Adam (Kingma and Ba 2015, arXiv:1412.6980, algorithm 1) on the actions, clipped to the bounds
    after each step. A discrete axis has no gradient: each start keeps the values it was drawn with.
    The cost must be differentiable and not under `torch.inference_mode`, nor use tensors made
    under it.

    Args:
        cost: maps plans (B, N, H, K, A) to costs (B, N), differentiably; a plan's cost must not
            depend on the other plans.
        init: (B, H, K, A) plan or (B, M, H, K, A) plans to start from; None starts one mid-bounds.
        bounds: lowest and highest action, each (A,) or (B, A); they set the device.
        config: how many starts and steps.
        generators: one random stream a problem, on the device of the bounds.
        limits: what a plan must obey beyond its bounds, differentiably; see `cem`.
        stop: asked between iterations whether to end the search; see `cem`.

    Returns:
        The cheapest plan of each problem; `mean` and `std` are those of the elites.

    Raises:
        ValueError: as `cem`, or if the cost gives no gradient.
    """
    space = make_space(bounds, init, config, generators, limits)
    with torch.inference_mode(mode=False), torch.no_grad():
        start = scatter(space, uniform(space, config.samples, generators))
        guesses = space.guesses(init)
        start[:, : guesses.shape[1]] = guesses
        return _descend(cost, space, config, start, stop)


def _descend(
    cost: Cost, space: Space, config: AdamConfig, start: Tensor, stop: Stop | None
) -> Plan:
    """The search from plans (B, starts, H, R, A)."""
    at = space.share(start[..., : space.free, :])
    state = _Descent(at, torch.zeros_like(at), torch.zeros_like(at))
    elites, finished = Elites.none(space), Finished(start.device)
    stopped = torch.zeros(space.problems, dtype=torch.bool, device=start.device)
    width = start.new_full((space.problems,), torch.inf)
    history: list[IterationStats] = []
    best, best_cost = start, start.new_full(start.shape[:2], torch.inf)  # of each start
    spent = 0
    for step in range(config.iterations):
        if time_is_up(stop, step) or (config.stop_spread and finished(stopped)):
            break
        last = step == config.iterations - 1
        plans, costs, slope = _look(cost, space, state.at, slope=not last)
        better = (costs < best_cost) & ~stopped[:, None]
        best = torch.where(better[..., None, None, None], plans, best)
        best_cost = torch.where(better, costs, best_cost)
        spent += config.samples * (1 if last else 3)
        if not last:
            rate = config.rate * (1 - 0.9 * step / config.iterations)
            moved = _move(state, slope, step, rate)
            length = 2 * (moved.at - state.at).abs().mean(dim=(1, 2, 3, 4))
            width = torch.where(stopped, width, length)
            state = _Descent(freeze(stopped, state.at, moved.at), moved.first, moved.second)
            if config.stop_spread:
                stopped = stopped | (width <= config.stop_spread)
        elites = Elites.none(space).join(best, best_cost, config.elites)
        history.append(elites.stats(width))
    return elites.plan(space, history, spent)


def _look(cost: Cost, space: Space, at: Tensor, *, slope: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Plans at these shares, their costs, and the gradient of each cost by its shares."""
    with torch.set_grad_enabled(slope):
        at = at.detach().requires_grad_(slope)
        plans = space.plans(space.between(at))
        costs = evaluate(cost, space, plans)
        if not slope:
            return plans, costs, torch.zeros_like(at)
        if not costs.requires_grad:
            raise ValueError(
                "cost gives no gradient; Adam needs one: leave out torch.no_grad and "
                "torch.inference_mode, or choose a planner that samples"
            )
        total = torch.where(costs.isfinite(), costs, 0).sum()  # each plan's gradient is its own
        (gradient,) = torch.autograd.grad(total, at)
    return plans.detach(), costs.detach(), gradient.nan_to_num(nan=0, posinf=0, neginf=0)


def _move(state: _Descent, slope: Tensor, step: int, rate: float) -> _Descent:
    """One step of Adam, kept inside the bounds; the rate is in units of half their distance."""
    first = state.first.lerp(slope, 1 - _BETA_1)
    second = state.second.lerp(slope.square(), 1 - _BETA_2)
    mean = first / (1 - _BETA_1 ** (step + 1))
    root = (second / (1 - _BETA_2 ** (step + 1))).sqrt()
    at = (state.at - rate / 2 * mean / (root + _EPSILON)).clamp(0, 1)
    return _Descent(at, first, second)
