"""What every planner shares: its settings, the space it searches, the plan it returns.

A planner is a pure function of a cost, a start, bounds, a config and random streams; `cem` says
what each of them is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

# -- what a planner is called with, and what it returns

Cost = Callable[[Tensor], Tensor]
"""Maps candidate plans (B, N, H, K, A) to costs (B, N); lower is better, NaN counts as infinite."""

Stop = Callable[[], bool]
"""Asked between two iterations of a search whether its time is up; the first always runs."""


@dataclass(frozen=True, kw_only=True)
class IterationStats:
    """How one iteration of a search went, one number a problem; still on the planner's device."""

    best_cost: Tensor
    """(B,) lowest cost found so far."""
    elite_cost: Tensor
    """(B,) mean cost of the elites (MPPI: weighted mean of all)."""
    spread: Tensor
    """(B,) how wide the search still is, in normalised action units (bounds at [-1, 1]): standard
    deviation averaged over a plan's numbers, for a discrete axis the probability of another value
    than the likeliest; for a planner that follows gradients the mean length of its last step."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The outcome of a search for B independent problems.

    B problems, H action blocks of horizon, K control steps in a block, A numbers an action.
    """

    actions: Tensor
    """(B, H, K, A) cheapest plan that was evaluated, inside bounds and limits."""
    mean: Tensor
    """(B, H, K, A) mean of the last sampling distribution (where there is none: of the elites),
    inside bounds and limits; of a discrete axis the likeliest value."""
    std: Tensor
    """(B, H, K, A) its standard deviation, in action units."""
    elites: Tensor
    """(B, E, H, K, A) cheapest plans of the last iteration and of those it kept, in order."""
    cost: Tensor
    """(B,) cost of `actions`; infinite where no candidate had a finite cost."""
    history: tuple[IterationStats, ...]
    """One entry an iteration; fewer where every problem of the batch was done early, or where
    the caller's time was up."""
    evaluations: int
    """Candidate plans evaluated for each problem; a gradient counts as three, since a backward
    pass costs about two forward ones (Kaplan et al. 2020, arXiv:2001.08361, section 2.1)."""


def stack_plans(plans: Sequence[Plan]) -> Plan:
    """The plans of problems that were searched one at a time, as the plan of all of them.

    Args:
        plans: at least one, of the same shapes. Where some searches ended earlier than others, the
            history is that of the iterations that all of them had.
    """
    tensors = {
        name: torch.cat([getattr(plan, name) for plan in plans])
        for name in ("actions", "mean", "std", "elites", "cost")
    }
    history = tuple(
        IterationStats(
            **{
                name: torch.cat([getattr(stats, name) for stats in step])
                for name in ("best_cost", "elite_cost", "spread")
            }
        )
        for step in zip(*(plan.history for plan in plans), strict=False)
    )
    return Plan(history=history, evaluations=max(plan.evaluations for plan in plans), **tensors)


def shift(plan: Plan, blocks: int = 1) -> Tensor:
    """Warm start for the next decision: the best plan moved on by the blocks that were executed.

    Args:
        plan: the plan that is being executed, `actions` of shape (B, H, K, A).
        blocks: blocks executed since it was made; H or more leave only its last block.

    Returns:
        (B, H, K, A): blocks `blocks` to H-1 of the plan, then its last block repeated.

    Raises:
        ValueError: if `blocks` is negative.
    """
    return _move_on(plan.actions, blocks)


def shift_steps(plan: Plan, steps: int) -> Tensor:
    """Warm start for a decision that comes in the middle of a block; K steps a block, as `shift`.

    Args:
        plan: the plan that is being executed, `actions` of shape (B, H, K, A).
        steps: control steps executed since it was made; H x K or more leave only its last block.

    Returns:
        (B, H, K, A): the actions from `steps` on, then the last block repeated as often as needed.

    Raises:
        ValueError: if `steps` is negative.
    """
    blocks, rest = divmod(steps, plan.actions.shape[2])
    moved = _move_on(plan.actions, blocks)
    if not rest:
        return moved
    follows = torch.cat([moved, moved[:, -1:]], dim=1).flatten(1, 2)
    return follows[:, rest : rest + moved.shape[1] * moved.shape[2]].view_as(moved)


def shift_elites(plan: Plan, blocks: int = 1, count: int = 6) -> Tensor:
    """Warm start that also carries elites over: iCEM's shifted elites.

    Pinneri et al. 2020 (arXiv:2008.06389), section 3.3; where they draw the last action anew,
    the last block is repeated.

    Args:
        plan: the plan that is being executed.
        blocks: blocks executed since it was made.
        count: elites to carry over besides the best plan; at most as many as there are.

    Returns:
        (B, 1 + count, H, K, A): the best plan, then the elites, moved on; every planner takes it
        as `init`, starts from the first and tries them all.

    Raises:
        ValueError: if `blocks` or `count` is negative.
    """
    if count < 0:
        raise ValueError(f"count must be 0 or more, got {count}")
    kept = torch.cat([plan.actions[:, None], plan.elites[:, :count]], dim=1)
    return _move_on(kept.flatten(0, 1), blocks).view_as(kept)


def _move_on(plans: Tensor, blocks: int) -> Tensor:
    if blocks < 0:
        raise ValueError(f"blocks must be 0 or more, got {blocks}; a plan cannot be moved back")
    horizon = plans.shape[1]
    index = torch.arange(horizon, device=plans.device) + blocks
    return plans[:, index.clamp(max=horizon - 1)]


# -- settings


@dataclass(frozen=True, kw_only=True)
class Discrete:
    """An action axis that takes one of a few values, held for a whole action block: a gripper.

    A Gaussian over "open or closed" spends its samples half-way between the two; here each block
    has its own categorical distribution (Bernoulli for two values).
    """

    axis: int
    """Index of the axis in an action; `axes_named` finds it by name."""
    values: tuple[float, ...] = (-1.0, 1.0)
    """What the axis may be, ascending, in action units; clipped to the bounds of a problem."""

    def __post_init__(self) -> None:
        """Raises ValueError where a field is out of its range."""
        if self.axis < 0:
            raise ValueError(f"axis must be 0 or more, got {self.axis}")
        ordered = sorted(set(self.values)) == list(self.values)
        if len(self.values) < 2 or not ordered or not all(map(math.isfinite, self.values)):
            raise ValueError(
                f"values must be at least two finite numbers in ascending order, got {self.values}"
            )


def axes_named(names: Sequence[str], wanted: Sequence[str]) -> tuple[int, ...]:
    """Indices of action axes by name, for `Discrete` and `Workspace`.

    Args:
        names: of all axes of an action, in order.
        wanted: names of the axes to find.

    Raises:
        KeyError: if there is no axis of a name.

    >>> axes_named(["dx", "dy", "dz", "gripper"], ["gripper", "dx"])
    (3, 0)
    """
    for name in wanted:
        if name not in names:
            raise KeyError(f"no action axis {name!r}; there are: {', '.join(names)}")
    return tuple(list(names).index(name) for name in wanted)


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """How far any planner looks and how hard it searches; all that random shooting needs.

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
    """Best plans kept: CEM and iCEM refit to them, every planner returns them."""
    action_mode: Literal["repeat", "free"] = "repeat"
    """`repeat` holds one action inside a block (H x A numbers), `free` searches H x K x A."""
    discrete: tuple[Discrete, ...] = ()
    """Axes that take one of a few values, held for a block."""
    stop_spread: float = 0.0
    """A problem whose search has narrowed to this spread is done, see `IterationStats.spread`;
    0 never stops early."""

    @property
    def evaluations(self) -> int:
        """Candidate plans evaluated for one problem if nothing stops early."""
        return self.samples * self.iterations

    def __post_init__(self) -> None:
        """Raises ValueError where a field is out of its range."""
        for name in ("horizon", "block", "iterations"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 1 < self.elites <= self.samples:
            raise ValueError(f"elites must be in [2, samples], got {self.elites} of {self.samples}")
        if self.action_mode not in ("repeat", "free"):
            raise ValueError(f"action_mode must be 'repeat' or 'free', got {self.action_mode!r}")
        axes = [one.axis for one in self.discrete]
        if len(set(axes)) < len(axes):
            raise ValueError(f"discrete must name an axis once, got axes {axes}")
        if not self.stop_spread >= 0:
            raise ValueError(f"stop_spread must be 0 or more, got {self.stop_spread}")


# -- limits that no plan ever leaves

Projection = Callable[[Tensor], Tensor]
"""Maps plans (B, N, H, K, A) to feasible plans of that shape, inside the bounds if they were. Every
plan that is evaluated or returned has passed through it. It must treat every plan alone; for a
planner that follows gradients it must be differentiable."""

_MARGIN = 1e-5
"""Share of the box kept free on each side, so that float32 rounding cannot step over it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Workspace:
    """A box that the tool stays in: a projection for actions that are displacements.

    Along each axis, a block whose path would leave the box is shortened, all its control steps in
    proportion: a block that repeats one action still does. Where the tool is outside already, it
    may move along that axis toward the box only. The position after a plan is that now plus the
    sum of its actions x `step`; what the arm makes of it is the environment's to say.

    >>> box = Workspace(
    ...     axes=(0,), low=torch.zeros(1), high=torch.ones(1), position=torch.zeros(1), step=1.0
    ... )
    >>> box(torch.full((1, 1, 2, 4, 1), 0.2)).sum().item() <= 1
    True
    """

    axes: tuple[int, ...]
    """Action axes that displace the tool, such as `axes_named(names, ["dx", "dy", "dz"])`."""
    low: Tensor
    """(n,) or (B, n) lowest position along each of the axes [m], on the planner's device."""
    high: Tensor
    """As `low`, the highest [m]."""
    position: Tensor
    """As `low`, where the tool is now [m]."""
    step: float
    """Displacement in one control step by an action of 1 [m]."""

    def __post_init__(self) -> None:
        """Raises ValueError where a field is out of its range."""
        for name in ("low", "high", "position"):
            shape = tuple(getattr(self, name).shape)
            if len(shape) not in (1, 2) or shape[-1] != len(self.axes):
                raise ValueError(
                    f"{name} must be (n,) or (B, n) with n = {len(self.axes)} axes, got {shape}"
                )
        if not bool((self.low < self.high).all()):
            raise ValueError(f"low must be < high, got {self.low} and {self.high}")
        if not self.step > 0:
            raise ValueError(f"step must be positive, got {self.step}")

    def check(self, low: Tensor, high: Tensor) -> None:
        """Refuse action bounds (..., A) that leave no way to stand still: no plan could obey.

        Raises:
            ValueError: if the bounds of an axis do not contain 0.
        """
        axes = list(self.axes)
        if max(axes) >= low.shape[-1]:
            raise ValueError(f"axes {self.axes} are not all among {low.shape[-1]} action axes")
        if not bool(((low[..., axes] <= 0) & (high[..., axes] >= 0)).all()):
            raise ValueError(f"bounds of axes {self.axes} must contain 0 for a workspace to hold")

    def __call__(self, plans: Tensor) -> Tensor:
        """Plans (B, N, H, K, A) with every block that would leave the box shortened."""
        margin = _MARGIN * (self.high - self.low)
        low, high, at = (
            (bound.to(plans) if bound.ndim == 2 else bound.to(plans)[None])[:, None]
            for bound in (self.low + margin, self.high - margin, self.position)
        )
        columns = list(plans.unbind(dim=-1))  # not indexed by a list, which waits for a GPU
        moves = torch.stack([columns[axis] for axis in self.axes], dim=-1) * self.step
        scales = []
        for block in moves.unbind(dim=2):
            path = block.cumsum(dim=2)  # (B, N, K, n) from the block's start
            up = _share(path.amax(dim=2), (high - at).clamp_min(0))
            down = _share(-path.amin(dim=2), (at - low).clamp_min(0))
            scales.append(torch.minimum(up, down))
            at = at + scales[-1] * path[:, :, -1]
        scale = torch.stack(scales, dim=2)[:, :, :, None]  # (B, N, H, 1, n)
        for number, axis in enumerate(self.axes):
            columns[axis] = columns[axis] * scale[..., number]
        return torch.stack(columns, dim=-1)


def _share(wanted: Tensor, room: Tensor) -> Tensor:
    """How much of a way there is room for, in [0, 1]."""
    return torch.where(wanted > room, room / wanted.clamp_min(1e-12), 1.0)


# -- the space that is searched

Bounds = tuple[Tensor, Tensor]
"""Lowest and highest action, each (A,) for all problems or (B, A) for each its own."""


@dataclass(frozen=True, kw_only=True)
class Space:
    """B sets of plans of shape (H, K, A).

    A planner draws S actions a block: K of them, or 1 that is held for the whole block. Plans are
    handled as (H, R, A) and reach the cost and the caller as (H, K, A): R is K, or 1 where a held
    action stays one, since no limits can tell the steps of a block apart.
    """

    low: Tensor
    """(B, 1, 1, A) float32, or (1, 1, 1, A) where all problems share it."""
    high: Tensor
    """As `low`."""
    problems: int
    """B."""
    horizon: int
    """H."""
    block: int
    """K."""
    free: int
    """S, 1 or K."""
    discrete: tuple[Discrete, ...] = ()
    """Axes that take one of a few values."""
    values: tuple[Tensor, ...] = ()
    """Those values for each of them, (B or 1, V), inside the bounds."""
    limits: Projection | None = None
    """What else a plan must obey."""

    @property
    def drawn(self) -> tuple[int, int, int]:
        """(H, S, A), the numbers drawn for one plan."""
        return self.horizon, self.free, self.low.shape[-1]

    @property
    def rows(self) -> int:
        """R, actions of a block that are handled one by one."""
        return self.free if self.limits is None else self.block

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, R, A), a plan as it is handled."""
        return self.horizon, self.rows, self.low.shape[-1]

    @property
    def half_range(self) -> Tensor:
        """(B or 1, 1, 1, A): what 1 means in normalised action units."""
        return (self.high - self.low) / 2

    def plans(self, points: Tensor) -> Tensor:
        """Plans (B, N, H, R, A) that may be evaluated, from points (B, N, H, S or R, A)."""
        points = points.expand(*points.shape[:-2], self.rows, points.shape[-1])
        points = points.clamp(self.low[:, None], self.high[:, None])
        for one, values in zip(self.discrete, self.values, strict=True):
            wanted = points[..., one.axis].mean(dim=-1, keepdim=True)
            nearest = (wanted - values[:, None, None]).abs().argmin(dim=-1)
            points = put(points, one.axis, pick(values, nearest))
        if self.limits is None:
            return points
        limited = self.limits(points)
        if limited.shape != points.shape:
            raise ValueError(
                f"limits must return plans of {tuple(points.shape)}, got {tuple(limited.shape)}"
            )
        return limited.clamp(self.low[:, None], self.high[:, None])

    def blocks(self, plans: Tensor) -> Tensor:
        """Plans (..., H, K, A) of plans (..., H, R, A), without a copy."""
        return plans.expand(*plans.shape[:-2], self.block, plans.shape[-1])

    def between(self, share: Tensor) -> Tensor:
        """Points at shares (B, N, H, S, A) in [0, 1] of the way between the bounds."""
        return torch.lerp(self.low[:, None], self.high[:, None], share)

    def share(self, points: Tensor) -> Tensor:
        """How far between the bounds points (B, N, H, S, A) are; 0 where there is no room."""
        width = (self.high - self.low)[:, None]
        return ((points - self.low[:, None]) / width.clamp_min(1e-12)).clamp(0, 1)

    def guesses(self, init: Tensor | None) -> Tensor:
        """First guesses (B, M, H, R, A), the mean to start from first; mid-bounds without any."""
        if init is None:
            middle = ((self.low + self.high) / 2)[:, None]
            return self.plans(middle.expand(self.problems, 1, *self.drawn))
        init = init if init.ndim == 5 else init[:, None]
        if self.free == 1:
            init = init.mean(dim=3, keepdim=True)
        return self.plans(init.to(self.low))


def pick(values: Tensor, index: Tensor) -> Tensor:
    """Values (B, N, H) that an index (B, N, H) picks from values (B or 1, V)."""
    every = values[:, None, None].expand(*index.shape, values.shape[-1])
    return every.gather(-1, index[..., None])[..., 0]


def put(points: Tensor, axis: int, held: Tensor) -> Tensor:
    """Points (..., H, K, A) with an axis set to what is held (..., H) for each block."""
    chosen = torch.arange(points.shape[-1], device=points.device) == axis
    return torch.where(chosen, held[..., None, None], points)


def make_space(
    bounds: Bounds,
    init: Tensor | None,
    config: SearchConfig,
    generators: Sequence[torch.Generator],
    limits: Projection | None = None,
) -> Space:
    """Check what a caller handed to a planner and build the space it describes.

    Args:
        bounds: lowest and highest action, (A,) or (B, A), on the device to plan on.
        init: (B, H, K, A) first guess, (B, M, H, K, A) several, or None.
        config: horizon, block, action mode and discrete axes.
        generators: one random stream a problem, on the same device.
        limits: what else a plan must obey.

    Raises:
        ValueError: if shapes or devices disagree, a bound is not finite or above its upper one, or
            a discrete axis or a workspace does not fit the bounds.
    """
    problems = len(generators)
    low, high = (torch.as_tensor(bound, dtype=torch.float32) for bound in bounds)
    if problems == 0:
        raise ValueError("generators is empty; pass one torch.Generator for each problem")
    _check_bounds(low, high, problems)
    width = low.shape[-1]
    _check_init(init, (problems, config.horizon, config.block, width), config.samples)
    for one in config.discrete:
        if one.axis >= width:
            raise ValueError(f"discrete axis {one.axis} is not among {width} action axes")
    if isinstance(limits, Workspace):
        limits.check(low, high)
    for generator in generators:
        if generator.device.type != low.device.type:
            raise ValueError(
                f"generator is on {generator.device}, bounds on {low.device}; "
                "make both on the device to plan on"
            )
    low, high = low.reshape(-1, 1, 1, width), high.reshape(-1, 1, 1, width)
    return Space(
        low=low,
        high=high,
        problems=problems,
        horizon=config.horizon,
        block=config.block,
        free=1 if config.action_mode == "repeat" else config.block,
        discrete=config.discrete,
        values=tuple(_values(one, low, high) for one in config.discrete),
        limits=limits,
    )


def _values(one: Discrete, low: Tensor, high: Tensor) -> Tensor:
    """Values (B or 1, V) of a discrete axis, inside the bounds and on their device."""
    inside = (low[:, 0, 0, one.axis, None], high[:, 0, 0, one.axis, None])
    return torch.tensor(one.values).to(low).clamp(*inside)


def _check_bounds(low: Tensor, high: Tensor, problems: int) -> None:
    if low.shape != high.shape or low.ndim not in (1, 2):
        raise ValueError(
            f"bounds must be two tensors (A,) or (B, A), got {tuple(low.shape)} and "
            f"{tuple(high.shape)}"
        )
    if low.ndim == 2 and low.shape[0] != problems:
        raise ValueError(f"bounds are for {low.shape[0]} problems, generators for {problems}")
    if not bool((low.isfinite() & high.isfinite() & (low <= high)).all()):
        raise ValueError(f"bounds must be finite and low <= high, got {low} and {high}")


def _check_init(init: Tensor | None, wanted: tuple[int, int, int, int], samples: int) -> None:
    if init is None:
        return
    shape = tuple(init.shape)
    if shape != wanted and not (init.ndim == 5 and (shape[0], *shape[2:]) == wanted):
        raise ValueError(f"init must be (B, H, K, A) = {wanted} or (B, M, H, K, A), got {shape}")
    if init.ndim == 5 and not 1 <= shape[1] <= samples:
        raise ValueError(f"init must hold 1 to samples={samples} guesses, got {shape[1]}")


def evaluate(cost: Cost, space: Space, plans: Tensor) -> Tensor:
    """Costs (B, N) of plans (B, N, H, R, A); NaN, an impossible plan, becomes infinite.

    Raises:
        ValueError: if the cost function returns another shape than (B, N).
    """
    costs = cost(space.blocks(plans))
    if costs.shape != plans.shape[:2]:
        raise ValueError(
            f"cost must return (B, N) = {tuple(plans.shape[:2])}, got {tuple(costs.shape)}"
        )
    return costs.float().nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)


def take(plans: Tensor, index: Tensor) -> Tensor:
    """Plans (B, n, H, R, A) that `index` (B, n) picks from plans (B, N, H, R, A)."""
    return plans.gather(1, index[:, :, None, None, None].expand(-1, -1, *plans.shape[2:]))


# -- random numbers, one stream a problem


def streams(seeds: Sequence[int], device: torch.device | str = "cpu") -> list[torch.Generator]:
    """One random stream a problem, as every planner takes them.

    Args:
        seeds: one a problem; the same seed draws the same samples in any batch.
        device: where to plan.
    """
    return [torch.Generator(device).manual_seed(seed) for seed in seeds]


def white(space: Space, count: int, generators: Sequence[torch.Generator]) -> Tensor:
    """Standard normal numbers (B, N, H, S, A), each problem's from its own stream."""
    noise = space.low.new_empty(space.problems, count, *space.drawn)
    for row, generator in zip(noise, generators, strict=True):
        row.normal_(generator=generator)
    return noise


def uniform(space: Space, count: int, generators: Sequence[torch.Generator]) -> Tensor:
    """Numbers (B, N, H, S, A) uniform on [0, 1), each problem's from its own stream."""
    noise = space.low.new_empty(space.problems, count, *space.drawn)
    for row, generator in zip(noise, generators, strict=True):
        row.uniform_(generator=generator)
    return noise


# -- when a search may stop


class Finished:
    """Tells whether every problem of a batch is done.

    A problem that is done is frozen on the device, so stopping never changes a plan: it only
    saves evaluations. That is what lets the answer come late. On a CPU it is read at once. On
    CUDA asking would make the host wait for the whole iteration; instead the flag is copied to
    pinned memory behind the work already queued, and looked at an iteration or more later, when
    an event says that it has arrived.
    """

    def __init__(self, device: torch.device) -> None:
        """Watch the problems of one search."""
        self._cuda = device.type == "cuda"
        self._event: torch.cuda.Event | None = None
        self._flag = torch.zeros((), dtype=torch.bool, pin_memory=self._cuda)

    def __call__(self, stopped: Tensor) -> bool:
        """Whether all of (B,) problems are known to be done by now."""
        if not self._cuda:
            return bool(stopped.all())
        if self._event is not None:
            if not self._event.query():  # type: ignore[no-untyped-call]
                return False
            if bool(self._flag):
                return True
        self._flag.copy_(stopped.all(), non_blocking=True)
        self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._event.record()
        return False


def time_is_up(stop: Stop | None, iteration: int) -> bool:
    """Whether the caller wants the search to end before this iteration (0 is the first)."""
    return stop is not None and iteration > 0 and stop()


def freeze(stopped: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """`old` for the problems that are done (B,), `new` (B, ...) for the others."""
    return torch.where(stopped.view(-1, *[1] * (new.ndim - 1)), old, new)
