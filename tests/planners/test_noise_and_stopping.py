"""Noise has the colour it was asked for, and an early stop changes no plan."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.planners import PLANNERS
from goalsight_planners import Cost, SearchConfig, streams
from goalsight_planners.gaussian import colour_matrix

Small = Callable[..., SearchConfig]
BOX = (-torch.ones(2), torch.ones(2))


@given(steps=st.integers(1, 60), exponent=st.floats(0, 4))
def test_coloured_noise_has_unit_variance_at_every_step(steps: int, exponent: float) -> None:
    """Colour moves variance between frequencies; `init_std` keeps its meaning."""
    mixing = colour_matrix(steps, exponent)
    torch.testing.assert_close(mixing.square().sum(dim=1), torch.ones(steps), atol=1e-4, rtol=0)


def test_white_noise_is_left_as_it_is() -> None:
    assert torch.equal(colour_matrix(7, 0.0), torch.eye(7))


@given(steps=st.integers(2, 40))
def test_redder_noise_is_more_alike_from_step_to_step(steps: int) -> None:
    """And, unlike a wrapped spectrum, least alike from one end to the other."""
    alike = [
        (mixing @ mixing.T)[0] for mixing in (colour_matrix(steps, e) for e in (0.5, 1.0, 2.0, 3.0))
    ]
    nearest = torch.stack([row[1] for row in alike])
    assert bool((nearest.diff() > 0).all())
    assert all(int(row.argmin()) == steps - 1 for row in alike)


def test_a_colour_beyond_4_is_refused() -> None:
    with pytest.raises(ValueError, match=r"exponent must be in \[0, 4\], got 4.5"):
        colour_matrix(5, 4.5)


def bowl(plans: Tensor) -> Tensor:
    """Narrows what samples; what follows the gradient takes its time."""
    return plans.square().mean(dim=(2, 3, 4))


def flat(plans: Tensor) -> Tensor:
    """Nothing to narrow down, and no gradient to follow: Adam is done at once."""
    return 0 * plans.sum(dim=(2, 3, 4))


def watched(*costs: Cost) -> tuple[Cost, list[int]]:
    """The cost of a batch with a cost for each problem, and a list that grows with each call."""
    calls: list[int] = []

    def cost(plans: Tensor) -> Tensor:
        calls.append(plans.shape[1])
        return torch.cat([one(plans[i : i + 1]) for i, one in enumerate(costs)])

    return cost, calls


SOON = pytest.mark.parametrize(
    ("sampler", "easy", "hard"),
    [("cem", bowl, flat), ("icem", bowl, flat), ("mppi", bowl, flat), ("adam", flat, bowl)],
)


@SOON
def test_a_search_that_has_narrowed_stops(
    sampler: str, easy: Cost, hard: Cost, small: Small
) -> None:
    """Fewer evaluations than allowed, and the plan says how many."""
    del hard
    cost, calls = watched(easy)
    config = small(sampler, iterations=50, horizon=1, stop_spread=0.12)
    plan = PLANNERS[sampler].function(cost, None, BOX, config, streams([0]))
    assert len(calls) == len(plan.history) < 50
    assert plan.evaluations == sum(calls) * (3 if sampler == "adam" else 1)
    assert bool((plan.history[-1].spread <= 0.12).all())


@SOON
def test_a_problem_that_is_done_waits_unchanged_for_the_others(
    sampler: str, easy: Cost, hard: Cost, small: Small
) -> None:
    """Beside one that goes on it gets the plan it gets alone."""
    config = small(sampler, iterations=8, horizon=1, stop_spread=0.12)
    (cost, own), (both_costs, both) = watched(easy), watched(easy, hard)
    alone = PLANNERS[sampler].function(cost, None, BOX, config, streams([0]))
    together = PLANNERS[sampler].function(both_costs, None, BOX, config, streams([0, 1]))
    assert len(own) < len(both)
    for field in ("actions", "mean", "std", "cost", "elites"):
        mine, its = getattr(together, field)[:1], getattr(alone, field)
        torch.testing.assert_close(mine, its, atol=1e-5, rtol=0)


def test_without_a_threshold_every_iteration_is_run(name: str, small: Small) -> None:
    cost, calls = watched(flat)
    config = small(name, iterations=9, horizon=1)
    plan = PLANNERS[name].function(cost, None, BOX, config, streams([0]))
    assert len(calls) == len(plan.history) == 9
