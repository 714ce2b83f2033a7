"""Goal images one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from goalsight.agent import Agent, AgentConfig, CostConfig, SequenceConfig
from goalsight.agent.agent import Episode
from goalsight.checkpoint import Checkpoint
from goalsight.models import WorldModel, WorldModelConfig
from goalsight_planners import CEMConfig

SIZE = 32
Pixels = NDArray[np.uint8]


def at(*place: float) -> Tensor:
    """(1, 1, D) latent at a place."""
    return torch.tensor(place).reshape(1, 1, -1)


def goals_at(*places: tuple[float, ...], **rule: float) -> Agent:
    """An agent that is to reach places one after the other."""
    agent = agent_of(sequence=SequenceConfig(**rule))  # type: ignore[arg-type]
    agent._episodes = [Episode(torch.stack([at(*place) for place in places]), [])]
    return agent


def indices(agent: Agent, *seen: tuple[float, ...]) -> list[int]:
    """The goal after each look."""
    found = []
    for place in seen:
        agent.look(at(*place)[None])
        found.append(agent.goal_index)
    return found


def test_the_next_goal_comes_at_a_share_of_the_first_energy_and_the_last_stays() -> None:
    """Ten units away, squared: 0.25 of the energy is five units; jumps, so that none is near."""
    goals = goals_at((10.0, 0.0), (10.0, 50.0), switch=0.25, patience=0)
    assert indices(goals, (0.0, 0.0), (4.9, 0.0)) == [0, 0]
    goals = goals_at((10.0, 0.0), (10.0, 50.0), switch=0.25, patience=0)
    assert indices(goals, (0.0, 0.0), (5.0, 0.0), (10.0, 50.0), (0.0, 0.0)) == [0, 1, 1, 1]
    assert torch.equal(goals._episodes[0].goal, at(10.0, 50.0))


def test_a_goal_within_one_decisions_motion_is_reached() -> None:
    """Steps of 2: at 8 the goal at 10 is as far as what was seen before."""
    goals = goals_at((10.0,), (90.0,), switch=0.0, patience=0)
    assert indices(goals, (0.0,), (2.0,), (4.0,), (6.0,), (8.0,)) == [0, 0, 0, 0, 1]


def test_a_goal_that_comes_no_nearer_is_given_up() -> None:
    goals = goals_at((10.0,), (90.0,), switch=0.0, patience=3)
    still = (4.0,)
    assert indices(goals, (0.0,), still, still, still, still) == [0, 0, 0, 0, 1]
    patient = goals_at((10.0,), (90.0,), switch=0.0, patience=0)
    assert set(indices(patient, *[still] * 40)) == {0}


def test_waiting_begins_anew_with_every_goal_and_every_progress() -> None:
    goals = goals_at((100.0,), (-100.0,), (0.0,), switch=0.0, patience=2)
    seen = [(0.0,), (0.0,), (1.5,), (1.5,), (1.5,), (1.5,), (1.5,), (1.5,)]
    #       far      wait    nearer  wait    over    wait    over
    assert indices(goals, *seen) == [0, 0, 0, 0, 1, 1, 2, 2]


def test_goals_that_are_reached_already_are_passed_in_one_look() -> None:
    goals = goals_at((0.0,), (0.0,), (9.0,))
    assert indices(goals, (0.0,)) == [2]


def picture(seed: int) -> Pixels:
    squares = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return squares.repeat(SIZE // 4, axis=0).repeat(SIZE // 4, axis=1)


def agent_of(**changes: object) -> Agent:
    config = WorldModelConfig(image_size=SIZE, action_dim=2, frameskip=2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = WorldModel(config).eval()
        for weight in model.predictor.parameters():
            torch.nn.init.normal_(weight, std=0.05)
    search = CEMConfig(horizon=2, samples=8, iterations=1, elites=2)
    return Agent(
        Checkpoint(model, config, {}, "0" * 64),
        config=AgentConfig(planner=search, **changes),  # type: ignore[arg-type]
    )


def act(agent: Agent, pixels: Pixels) -> NDArray[np.float32]:
    """The actions of one decision."""
    steps = agent.frameskip * agent.config.replan
    return np.stack([agent.act(pixels, np.zeros(1, np.float32)) for _ in range(steps)])


def test_an_agent_takes_one_goal_image_or_several() -> None:
    one, several = agent_of(), agent_of()
    one.reset(picture(1), seed=0)
    several.reset([picture(1)], seed=0)
    np.testing.assert_array_equal(act(one, picture(0)), act(several, picture(0)))


def test_an_agent_goes_on_when_it_sees_its_goal_and_plans_to_the_next_from_then_on() -> None:
    both = agent_of()
    both.reset([picture(1), picture(2)], seed=0)
    act(both, picture(0))
    assert both.goal_index == 0
    assert both.energy(picture(1)) == 0
    act(both, picture(1))
    assert both.goal_index == 1
    assert both.energy(picture(2)) == 0
    both.reset(picture(1), seed=0)
    assert both.goal_index == 0


def test_an_agent_without_any_goal_image_is_refused() -> None:
    nothing: list[Any] = [[], np.zeros((0, SIZE, SIZE, 3), np.uint8)]
    for none in nothing:
        with pytest.raises(ValueError, match="no goal image"):
            agent_of().reset(none, seed=0)


def test_smoothness_knows_the_action_that_ran_before(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor | None] = []

    def spy(plans: Tensor, previous: Tensor | None = None) -> Tensor:
        seen.append(previous)
        return plans.new_zeros(plans.shape[:-3])

    monkeypatch.setattr("goalsight.agent.cost.smoothness_penalty", spy)
    agent = agent_of(cost=CostConfig(smoothness_weight=1.0), replan=2)
    agent.reset(picture(1), seed=0)
    first = act(agent, picture(0))
    act(agent, picture(2))
    assert seen[0] is None
    assert seen[-1] is not None
    np.testing.assert_array_equal(seen[-1].numpy(), first[-1:])
