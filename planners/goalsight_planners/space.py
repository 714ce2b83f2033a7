"""The box a planner searches: bounds, action blocks, and the checks made once at the boundary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from goalsight_planners.plan import Cost

Bounds = tuple[Tensor, Tensor]
"""Lowest and highest action, each (A,) for all problems or (B, A) for each its own."""


@dataclass(frozen=True, kw_only=True)
class Space:
    """B boxes of plans of shape (H, S, A).

    S, the free actions in a block, is K, or 1 where one action is repeated inside a block.
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

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, S, A), the numbers searched for one problem."""
        return self.horizon, self.free, self.low.shape[-1]

    @property
    def half_range(self) -> Tensor:
        """(B or 1, 1, 1, A): what 1 means in normalised action units."""
        return (self.high - self.low) / 2

    def start(self, init: Tensor | None) -> Tensor:
        """First mean (B, H, S, A): `init` (B, H, K, A) inside the bounds, else their middle."""
        if init is None:
            middle = (self.low + self.high) / 2
            return middle.expand(self.problems, *self.shape)
        if self.free == 1:
            init = init.mean(dim=2, keepdim=True)
        return init.to(self.low).clamp(self.low, self.high)

    def blocks(self, points: Tensor) -> Tensor:
        """Plans (..., H, K, A) of points (..., H, S, A), without a copy."""
        return points.expand(*points.shape[:-2], self.block, points.shape[-1])


def make_space(
    bounds: Bounds,
    init: Tensor | None,
    generators: Sequence[torch.Generator],
    *,
    horizon: int,
    block: int,
    repeat: bool,
) -> Space:
    """Check what a caller handed to a planner and build the space it describes.

    Args:
        bounds: lowest and highest action, (A,) or (B, A), on the device to plan on.
        init: (B, H, K, A) first guess, or None.
        generators: one random stream a problem, on the same device.
        horizon: H.
        block: K.
        repeat: one action held inside a block.

    Raises:
        ValueError: if shapes or devices disagree, or a bound is not finite or above its upper one.
    """
    problems = len(generators)
    low, high = (torch.as_tensor(bound, dtype=torch.float32) for bound in bounds)
    if problems == 0:
        raise ValueError("generators is empty; pass one torch.Generator for each problem")
    if low.shape != high.shape or low.ndim not in (1, 2):
        raise ValueError(
            f"bounds must be two tensors (A,) or (B, A), got {tuple(low.shape)} and "
            f"{tuple(high.shape)}"
        )
    if low.ndim == 2 and low.shape[0] != problems:
        raise ValueError(f"bounds are for {low.shape[0]} problems, generators for {problems}")
    if not bool((low.isfinite() & high.isfinite() & (low <= high)).all()):
        raise ValueError(f"bounds must be finite and low <= high, got {low} and {high}")
    wanted = (problems, horizon, block, low.shape[-1])
    if init is not None and tuple(init.shape) != wanted:
        raise ValueError(f"init must be (B, H, K, A) = {wanted}, got {tuple(init.shape)}")
    for generator in generators:
        if generator.device.type != low.device.type:
            raise ValueError(
                f"generator is on {generator.device}, bounds on {low.device}; "
                "make both on the device to plan on"
            )
    width = low.shape[-1]
    return Space(
        low=low.reshape(-1, 1, 1, width),
        high=high.reshape(-1, 1, 1, width),
        problems=problems,
        horizon=horizon,
        block=block,
        free=1 if repeat else block,
    )


def evaluate(cost: Cost, space: Space, points: Tensor) -> Tensor:
    """Costs (B, N) of points (B, N, H, S, A); NaN, an impossible plan, becomes infinite.

    Raises:
        ValueError: if the cost function returns another shape than (B, N).
    """
    costs = cost(space.blocks(points))
    if costs.shape != points.shape[:2]:
        raise ValueError(
            f"cost must return (B, N) = {tuple(points.shape[:2])}, got {tuple(costs.shape)}"
        )
    return costs.float().nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)


def take(points: Tensor, index: Tensor) -> Tensor:
    """Points (B, n, H, S, A) that `index` (B, n) picks from points (B, N, H, S, A)."""
    return points.gather(1, index[:, :, None, None, None].expand(-1, -1, *points.shape[2:]))
