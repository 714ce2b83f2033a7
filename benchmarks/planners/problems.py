"""Problems whose optimum is known, to measure planners on: cost is regret, 0 at the optimum.

Actions have four axes like an arm's: dx, dy, dz and a gripper, in [-1, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from goalsight_planners.base import Cost, Discrete, Workspace, streams

AXES = 4
"""Numbers in an action."""
_STEP = 0.02
"""Displacement in one control step by an action of 1 [m]."""
GRIPPER = Discrete(axis=3)
"""The last axis, open or closed."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """B problems of one kind, each with its own optimum."""

    what: str
    """What is hard about it."""
    regret: Cost
    """Maps plans (B, N, H, K, A) to cost above the lowest there is (B, N)."""
    discrete: tuple[Discrete, ...] = ()
    """Axes that take one of a few values."""
    limits: Workspace | None = None
    """The workspace, where there is one."""


def _uniform(seeds: Sequence[int], *shape: int) -> Tensor:
    """Numbers (B, *shape) uniform on [-1, 1], each problem's from its own seed."""
    rows = [torch.rand(shape, generator=stream) for stream in streams(seeds)]
    return 2 * torch.stack(rows) - 1


def bowl(seeds: Sequence[int], horizon: int) -> Problem:
    """Every block has its own action to find: squared distance, optimum inside the bounds."""
    target = 0.8 * _uniform(seeds, 1, horizon, 1, AXES)
    return Problem(
        what="quadratic, optimum inside",
        regret=lambda plans: (plans - target).square().mean(dim=(2, 3, 4)),
    )


def edge(seeds: Sequence[int], horizon: int) -> Problem:
    """As `bowl` with targets outside the bounds: the optimum is a corner of the box."""
    way = _uniform(seeds, 1, horizon, 1, AXES)
    target = way.sign() * (1.2 + 0.8 * way.abs())
    least = (target.abs() - 1).square().mean(dim=(2, 3, 4))
    return Problem(
        what="quadratic, optimum at a corner of the bounds",
        regret=lambda plans: (plans - target).square().mean(dim=(2, 3, 4)) - least,
    )


def hills(seeds: Sequence[int], horizon: int) -> Problem:
    """Rastrigin's function about a target: valleys 0.5 apart, the lowest of them at 0."""
    target = 0.8 * _uniform(seeds, 1, horizon, 1, AXES)

    def regret(plans: Tensor) -> Tensor:
        off = plans - target
        return (off.square() + 0.1 * (1 - (4 * math.pi * off).cos())).mean(dim=(2, 3, 4))

    return Problem(what="multi-modal, valleys 0.5 apart", regret=regret)


def glide(seeds: Sequence[int], horizon: int) -> Problem:
    """Actions are accelerations; be where a plan that pushes, then brakes, ends, as fast as it."""
    push = 0.9 * _uniform(seeds, 1, 1, 1, AXES)
    first = torch.arange(horizon)[:, None, None] < (horizon + 1) // 2
    known = torch.where(first, push, -push / 2)

    def end(plans: Tensor) -> tuple[Tensor, Tensor]:
        velocity = plans.flatten(2, 3).cumsum(dim=2) / plans.shape[3]
        return velocity[:, :, -1], velocity.mean(dim=2)

    def regret(plans: Tensor) -> Tensor:
        goal = end(known.expand(-1, -1, -1, plans.shape[3], -1))
        pairs = zip(end(plans), goal, strict=True)
        return torch.stack([(mine - its).square().mean(dim=-1) for mine, its in pairs]).sum(dim=0)

    return Problem(what="double integrator, one long push and a brake", regret=regret)


def _gripper(seeds: Sequence[int], horizon: int) -> Cost:
    """Reach for every block's target; the gripper must close at one block and stay closed.

    It counts as closed above 0.5 and as open below -0.5, half-way as wrong.
    """
    target = 0.8 * _uniform(seeds, 1, horizon, 1, AXES - 1)
    share = (_uniform(seeds, 1, 1) + 1) / 2
    closed = torch.arange(horizon) >= (1 + share * (horizon - 1)).floor()  # (B, 1, H)

    def regret(plans: Tensor) -> Tensor:
        grip = plans[..., 3].mean(dim=3)
        wrong = torch.where(closed, grip <= 0.5, grip >= -0.5)
        off = (plans[..., :3] - target).square().mean(dim=(2, 3, 4))
        return off + 0.5 * wrong.float().mean(dim=2)

    return regret


def gripper(seeds: Sequence[int], horizon: int) -> Problem:
    """`_gripper` with the gripper as a discrete axis."""
    return Problem(
        what="when to close a gripper, discrete axis",
        regret=_gripper(seeds, horizon),
        discrete=(GRIPPER,),
    )


def gripper_gaussian(seeds: Sequence[int], horizon: int) -> Problem:
    """`_gripper` with the gripper as one more Gaussian axis, as most planners have it."""
    return Problem(what="the same, the gripper as a Gaussian axis", regret=_gripper(seeds, horizon))


def wall(seeds: Sequence[int], horizon: int) -> Problem:
    """Go to a point 10 cm behind the wall of the workspace: the optimum touches the wall.

    A full action travels 2 cm a control step; the box is 40 cm wide and the tool in its middle.
    """
    del horizon  # far enough with 10 control steps or more
    high = torch.full((3,), 0.2)
    goal = torch.where(torch.arange(3) == 0, 0.3, 0.16 * _uniform(seeds, 3))[:, None]

    def regret(plans: Tensor) -> Tensor:
        end = _STEP * plans[..., :3].sum(dim=(2, 3))
        return ((end - goal).square().sum(dim=-1) - 0.1**2).clamp_min(0)

    return Problem(
        what="workspace: the goal is behind a wall",
        regret=regret,
        limits=Workspace(axes=(0, 1, 2), low=-high, high=high, position=0 * high, step=_STEP),
    )


PROBLEMS: dict[str, Callable[[Sequence[int], int], Problem]] = {
    "bowl": bowl,
    "edge": edge,
    "hills": hills,
    "glide": glide,
    "gripper": gripper,
    "gripper_gaussian": gripper_gaussian,
    "wall": wall,
}
"""Problems by name: one seed for each of the B problems, and the horizon."""
