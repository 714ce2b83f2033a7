"""The loop that CEM, iCEM and MPPI share: draw plans, rank them, refit, repeat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from goalsight_planners.config import GaussianConfig
from goalsight_planners.distribution import Distribution, begin, draw, refit, spread
from goalsight_planners.limits import Projection
from goalsight_planners.noise import colour_matrix, coloured, white
from goalsight_planners.plan import Cost, IterationStats, Plan, Stop
from goalsight_planners.space import Bounds, Space, evaluate, make_space, take
from goalsight_planners.stopping import Finished, freeze, time_is_up


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What tells the three apart."""

    counts: tuple[int, ...]
    """Plans drawn in each iteration."""
    weigh: Callable[[Tensor], Tensor]
    """Weights (B, n), summing to 1, of plans whose costs (B, n) ascend."""
    fitted: int | None = None
    """Cheapest plans that are weighed; None weighs them all."""
    keep: int = 0
    """Elites that compete again in the next iteration, at the cost found when they were drawn."""
    exponent: float = 0.0
    """Colour of the noise in time."""
    std_momentum: float | None = None
    """Share of the old std in the new one, where it is not that of the mean."""


@dataclass(frozen=True)
class _Search:
    """What one iteration hands to the next."""

    distribution: Distribution
    best: Tensor  # (B, H, R, A)
    best_cost: Tensor  # (B,)
    stopped: Tensor  # (B,) bool
    ranked: Tensor | None = None  # (B, n, H, R, A), costs ascending; None before the first
    ranked_cost: Tensor | None = None  # (B, n)
    history: list[IterationStats] = field(default_factory=list)


@torch.no_grad()
def search(
    cost: Cost,
    init: Tensor | None,
    bounds: Bounds,
    config: GaussianConfig,
    generators: Sequence[torch.Generator],
    *,
    limits: Projection | None,
    stop: Stop | None,
    rule: Rule,
) -> Plan:
    """Search by refitting a distribution; arguments, result and errors are those of `cem`."""
    space = make_space(bounds, init, config, generators, limits)
    guesses = space.guesses(init)
    _check_room(guesses, config, rule.counts[0])
    mixing = _mixing(space, rule.exponent)
    unfixed = replace(config, fixed_std=0.0)
    widest = begin(space, unfixed, space.guesses(None)[:, 0], guessed=False)
    state = _Search(
        distribution=begin(space, config, guesses[:, 0], guessed=init is not None),
        best=guesses[:, 0],
        best_cost=guesses.new_full((space.problems,), torch.inf),
        stopped=torch.zeros(space.problems, dtype=torch.bool, device=guesses.device),
    )
    finished = Finished(guesses.device)
    spent = 0
    for iteration, count in enumerate(rule.counts):
        if time_is_up(stop, iteration):
            break
        noise = white(space, count, generators)
        if config.stop_spread and finished(state.stopped):
            continue  # draws what it would have: the streams of the next decision stay the same
        noise = noise if mixing is None else coloured(noise, mixing)
        plans = draw(space, state.distribution, noise)
        if alone := _from_prior(config, count):
            plans[:, count - alone :] = draw(space, widest, noise[:, count - alone :])
        if iteration == 0 and init is not None and init.ndim == 5:
            plans[:, : guesses.shape[1]] = guesses
        if config.stop_spread or iteration == len(rule.counts) - 1:
            plans[:, 0] = state.distribution.mean
        state = _step(
            state, plans, evaluate(cost, space, plans), space=space, config=config, rule=rule
        )
        spent += count
    return _plan(state, space, config, spent)


def _from_prior(config: GaussianConfig, count: int) -> int:
    """How many of an iteration's plans owe nothing to the search; one is left to it."""
    return min(round(config.prior_fraction * count), count - 1)


def _check_room(guesses: Tensor, config: GaussianConfig, count: int) -> None:
    """Guesses must not take the place of the plans that owe nothing to them."""
    room = count - _from_prior(config, count)
    if guesses.shape[1] > room:
        raise ValueError(
            f"init holds {guesses.shape[1]} guesses; of {count} samples {room} are not independent "
            "of them: pass fewer, or draw more samples"
        )


def _mixing(space: Space, exponent: float) -> Tensor | None:
    """The colour of the noise on the planner's device; None for white noise."""
    steps = space.drawn[0] * space.drawn[1]
    if exponent == 0 or steps == 1:
        return None
    return colour_matrix(steps, exponent).to(space.low)


def _step(
    state: _Search,
    plans: Tensor,
    costs: Tensor,
    *,
    space: Space,
    config: GaussianConfig,
    rule: Rule,
) -> _Search:
    """Rank the plans together with those kept, and refit; problems that are done stay as is."""
    if rule.keep and state.ranked is not None and state.ranked_cost is not None:
        plans = torch.cat([plans, state.ranked[:, : rule.keep]], dim=1)
        costs = torch.cat([costs, state.ranked_cost[:, : rule.keep]], dim=1)
    ranked_cost, index = costs.topk(rule.fitted or costs.shape[1], dim=1, largest=False)
    ranked = take(plans, index)
    distribution = refit(
        state.distribution,
        ranked,
        rule.weigh(ranked_cost),
        space=space,
        config=config,
        std_momentum=rule.std_momentum,
    )
    better = ranked_cost[:, 0] < state.best_cost
    if config.stop_spread:
        better = better & ~state.stopped
        distribution = state.distribution.frozen(state.stopped, distribution)
        if state.ranked is not None and state.ranked_cost is not None:
            ranked = freeze(state.stopped, state.ranked, ranked)
            ranked_cost = freeze(state.stopped, state.ranked_cost, ranked_cost)
    width = spread(space, distribution)
    best_cost = torch.where(better, ranked_cost[:, 0], state.best_cost)
    weights = rule.weigh(ranked_cost)  # of what was frozen, where it was
    elite_cost = torch.where(weights > 0, weights * ranked_cost, 0).sum(dim=1)
    stats = IterationStats(best_cost=best_cost, elite_cost=elite_cost, spread=width)
    return replace(
        state,
        distribution=distribution,
        best=torch.where(better[:, None, None, None], ranked[:, 0], state.best),
        best_cost=best_cost,
        stopped=state.stopped | (width <= config.stop_spread),
        ranked=ranked,
        ranked_cost=ranked_cost,
        history=[*state.history, stats],
    )


def _plan(state: _Search, space: Space, config: GaussianConfig, spent: int) -> Plan:
    """What the caller gets, as blocks of K actions."""
    assert state.ranked is not None
    return Plan(
        actions=space.blocks(state.best),
        mean=space.blocks(state.distribution.mean),
        std=space.blocks(state.distribution.std),
        elites=space.blocks(state.ranked[:, : config.elites]),
        cost=state.best_cost,
        history=tuple(state.history),
        evaluations=spent,
    )
