"""Energies and costs: zero at the goal, and the sooner the better."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from goalsight.energies import arrival_cost, goal_energy

seeds = st.integers(0, 2**16)
weights = st.floats(0, 2, width=32)


def latents(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@given(seed=seeds, batch=st.lists(st.integers(1, 3), max_size=2))
def test_energy_is_the_mean_square_and_zero_only_at_the_goal(seed: int, batch: list[int]) -> None:
    predicted, goal = latents(seed, *batch, 4, 3, 2, 5), latents(seed + 1, *batch, 2, 5)
    energy = goal_energy(predicted, goal)
    assert energy.shape == (*batch, 4, 3)
    assert (energy > 0).all()
    wanted = ((predicted - goal.unsqueeze(-3).unsqueeze(-3)) ** 2).mean((-2, -1))
    torch.testing.assert_close(energy, wanted)
    predicted[..., 1, 2, :, :] = goal
    assert (goal_energy(predicted, goal)[..., 1, 2] == 0).all()


@given(seed=seeds)
def test_each_problem_of_a_batch_has_its_own_goal(seed: int) -> None:
    predicted, goal = latents(seed, 3, 4, 2, 1, 6), latents(seed + 1, 3, 1, 6)
    together = goal_energy(predicted, goal)
    for problem in range(3):
        torch.testing.assert_close(
            together[problem], goal_energy(predicted[problem], goal[problem])
        )


@pytest.mark.parametrize("goal", [(2, 6), (1, 5), (3, 1, 6)])
def test_latents_of_other_shapes_are_refused_with_both(goal: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"must share batch, patches and dim, got \(4, 2, 1, 6\)"):
        goal_energy(torch.zeros(4, 2, 1, 6), torch.zeros(goal))


@given(seed=seeds, delay=weights, running=weights, horizon=st.integers(1, 6))
def test_a_plan_costs_its_best_moment_plus_its_wait(
    seed: int, delay: float, running: float, horizon: int
) -> None:
    energy = latents(seed, 2, 5, horizon).square()
    cost = arrival_cost(energy, delay, running)
    assert cost.shape == (2, 5)
    wanted = torch.stack([energy[..., h] + delay * h for h in range(horizon)]).amin(
        0
    ) + running * energy.mean(-1)
    torch.testing.assert_close(cost, wanted)


@given(seed=seeds, delay=weights, running=weights)
def test_less_energy_anywhere_never_costs_more(seed: int, delay: float, running: float) -> None:
    energy = latents(seed, 8, 5).square()
    less = energy * torch.rand(energy.shape, generator=torch.Generator().manual_seed(seed + 1))
    assert (arrival_cost(less, delay, running) <= arrival_cost(energy, delay, running)).all()


@given(seed=seeds, delay=st.floats(2**-7, 2, width=32), running=weights)
def test_of_two_plans_that_arrive_the_sooner_is_cheaper(
    seed: int, delay: float, running: float
) -> None:
    """The same moments in another order: only when the best one comes differs."""
    far, near = 2.0 * 5 * delay, 0.0
    arrivals = torch.full((5, 5), far).fill_diagonal_(near)
    cost = arrival_cost(arrivals, delay, running)
    assert (cost.diff() > 0).all()


@given(seed=seeds)
def test_without_delay_and_running_only_the_best_moment_counts(seed: int) -> None:
    energy = latents(seed, 6, 4).square()
    torch.testing.assert_close(arrival_cost(energy, 0.0, 0.0), energy.amin(-1))


@given(seed=seeds, delay=weights, running=weights)
def test_permuting_candidates_permutes_their_costs(seed: int, delay: float, running: float) -> None:
    energy = latents(seed, 7, 4).square()
    order = torch.randperm(7, generator=torch.Generator().manual_seed(seed))
    cost = arrival_cost(energy, delay, running)
    assert torch.equal(arrival_cost(energy[order], delay, running), cost[order])
