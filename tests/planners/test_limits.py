"""Bounds, workspaces and projections: no plan that is tried or returned is ever outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.planners import PLANNERS
from goalsight_planners import CEMConfig, Discrete, SearchConfig, Workspace, cem, streams

Small = Callable[..., SearchConfig]
seeds = st.integers(0, 2**16)
places = st.floats(-1, 1, width=32)


def far_away(plans: Tensor) -> Tensor:
    """Pulls every axis out of any bounds and walls."""
    return (plans - 5).square().mean(dim=(2, 3, 4))


@settings(deadline=None, max_examples=12)
@given(
    seed=seeds,
    low=st.floats(-3, 0),
    width=st.floats(0, 3),
    guess=st.floats(-2, 2),
    mode=st.sampled_from(["repeat", "free"]),
)
def test_every_plan_that_is_tried_or_returned_is_in_bounds(
    name: str,
    small: Small,
    seed: int,
    low: float,
    width: float,
    guess: float,
    mode: Literal["repeat", "free"],
) -> None:
    """Also where the first guess is outside and where a bound leaves no room at all."""
    bounds = (
        torch.tensor([[low, -1.0], [-1.0, 0.0]]),
        torch.tensor([[low + width, 1.0], [1.0, 0.5]]),
    )
    config = small(name, horizon=2, block=3, action_mode=mode)
    tried: list[Tensor] = []

    def cost(plans: Tensor) -> Tensor:
        tried.append(plans.detach())
        return far_away(plans)

    init = torch.full((2, 2, 3, 2), guess)
    plan = PLANNERS[name].function(cost, init, bounds, config, streams([seed, seed + 1]))
    lowest, highest = (bound[:, None, None, None] for bound in bounds)
    for actions in (*tried, plan.actions[:, None], plan.mean[:, None], plan.elites):
        assert bool((actions >= lowest).all())
        assert bool((actions <= highest).all())


@settings(deadline=None, max_examples=12)
@given(
    seed=seeds,
    x=places,
    y=places,
    free=st.booleans(),
    half=st.floats(0.1, 1),
    step=st.floats(0.05, 1),
)
def test_no_plan_leaves_the_workspace(
    name: str, small: Small, seed: int, x: float, y: float, free: bool, half: float, step: float
) -> None:
    """At no control step of any plan; from outside the walls it never gets further out."""
    high, at = torch.full((2,), half), torch.tensor([x, y])
    walls = Workspace(axes=(2, 0), low=-high, high=high, position=at, step=step)
    tried: list[Tensor] = []

    def cost(plans: Tensor) -> Tensor:
        tried.append(plans.detach())
        return far_away(plans)

    config = small(name, horizon=3, block=2, action_mode="free" if free else "repeat")
    box = torch.ones(3)
    plan = PLANNERS[name].function(cost, None, (-box, box), config, streams([seed]), limits=walls)
    for plans in (*tried, plan.actions[:, None], plan.mean[:, None], plan.elites):
        path = at + step * plans[..., [2, 0]].flatten(2, 3).cumsum(dim=2)
        assert bool((path <= torch.maximum(high, at)).all())
        assert bool((path >= torch.minimum(-high, at)).all())
        assert bool((plans.abs() <= 1).all())


def test_a_plan_inside_the_workspace_is_left_alone_and_a_blocked_one_touches_the_wall() -> None:
    half = torch.ones(1)
    walls = Workspace(axes=(0,), low=-half, high=half, position=0 * half, step=1.0)
    inside = torch.tensor([0.3, 0.3, -0.5, 0.2]).view(1, 1, 2, 2, 1)
    assert torch.equal(walls(inside), inside)
    blocked = walls(torch.tensor([0.4, 0.4, 0.4, 0.4]).view(1, 1, 2, 2, 1)).flatten()
    # a block is shortened in proportion; the margin is a hundred-thousandth of the width
    torch.testing.assert_close(blocked, torch.tensor([0.4, 0.4, 0.1, 0.1]), atol=3e-5, rtol=0)


def test_from_outside_the_workspace_only_the_way_back_is_open() -> None:
    half = torch.ones(1)
    walls = Workspace(axes=(0,), low=-half, high=half, position=2 * half, step=1.0)
    out, back = torch.full((1, 1, 1, 2, 1), 0.5), torch.full((1, 1, 1, 2, 1), -0.5)
    assert walls(out).abs().sum() == 0
    assert torch.equal(walls(back), back)


def test_any_function_of_plans_can_be_the_limit() -> None:
    """Here: the two axes of an action have length 1 at most together."""

    def disc(plans: Tensor) -> Tensor:
        length = plans.square().sum(dim=-1, keepdim=True).sqrt()
        return plans / length.clamp_min(1)

    box = torch.ones(2)
    config = CEMConfig(iterations=12)
    plan = cem(far_away, None, (-box, box), config, streams([0]), limits=disc)
    assert bool((plan.actions.norm(dim=-1) <= 1 + 1e-6).all())
    torch.testing.assert_close(
        plan.actions, torch.full_like(plan.actions, 0.5**0.5), atol=0.1, rtol=0
    )


def test_a_gripper_axis_beside_a_workspace_keeps_its_values() -> None:
    half = torch.full((1,), 0.1)
    walls = Workspace(axes=(0,), low=-half, high=half, position=0 * half, step=0.1)
    box = torch.ones(2)
    config = CEMConfig(discrete=(Discrete(axis=1),))
    plan = cem(far_away, None, (-box, box), config, streams([0]), limits=walls)
    assert bool((plan.actions[..., 1] == 1).all())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"low": torch.ones(1)}, "low must be < high"),
        ({"position": torch.zeros(2)}, r"position must be \(n,\) or \(B, n\) with n = 1 axes, got"),
        ({"step": 0.0}, "step must be positive, got 0"),
    ],
)
def test_a_workspace_that_cannot_be_is_refused(changed: dict[str, object], message: str) -> None:
    one = torch.ones(1)
    fields: dict[str, object] = {"axes": (0,), "low": -one, "high": one, "position": 0 * one}
    with pytest.raises(ValueError, match=message):
        Workspace(**{"step": 1.0, **fields, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("axis", "low", "message"),
    [(0, 0.5, r"bounds of axes \(0,\) must contain 0"), (3, -1.0, "not all among 2 action axes")],
)
def test_a_workspace_must_fit_the_bounds(axis: int, low: float, message: str) -> None:
    """Where the bounds forbid to stand still, no plan can stop at a wall."""
    one = torch.ones(1)
    walls = Workspace(axes=(axis,), low=-one, high=one, position=0 * one, step=1.0)
    bounds = (torch.full((2,), low), torch.ones(2))
    with pytest.raises(ValueError, match=message):
        cem(far_away, None, bounds, CEMConfig(), streams([0]), limits=walls)


def test_limits_that_return_another_shape_are_refused() -> None:
    box = torch.ones(2)
    with pytest.raises(ValueError, match=r"limits must return plans of \(1, 1, 5, 5, 2\), got"):
        cem(far_away, None, (-box, box), CEMConfig(), streams([0]), limits=lambda plans: plans[0])
