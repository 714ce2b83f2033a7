"""A gripper is open or closed: an axis with a distribution of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.planners import PLANNERS
from benchmarks.planners.problems import gripper, gripper_gaussian
from goalsight_planners import (
    CEMConfig,
    Discrete,
    ICEMConfig,
    SearchConfig,
    axes_named,
    cem,
    icem,
    streams,
)

Small = Callable[..., SearchConfig]
BOX = (-torch.ones(4), torch.ones(4))


@settings(deadline=None, max_examples=8)
@given(
    seed=st.integers(0, 2**16),
    values=st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), min_size=2, unique=True),
    free=st.booleans(),
)
def test_a_discrete_axis_takes_its_values_only_and_holds_them_for_a_block(
    name: str, small: Small, seed: int, values: list[float], free: bool
) -> None:
    tried: list[Tensor] = []

    def cost(plans: Tensor) -> Tensor:
        tried.append(plans.detach())
        return (plans - 0.1).square().mean(dim=(2, 3, 4))

    grip = Discrete(axis=1, values=tuple(sorted(values)))
    mode = "free" if free else "repeat"
    config = small(name, horizon=2, block=3, discrete=(grip,), action_mode=mode)
    init = torch.full((1, 2, 3, 4), 0.4)
    plan = PLANNERS[name].function(cost, init, BOX, config, streams([seed]))
    for plans in (*tried, plan.actions[:, None], plan.mean[:, None], plan.elites):
        assert bool(torch.isin(plans[..., 1], torch.tensor(values)).all())
        assert bool((plans[..., 1] == plans[:, :, :, :1, 1]).all())


@pytest.mark.parametrize("sampler", ["cem", "icem", "mppi"])
def test_the_search_finds_the_block_at_which_to_close(sampler: str) -> None:
    """Twenty problems with their own block: right in all of them but one, the reach to 0.2."""
    problem = gripper(range(20), 5)
    entry = PLANNERS[sampler]
    config = entry.config(discrete=problem.discrete)
    plan = entry.function(problem.regret, None, BOX, config, streams(range(100, 120)))
    # one block with the gripper wrong costs 0.1, the reach much less
    assert int((plan.cost < 0.1).sum()) >= 19


def test_a_gripper_of_its_own_beats_one_more_gaussian_axis() -> None:
    """Equal evaluations, twenty problems: in sum and on most of them."""
    costs = []
    for problem in (gripper(range(20), 5), gripper_gaussian(range(20), 5)):
        config = CEMConfig(discrete=problem.discrete)
        costs.append(cem(problem.regret, None, BOX, config, streams(range(20))).cost)
    assert costs[0].mean() < costs[1].mean()


def test_three_ways_to_grip_are_told_apart() -> None:
    """A categorical, not only a Bernoulli: the best value in the middle is found."""
    grip = Discrete(axis=3, values=(-1.0, 0.2, 1.0))
    plan = cem(
        lambda plans: (plans - 0.1).abs().mean(dim=(2, 3, 4)),
        None,
        BOX,
        CEMConfig(discrete=(grip,)),
        streams([0]),
    )
    assert bool((plan.actions[..., 3] == 0.2).all())
    assert bool((plan.std[..., 3] > 0).all())  # no block is decided for good


def test_values_are_clipped_to_the_bounds_of_a_problem() -> None:
    """Training data that never opened the gripper wide: open means as wide as the bounds allow."""
    bounds = (torch.tensor([[-1.0, -0.3], [-1.0, -1.0]]), torch.tensor([[1.0, 0.6], [1.0, 1.0]]))
    plan = cem(
        lambda plans: -plans.mean(dim=(2, 3, 4)),
        None,
        bounds,
        CEMConfig(discrete=(Discrete(axis=1),)),
        streams([0, 1]),
    )
    for problem, open_wide in enumerate((bounds[1][0, 1], bounds[1][1, 1])):
        assert bool((plan.actions[problem, ..., 1] == open_wide).all())


def test_coloured_noise_holds_the_gripper_longer() -> None:
    """Fewer changes from block to block than with white noise."""
    changes = []
    for colour in (0.0, 3.0):
        first: list[Tensor] = []

        def cost(plans: Tensor, first: list[Tensor] = first) -> Tensor:
            first.append(plans)
            return plans.mean(dim=(2, 3, 4))

        config = ICEMConfig(
            horizon=10, samples=500, iterations=1, colour=colour, discrete=(Discrete(axis=3),)
        )
        icem(cost, None, BOX, config, streams([0]))
        grip = first[0][0, :, :, 0, 3]
        changes.append((grip[:, 1:] != grip[:, :-1]).float().mean().item())
    assert changes[0] == pytest.approx(0.5, abs=0.03)
    assert changes[1] < 0.35


def test_axes_are_found_by_name() -> None:
    names = ["dx", "dy", "dz", "gripper"]
    assert axes_named(names, ["gripper", "dx"]) == (3, 0)
    with pytest.raises(KeyError, match="no action axis 'grip'; there are: dx, dy, dz, gripper"):
        axes_named(names, ["grip"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Discrete(axis=-1), "axis must be 0 or more, got -1"),
        (lambda: Discrete(axis=0, values=(1.0,)), "at least two finite numbers in ascending order"),
        (lambda: Discrete(axis=0, values=(1.0, -1.0)), "ascending order, got"),
        (lambda: CEMConfig(discrete=(Discrete(axis=0), Discrete(axis=0))), "name an axis once"),
        (
            lambda: CEMConfig(discrete=(Discrete(axis=0),), min_probability=0.6),
            r"min_probability must be in \(0, 0.5\], got 0.6",
        ),
    ],
)
def test_a_discrete_axis_that_cannot_be_is_refused(
    make: Callable[[], object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_discrete_axis_must_be_an_axis(name: str, small: Small) -> None:
    config = small(name, discrete=(Discrete(axis=4),))
    with pytest.raises(ValueError, match="discrete axis 4 is not among 4 action axes"):
        PLANNERS[name].function(lambda plans: plans, None, BOX, config, streams([0]))
