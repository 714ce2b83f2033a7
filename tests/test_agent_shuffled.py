"""An agent whose model is shown its plans out of order: what it scores is not what it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from goalsight.agent import Agent, AgentConfig, ShuffledAgent
from goalsight.agent.agent import Episode
from goalsight.agent.cost import PlanningProblem
from goalsight.agent.shuffled import derangement
from goalsight.checkpoint import Checkpoint
from goalsight.models import WorldModel, WorldModelConfig
from goalsight_planners import CEMConfig, Cost

H, K, A = 4, 2, 2
SEARCH = CEMConfig(horizon=H, block=K, samples=40, iterations=4, elites=5)
CONFIG = AgentConfig(planner=SEARCH)


def model_of() -> WorldModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = WorldModel(WorldModelConfig(image_size=32, action_dim=A, frameskip=K)).eval()
        for weight in model.predictor.parameters():
            torch.nn.init.normal_(weight, std=0.05)
    return model


def streams(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


class Told(ShuffledAgent):
    """Shows a cost that it is told in another order, in place of its model's."""

    told: Cost

    def _scored(self, cost: Cost, streams: Sequence[torch.Generator]) -> Cost:
        return super()._scored(self.told, streams)


def agent_with(cost: Cost) -> Told:
    model = model_of()
    agent = Told(Checkpoint(model, model.config, {}, "0" * 64), config=CONFIG)
    agent.told = cost
    return agent


def problem_of(problems: int) -> PlanningProblem:
    latent = torch.zeros(problems, 1, 1, 64)
    return PlanningProblem(latents=latent, goal=latent[:, 0])


def plan(problems: int, cost: Any, seed: int = 0) -> Any:
    problem, seeds = problem_of(problems), range(seed, seed + problems)
    return agent_with(cost)._plan(problem, Episode(problem.goal[None], streams(*seeds)), None)


@given(count=st.integers(2, 12), seed=st.integers(0, 2**31))
def test_no_block_keeps_its_place_and_none_is_lost(count: int, seed: int) -> None:
    order = derangement(count, *streams(seed))
    assert sorted(order.tolist()) == list(range(count))
    assert not bool((order == torch.arange(count)).any())


def test_what_is_executed_is_the_plan_and_what_it_costs_is_another_order_of_it() -> None:
    """A cost that wants the first block alone to be 1 is met by another block of what is done."""
    wanted = torch.zeros(H)
    wanted[0] = 1.0
    shown: list[Tensor] = []

    def cost(plans: Tensor) -> Tensor:
        shown.append(plans)
        return (plans.mean(dim=(-2, -1)) - wanted).square().sum(-1)

    found = plan(1, cost)
    done = found.actions[0].mean(dim=(-2, -1))
    assert int(done.argmax()) > 0
    assert float(done.max()) > 0.5
    assert float(done[0]) < 0.4
    best = torch.cat(shown, dim=1)[0].mean(dim=(-2, -1))
    best = best[(best - wanted).square().sum(-1).argmin()]
    torch.testing.assert_close(best.sort().values, done.sort().values)


def test_all_plans_of_a_decision_are_shuffled_alike_and_decisions_differ() -> None:
    """Every plan has its block numbers as actions here, so that the order can be read off."""
    seen: list[tuple[int, ...]] = []
    number = torch.arange(float(H))[:, None, None].expand(1, H, K, A) / H

    def cost(plans: Tensor) -> Tensor:
        seen.append(tuple((plans[0, 0, :, 0, 0] * H).round().int().tolist()))
        return torch.zeros(plans.shape[:2])

    agent, problem = agent_with(cost), problem_of(1)
    episode = Episode(problem.goal[None], streams(0))
    orders = set()
    for _ in range(6):
        seen.clear()
        episode.warm = number[:, None].expand(1, 20, H, K, A)
        agent._plan(problem, episode, None)
        assert sorted(seen[0]) == list(range(H))
        orders.add(seen[0])
    assert len(orders) > 1


def test_a_problem_is_shuffled_by_its_own_stream_alone() -> None:
    def cost(plans: Tensor) -> Tensor:
        rising = torch.arange(float(H)) / H
        return (plans.mean(dim=(-2, -1)) - rising).square().sum(-1)

    together, alone = plan(2, cost).actions, plan(1, cost, seed=1).actions
    torch.testing.assert_close(together[1:], alone)


def test_the_agent_is_the_same_but_for_what_its_plans_cost() -> None:
    model = model_of()
    checkpoint = Checkpoint(model, model.config, {}, "0" * 64)
    acted, black = [], np.zeros((32, 32, 3), np.uint8)
    for kind in (Agent, ShuffledAgent, ShuffledAgent):
        agent = kind(checkpoint, config=CONFIG)
        agent.reset(black + 99, 0)
        steps = [agent.act(black, np.zeros(3, np.float32)) for _ in range(3 * K)]
        acted.append(np.stack(steps))
        assert agent.evaluations_per_decision == SEARCH.evaluations
    assert not np.array_equal(acted[0], acted[1])
    np.testing.assert_array_equal(acted[1], acted[2])


@torch.inference_mode()
def test_its_costs_are_in_the_unit_of_the_agent_it_is_compared_with() -> None:
    """Latents whose variance is not 1; a plan in order costs what it does there."""
    model = model_of()
    card = {"statistics": {"latent": {"variance": 0.286}}}
    checkpoint = Checkpoint(model, model.config, card, "0" * 64)
    plans = torch.rand(1, 6, H, K, A, generator=streams(0)[0]) * 2 - 1
    black, costs = np.zeros((32, 32, 3), np.uint8), []
    for kind in (Agent, ShuffledAgent):
        agent = kind(checkpoint, config=CONFIG)
        agent.reset(black + 99, 0)
        here = model.encode(torch.zeros(1, 1, 3, 32, 32, dtype=torch.uint8))
        costs.append(agent.cost(here)(plans))
    torch.testing.assert_close(costs[1], costs[0], atol=0, rtol=0)


@pytest.mark.parametrize("count", [2, 3])
def test_of_two_blocks_there_is_one_order_and_of_three_there_are_two(count: int) -> None:
    found = {tuple(derangement(count, *streams(seed)).tolist()) for seed in range(40)}
    assert len(found) == count - 1
