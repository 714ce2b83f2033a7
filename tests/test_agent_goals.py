"""Goal images one after the other, and the patches of them that count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from goalsight.agent import Agent, AgentConfig, CostConfig, SequenceConfig
from goalsight.agent.goals import Goals
from goalsight.agent.regions import box_weights, change_weights
from goalsight.checkpoint import Checkpoint
from goalsight.errors import UserError
from goalsight.models import WorldModel, WorldModelConfig
from goalsight_planners import CEMConfig

SIZE = 32
BLANK = np.zeros((SIZE, SIZE, 3), np.uint8)
Pixels = NDArray[np.uint8]


def at(*place: float) -> Tensor:
    """(1, 1, D) latent at a place."""
    return torch.tensor(place).reshape(1, 1, -1)


def goals_at(*places: tuple[float, ...], **rule: float) -> Goals:
    """Goals at places, on pictures that do not matter."""
    config = AgentConfig(sequence=SequenceConfig(**rule))  # type: ignore[arg-type]
    pictures = np.stack([BLANK] * len(places))
    return Goals(pictures, torch.cat([at(*p) for p in places]), config, latent_variance=1.0)


def indices(goals: Goals, *seen: tuple[float, ...]) -> list[int]:
    """The goal after each look."""
    found = []
    for place in seen:
        goals.look(at(*place), BLANK)
        found.append(goals.index)
    return found


def test_the_next_goal_comes_at_a_share_of_the_first_energy_and_the_last_stays() -> None:
    """Ten units away, squared: 0.25 of the energy is five units; jumps, so that none is near."""
    goals = goals_at((10.0, 0.0), (10.0, 50.0), switch=0.25, patience=0)
    assert indices(goals, (0.0, 0.0), (4.9, 0.0)) == [0, 0]
    goals = goals_at((10.0, 0.0), (10.0, 50.0), switch=0.25, patience=0)
    assert indices(goals, (0.0, 0.0), (5.0, 0.0), (10.0, 50.0), (0.0, 0.0)) == [0, 1, 1, 1]
    assert torch.equal(goals.current, at(10.0, 50.0))


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


def test_the_energy_is_to_the_goal_whose_turn_it_is() -> None:
    goals = goals_at((2.0,), (5.0,), switch=0.5, patience=0)
    assert goals.energy(at(0.0)) == 4.0
    goals.look(at(2.0), BLANK)
    assert goals.energy(at(2.0)) == 9.0


def test_a_box_counts_by_the_share_of_each_patch_that_lies_in_it() -> None:
    assert box_weights((16, 0, 32, 32), 32, 4).tolist() == [0, 1, 0, 1]
    assert box_weights((8, 8, 24, 16), 32, 4).tolist() == [0.5 * 0.5, 0.5 * 0.5, 0, 0]
    assert box_weights((0, 0, 32, 32), 32, 16).tolist() == [1.0] * 16


def test_boxes_that_are_none_and_models_without_a_grid_are_refused() -> None:
    for box in ((8, 0, 8, 4), (0, 9, 4, 8), (-1, 0, 8, 8), (0, 0, 33, 8)):
        with pytest.raises(UserError, match="is no box in a picture of 32 x 32"):
            box_weights(box, 32, 4)
    with pytest.raises(UserError, match="one latent for the whole picture; only parts"):
        box_weights((0, 0, 8, 8), 32, 1)
    with pytest.raises(UserError, match="5 tokens, no grid"):
        box_weights((0, 0, 8, 8), 32, 5)


def test_patches_count_by_how_much_they_change() -> None:
    start, goal = BLANK.copy(), BLANK.copy()
    goal[:16, :16] = 200  # all of the first patch
    goal[16:24, 16:] = 100  # a quarter as much of the last
    torch.testing.assert_close(change_weights(start, goal, 4), torch.tensor([1.0, 0, 0, 0.25]))
    assert change_weights(start, start, 4).tolist() == [1, 1, 1, 1]


def weights_of(goals: Goals) -> list[float]:
    return [] if goals.weights is None else goals.weights.tolist()


def test_the_change_is_from_the_first_picture_of_each_goals_turn() -> None:
    left, right = BLANK.copy(), BLANK.copy()
    left[:, :16], right[:, 16:] = 255, 255
    config = AgentConfig(cost=CostConfig(region="change"), sequence=SequenceConfig(patience=0))
    latents = torch.tensor([1.0, 5.0])[:, None, None].expand(2, 4, 3)
    goals = Goals(np.stack([left, right]), latents, config, latent_variance=1.0)
    assert weights_of(goals) == []
    goals.look(torch.zeros(1, 4, 3), BLANK)
    assert weights_of(goals) == [1, 0, 1, 0]
    goals.look(torch.zeros(1, 4, 3), right)  # it stays as it was at the beginning
    assert weights_of(goals) == [1, 0, 1, 0]
    goals.look(torch.ones(1, 4, 3), left)
    assert goals.index == 1
    assert weights_of(goals) == [1, 1, 1, 1]


def picture(seed: int) -> Pixels:
    squares = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return squares.repeat(SIZE // 4, axis=0).repeat(SIZE // 4, axis=1)


def agent_of(*, grid: bool = False, **changes: object) -> Agent:
    kind: dict[str, Any] = {"encoder": "conv-grid", "predictor": "grid"} if grid else {}
    config = WorldModelConfig(image_size=SIZE, action_dim=2, frameskip=2, **kind)
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
    several.reset(picture(1)[None], seed=0)
    np.testing.assert_array_equal(act(one, picture(0)), act(several, picture(0)))


def test_an_agent_goes_on_when_it_sees_its_goal_and_plans_to_the_next_from_then_on() -> None:
    both = agent_of()
    both.reset(np.stack([picture(1), picture(2)]), seed=0)
    act(both, picture(0))
    assert both.goal_index == 0
    assert both.energy(picture(1)) == 0
    act(both, picture(1))
    assert both.goal_index == 1
    assert both.energy(picture(2)) == 0
    both.reset(picture(1), seed=0)
    assert both.goal_index == 0


def test_an_agent_without_any_goal_image_is_refused() -> None:
    with pytest.raises(ValueError, match="no goal image"):
        agent_of().reset(np.zeros((0, SIZE, SIZE, 3), np.uint8), seed=0)


def cost(agent: Agent) -> float:
    """Of the plan that is made at the first picture."""
    agent.act(picture(0), np.zeros(1, np.float32))
    assert agent.last_plan is not None
    return float(agent.last_plan.cost)


def test_a_drawn_region_changes_the_cost_of_a_grid_and_a_pooled_model_refuses_it() -> None:
    agent = agent_of(grid=True)
    agent.reset(picture(1), seed=0)
    whole = cost(agent)
    agent.reset(picture(1), seed=0, region=(0, 0, 16, 16))
    assert agent.patch_weights is not None
    assert agent.patch_weights.tolist() == [1, 0, 0, 0]
    assert abs(cost(agent) - whole) > 0.01 * whole
    agent.reset(picture(1), seed=0, region=(0, 0, SIZE, SIZE))
    assert cost(agent) == pytest.approx(whole, rel=1e-5)
    with pytest.raises(UserError, match="train with --config grid"):
        agent_of().reset(picture(1), seed=0, region=(0, 0, 16, 16))


def test_smoothness_knows_the_action_that_ran_before(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor | None] = []

    def spy(plans: Tensor, previous: Tensor | None = None) -> Tensor:
        seen.append(previous)
        return plans.new_zeros(plans.shape[:-3])

    monkeypatch.setattr("goalsight.agent.cost.smoothness_penalty", spy)
    agent = agent_of(cost=CostConfig(smoothness=1.0), replan=2)
    agent.reset(picture(1), seed=0)
    first = act(agent, picture(0))
    act(agent, picture(2))
    assert seen[0] is None
    assert seen[-1] is not None
    np.testing.assert_array_equal(seen[-1].numpy(), first[-1:])
