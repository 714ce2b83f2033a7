"""Energies and costs: zero at the goal, and the sooner the better."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from goalsight.energies import (
    Energy,
    action_penalty,
    aggregate_energy,
    arrival_cost,
    energy_unit,
    goal_energy,
    smoothness_penalty,
)

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


def test_each_energy_has_the_value_of_its_formula() -> None:
    """Patch one is 3 and 4 away and at a right angle, patch two is there."""
    predicted = torch.tensor([[0.0, 4.0], [1.0, 1.0]]).reshape(1, 1, 2, 2)
    goal = torch.tensor([[3.0, 0.0], [1.0, 1.0]])
    wanted = {"l2": (9 + 16) / 4, "l1": (3 + 4) / 4, "cosine": (1 + 0) / 2}
    for kind in get_args(Energy):
        energy = goal_energy(predicted, goal, kind)
        torch.testing.assert_close(energy, torch.tensor([[wanted[kind]]]))


def test_in_their_units_energies_of_unrelated_latents_are_what_is_promised() -> None:
    """2, 2 / sqrt(pi) and 2, whatever the scale of the latents; 1 % is the sampling error."""
    for scale in (0.1, 3.0):
        predicted, goal = scale * latents(0, 1, 1, 400, 64), scale * latents(1, 400, 64)
        promised: list[tuple[Energy, float]] = [
            ("l2", 2.0),
            ("l1", 2 / math.sqrt(math.pi)),
            ("cosine", 2.0),
        ]
        for kind, wanted in promised:
            unit = energy_unit(kind, scale**2)
            assert float(goal_energy(predicted, goal, kind)) / unit == pytest.approx(wanted, 0.02)


def test_the_same_latent_has_no_energy_of_any_kind_and_never_a_negative_one() -> None:
    """Rounding takes the cosine of a vector with itself past 1."""
    z = latents(3, 500, 7)
    for kind in get_args(Energy):
        energy = goal_energy(z[None, None], z, kind)
        assert 0 <= float(energy) < 1e-6


@given(seed=seeds, executed=st.integers(1, 4))
def test_aggregates_count_the_blocks_they_name(seed: int, executed: int) -> None:
    energy = latents(seed, 2, 5, 4).square()

    def cost(how: str) -> Tensor:
        return aggregate_energy(energy, how, time_penalty=0.3, path_weight=0.2, executed=executed)  # type: ignore[arg-type]

    assert torch.equal(cost("arrival"), arrival_cost(energy, 0.3, 0.2))
    assert torch.equal(cost("final"), energy[..., 3])
    torch.testing.assert_close(cost("sum"), energy.sum(-1))
    torch.testing.assert_close(cost("prefix"), energy[..., :executed].sum(-1))


def test_penalties_have_the_values_of_their_formulas() -> None:
    """Two plans of two blocks of two control steps on one axis: one jerks, one holds."""
    plans = torch.tensor([[1.0, -1.0, 1.0, -1.0], [0.5, 0.5, 0.5, 0.5]]).reshape(2, 2, 2, 1)
    assert action_penalty(plans).tolist() == [1.0, 0.25]
    assert smoothness_penalty(plans).tolist() == [4.0, 0.0]
    before = torch.tensor([0.5])
    assert smoothness_penalty(plans, before).tolist() == [(0.25 + 3 * 4) / 4, 0.0]
    assert smoothness_penalty(plans[:, :1, :1]).tolist() == [0.0, 0.0]
    batch = torch.stack([plans, plans])
    previous = torch.tensor([[0.5], [1.5]])
    assert smoothness_penalty(batch, previous)[1].tolist() == [(0.25 + 3 * 4) / 4, 0.25]
