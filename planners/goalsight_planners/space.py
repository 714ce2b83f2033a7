"""The space a planner searches: bounds, discrete axes, limits, and the checks at the boundary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from goalsight_planners.config import Discrete, SearchConfig
from goalsight_planners.limits import Projection, Workspace
from goalsight_planners.plan import Cost

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
