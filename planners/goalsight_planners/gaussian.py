"""CEM, iCEM and MPPI: draw plans from a distribution, rank them, refit it, repeat."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

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
    pick,
    put,
    take,
    time_is_up,
    white,
)


@dataclass(frozen=True, kw_only=True)
class GaussianConfig(SearchConfig):
    """What the planners that refit a Gaussian share: CEM, iCEM and MPPI."""

    init_std: float = 0.7
    """Sampling spread of the first iteration, in normalised action units."""
    min_std: float = 0.05
    """Floor on the sampling spread, in normalised action units."""
    momentum: float = 0.0
    """Share of the old distribution in the new one, in [0, 1); 0 forgets it."""
    min_probability: float = 0.02
    """Floor on the probability of each value of a discrete axis: no block is decided for good."""
    fixed_std: float = 0.0
    """Sampling spread that no refit changes, in normalised action units: the search stays this near
    to what it was given, such as an actor's plan. 0 begins with `init_std` and refits."""
    prior_fraction: float = 0.0
    """Fraction of every iteration's samples drawn from the prior, around mid-bounds with
    `init_std`, instead of around what was given or found; in [0, 1)."""

    def __post_init__(self) -> None:
        """Raises ValueError where a field is out of its range."""
        super().__post_init__()
        if not 0 < self.min_std <= self.init_std:
            raise ValueError(
                f"min_std must be in (0, init_std={self.init_std}], got {self.min_std}"
            )
        for name in ("momentum", "prior_fraction"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")
        if not 0 <= self.fixed_std < math.inf:
            raise ValueError(f"fixed_std must be at least 0, got {self.fixed_std}")
        most = min((1 / len(one.values) for one in self.discrete), default=0.5)
        if not 0 < self.min_probability <= most:
            raise ValueError(
                f"min_probability must be in (0, {most:.3g}], got {self.min_probability}"
            )


# -- the planners


@dataclass(frozen=True, kw_only=True)
class CEMConfig(GaussianConfig):
    """How far a planner looks and how hard it searches.

    Normalised action units are those in which the bounds are [-1, 1].
    """

    keep_elites: int = 0
    """Elites that compete again in the next iteration, at the cost found when they were drawn."""

    def __post_init__(self) -> None:
        """Raises ValueError where a field is out of its range."""
        super().__post_init__()
        if not 0 <= self.keep_elites <= self.elites:
            raise ValueError(
                f"keep_elites must be in [0, elites={self.elites}], got {self.keep_elites}"
            )


def cem(
    cost: Cost,
    init: Tensor | None,
    bounds: Bounds,
    config: CEMConfig,
    generators: Sequence[torch.Generator],
    *,
    limits: Projection | None = None,
    stop: Stop | None = None,
) -> Plan:
    """Search B independent problems at once by the cross-entropy method.

    De Boer et al. 2005, "A tutorial on the cross-entropy method"; kept elites and the mean as a
    last candidate are from iCEM (Pinneri et al. 2020, arXiv:2008.06389). A problem draws from its
    own generator alone, so its plan does not depend on which others are in the batch: on a CPU it
    is equal bit for bit, if `cost` rounds a problem alike among others (a batched matrix product
    does not); elsewhere its cost is equal to 1e-4, and elites may change places within that.
    Nothing inside an iteration waits for the device.

    Args:
        cost: maps plans (B, N, H, K, A) to costs (B, N).
        init: (B, H, K, A) mean to start from, such as `shift(plan)`; (B, M, H, K, A) guesses, such
            as `shift_elites(plan)` or an actor's plans: the first is the mean to start from and
            all are candidates of the first iteration; None starts mid-bounds.
        bounds: lowest and highest action, each (A,) or (B, A); they set the device.
        config: how hard to search.
        generators: one random stream a problem, on the device of the bounds.
        limits: what a plan must obey beyond its bounds, such as a `Workspace`: every plan that is
            evaluated or returned has passed through it.
        stop: asked between iterations whether to end the search, such as for a deadline; what was
            found by then is returned. A search that it does not end is the same as without.

    Returns:
        The cheapest plan of each problem, the last sampling distribution and the history.

    Raises:
        ValueError: if shapes or devices disagree, the bounds are not finite and ordered, or a
            discrete axis or the workspace does not fit them.
    """
    rule = Rule(
        counts=(config.samples,) * config.iterations,
        weigh=equal_weights,
        fitted=config.elites,
        keep=config.keep_elites,
    )
    return search(cost, init, bounds, config, generators, limits=limits, stop=stop, rule=rule)


def equal_weights(costs: Tensor) -> Tensor:
    """The same weight for each of the elites (B, n), whatever they cost."""
    return torch.full_like(costs, 1 / costs.shape[1])


@dataclass(frozen=True, kw_only=True)
class ICEMConfig(CEMConfig):
    """As CEM, and how smooth the noise is and how fast the population shrinks."""

    momentum: float = 0.1
    """Share of the old distribution in the new one, in [0, 1); 0 forgets it."""
    keep_elites: int = 6
    """Elites that compete again in the next iteration, at the cost found when they were drawn."""
    colour: float = 1.0
    """Exponent of the noise's power spectrum 1 / f^colour over the steps of a plan: 0 is white;
    the larger, the longer an action is held. Worth most where every control step is free; blocks
    that repeat one action are smooth already."""
    decay: float = 1.25
    """Each iteration draws this many times fewer plans than the one before, at least twice the
    elites; 1 draws as many."""

    def __post_init__(self) -> None:
        """Raises ValueError where a field is out of its range."""
        super().__post_init__()
        if not 0 <= self.colour <= 4:
            raise ValueError(f"colour must be in [0, 4], got {self.colour}")
        if self.decay < 1:
            raise ValueError(f"decay must be at least 1, got {self.decay}")

    @property
    def counts(self) -> tuple[int, ...]:
        """Plans drawn in each iteration."""
        least = min(2 * self.elites, self.samples)
        return tuple(
            max(least, int(self.samples * self.decay**-number)) for number in range(self.iterations)
        )

    @property
    def evaluations(self) -> int:
        """Candidate plans evaluated for one problem if nothing stops early."""
        return sum(self.counts)


def icem(
    cost: Cost,
    init: Tensor | None,
    bounds: Bounds,
    config: ICEMConfig,
    generators: Sequence[torch.Generator],
    *,
    limits: Projection | None = None,
    stop: Stop | None = None,
) -> Plan:
    """Search B independent problems at once by the improved cross-entropy method.

    Pinneri et al. 2020, "Sample-efficient cross-entropy method for real-time planning"
    (arXiv:2008.06389): noise coloured in time, elites kept from one iteration to the next, a
    population that shrinks, the mean as a last candidate, the cheapest plan returned rather than
    the mean. Elites carried over from the last decision come in through `init`: pass
    `shift_elites(plan)`. Kept elites are not evaluated again, since the model is deterministic.

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
    rule = Rule(
        counts=config.counts,
        weigh=equal_weights,
        fitted=config.elites,
        keep=config.keep_elites,
        exponent=config.colour,
    )
    return search(cost, init, bounds, config, generators, limits=limits, stop=stop, rule=rule)


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


# -- the loop that they share


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


# -- the distribution


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


# -- noise that is smooth in time


def colour_matrix(steps: int, exponent: float) -> Tensor:
    """Mixing matrix that turns white noise over time into coloured noise.

    Power spectrum 1 / f^exponent (Timmer and Koenig 1995, as in iCEM, Pinneri et al. 2020,
    arXiv:2008.06389, section 3.1), the lowest frequency standing in for 0. They draw it by an
    inverse Fourier transform of as many steps, whose ends meet: the last action is like the first.
    Here the spectrum is that of a signal twice as long, and the Cholesky factor of its
    autocovariance gives the first half with no such wrap.

    Args:
        steps: T, steps in time.
        exponent: 0 is white, 1 pink, 2 red noise.

    Returns:
        (T, T) lower triangular float32 with rows of length 1: unit variance at every step.

    Raises:
        ValueError: if the exponent is not in [0, 4]; beyond that nothing but the mean moves.

    >>> colour_matrix(3, 0.0).equal(torch.eye(3))
    True
    """
    if not 0 <= exponent <= 4:
        raise ValueError(f"exponent must be in [0, 4], got {exponent}")
    if exponent == 0:
        return torch.eye(steps)
    frequency = torch.arange(steps + 1, dtype=torch.float64).clamp_min(1)
    covariance = torch.fft.irfft(frequency**-exponent, n=2 * steps)[:steps]
    lag = (torch.arange(steps)[:, None] - torch.arange(steps)).abs()
    factor: Tensor = torch.linalg.cholesky(covariance[lag] / covariance[0])
    return factor.float()


def coloured(noise: Tensor, mixing: Tensor) -> Tensor:
    """Noise (B, N, H, S, A) made coloured over its H x S steps by a matrix (H x S, H x S).

    Problem by problem: a product of another size may round otherwise, and the samples of a
    problem must not depend on the batch it is in.
    """
    steps = noise.flatten(2, 3)
    mixed = torch.stack([torch.matmul(mixing, row) for row in steps])
    return mixed.view_as(noise)
