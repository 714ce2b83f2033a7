"""Limits that no plan ever leaves, beyond the bounds of single actions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

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
