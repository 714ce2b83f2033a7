"""The agent: looks, plans once in a while, and is the same agent every time."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from goalsight.agent import Agent, AgentConfig, CostConfig
from goalsight.checkpoint import load_checkpoint, save_checkpoint
from goalsight.errors import CheckpointError
from goalsight.models import WorldModel, WorldModelConfig
from goalsight_planners import CEMConfig

SIZE, K, A = 32, 3, 2
PROPRIO = np.zeros(5, np.float32)
SEARCH = CEMConfig(horizon=3, samples=16, iterations=2, elites=4)
CONFIG = AgentConfig(planner=SEARCH, replan=2)
Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny untrained model; a fresh one predicts that nothing moves, this one that much does."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = WorldModel(WorldModelConfig(image_size=SIZE, action_dim=A, frameskip=K))
        for weight in model.predictor.get_submodule("out").parameters():
            torch.nn.init.normal_(weight, std=0.03)
    folder = tmp_path_factory.mktemp("run") / "checkpoint"
    save_checkpoint(folder, model.eval(), {"labels_used": ["cube_pos"]})
    return folder


@pytest.fixture
def agent(saved: Path) -> Agent:
    return Agent.from_pretrained(saved, config=CONFIG)


def picture(seed: int, size: int = SIZE) -> Pixels:
    """(size, size, 3) sixteen squares of colour."""
    squares = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return squares.repeat(size // 4, axis=0).repeat(size // 4, axis=1)


def period(agent: Agent) -> int:
    """Control steps from one decision to the next."""
    return agent.config.replan * agent.frameskip


def drive(agent: Agent, steps: int, *, seed: int = 0, goal: int = 100) -> NDArray[np.float32]:
    """(steps, A) actions for pictures that change at every step."""
    agent.reset(picture(goal), seed)
    return np.stack([agent.act(picture(step), PROPRIO) for step in range(steps)])


def test_an_agent_knows_what_it_was_made_of(saved: Path, agent: Agent) -> None:
    assert (agent.image_size, agent.frameskip, agent.action_dim) == (SIZE, K, A)
    assert agent.labels_used == agent.card["labels_used"] == ["cube_pos"]
    assert agent.checkpoint_sha256 == agent.card["sha256"]["model.safetensors"]
    assert Agent.from_pretrained(saved.parent).checkpoint_sha256 == agent.checkpoint_sha256
    with pytest.raises(CheckpointError, match="no checkpoint 'nowhere'"):
        Agent.load("nowhere")


def test_action_blocks_are_as_long_as_the_checkpoint_says(saved: Path) -> None:
    config = AgentConfig(planner=CEMConfig(block=K + 4))
    assert Agent.from_pretrained(saved, config=config).config.planner.block == K


def test_before_its_first_goal_an_agent_says_what_to_call(agent: Agent) -> None:
    for call in (lambda: agent.act(picture(0), PROPRIO), lambda: agent.energy(picture(0))):
        with pytest.raises(RuntimeError, match=r"no goal yet: call reset\(goal, seed\) first"):
            call()


@pytest.mark.parametrize(
    ("wrong", "came"),
    [
        (picture(0)[..., :1], "got uint8 (32, 32, 1)"),
        (picture(0).transpose(2, 0, 1), "got uint8 (3, 32, 32)"),
        (picture(0) / 255.0, "got float64 (32, 32, 3)"),
    ],
)
def test_a_picture_of_another_kind_is_refused_with_what_came(
    agent: Agent, wrong: Any, came: str
) -> None:
    message = re.escape(f"this agent sees uint8 pictures of (H, W, 3), {came}")
    with pytest.raises(ValueError, match=message):
        agent.reset(wrong, 0)
    agent.reset(picture(0), 0)
    with pytest.raises(ValueError, match=message):
        agent.act(wrong, PROPRIO)


def test_a_picture_that_cannot_be_written_to_is_taken_without_a_warning(agent: Agent) -> None:
    """As Pillow and memory maps give them; PyTorch used to warn on every run's first one."""
    still = picture(100)
    still.flags.writeable = False
    agent.reset(still, 0)
    assert agent.energy(still) == 0


def test_it_plans_once_a_period_and_executes_that_plan(agent: Agent) -> None:
    agent.reset(picture(100), 0)
    for _ in range(3):
        planned: list[NDArray[np.float32]] = []
        for step in range(period(agent)):
            action = agent.act(picture(step), PROPRIO)
            assert (agent.last_plan is not None) == (step == 0)
            assert (agent.last_latency_s is not None) == (step == 0)
            if agent.last_plan is not None:
                assert agent.last_plan.actions.shape == (1, SEARCH.horizon, K, A)
                assert agent.last_plan.evaluations == agent.evaluations_per_decision
                planned = list(agent.last_plan.actions[0].flatten(0, 1).numpy())
            np.testing.assert_array_equal(action, planned[step])


def test_between_two_decisions_it_does_not_look(agent: Agent) -> None:
    """What it sees there is not even checked: the actions were decided."""
    seen = drive(agent, period(agent))
    agent.reset(picture(100), 0)
    blind = [agent.act(picture(0), PROPRIO)]
    blind += [agent.act(np.zeros((1, 1, 3), np.uint8), PROPRIO) for _ in seen[1:]]
    np.testing.assert_array_equal(blind, seen)


def test_the_same_seed_gives_the_same_actions_whatever_was_before(saved: Path) -> None:
    """A second agent, and one that was in the middle of a plan for another goal."""
    agent = Agent.from_pretrained(saved, config=CONFIG)
    steps = 2 * period(agent) + 1
    first = drive(agent, steps, seed=5)
    drive(agent, period(agent) + 1, seed=6, goal=101)
    np.testing.assert_array_equal(drive(agent, steps, seed=5), first)
    torch.manual_seed(99)
    np.testing.assert_array_equal(
        drive(Agent.from_pretrained(saved, config=CONFIG), steps, seed=5), first
    )


def test_another_seed_or_another_goal_gives_other_actions(agent: Agent) -> None:
    base = drive(agent, 1)
    assert not np.array_equal(drive(agent, 1, seed=1), base)
    others = [drive(agent, 1, goal=goal) for goal in range(101, 106)]
    assert not all(np.array_equal(other, base) for other in others)


def test_planning_leaves_the_global_random_stream_alone(agent: Agent) -> None:
    torch.manual_seed(5)
    drive(agent, 2)
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))


def test_actions_are_float32_in_bounds_and_the_callers_own(agent: Agent) -> None:
    actions = drive(agent, 3 * period(agent))
    assert actions.shape == (3 * period(agent), A)
    assert actions.dtype == np.float32
    assert np.abs(actions).max() <= 1
    agent.reset(picture(100), 0)
    plan = agent.act(picture(0), PROPRIO)
    assert agent.last_plan is not None
    before = agent.last_plan.actions.clone()
    plan[:] = 7
    assert torch.equal(agent.last_plan.actions, before)


def test_the_energy_is_zero_at_the_goal_picture_and_nowhere_else(agent: Agent) -> None:
    agent.reset(picture(100), 0)
    assert agent.energy(picture(100)) == 0
    assert agent.energy(picture(101)) > 0


def test_more_search_finds_plans_that_cost_no_more(saved: Path) -> None:
    """The plan's cost is that of the model and energy it is made with."""
    costs = []
    for samples in (16, 512):
        planner = CEMConfig(horizon=3, samples=samples, iterations=4, elites=8)
        agent = Agent.from_pretrained(saved, config=AgentConfig(planner=planner))
        drive(agent, 1)
        assert agent.last_plan is not None
        costs.append(float(agent.last_plan.cost))
    assert costs[1] < costs[0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"replan": 0}, r"replan must be in \[1, .*got 0"),
        ({"replan": 1000}, r"replan must be in \[1, .*got 1000"),
        ({"replan": -1}, r"replan must be in \[1, .*got -1"),
        ({"action_bound_sigmas": -1.0}, "action_bound_sigmas must be >= 0, got -1.0"),
    ],
)
def test_a_config_out_of_range_is_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AgentConfig(**values)


def test_a_model_that_diverged_is_refused_instead_of_followed(agent: Agent) -> None:
    """NaN counts as an infinite cost: the search used to come back with its first guess."""
    with torch.no_grad():
        next(agent.model.predictor.parameters()).fill_(torch.nan)
    with pytest.raises(CheckpointError, match="predicts latents that are not numbers"):
        drive(agent, 1)


def test_a_block_of_delay_is_worth_the_same_in_latents_of_any_scale(
    saved: Path, tmp_path: Path
) -> None:
    card = {"statistics": {"latent": {"variance": 4.0}}}
    save_checkpoint(tmp_path / "wide", load_checkpoint(saved).model, card)
    plain = Agent.from_pretrained(saved, config=replace(CONFIG, cost=CostConfig(time_penalty=0.4)))
    scaled = Agent.load(
        tmp_path / "wide", config=replace(CONFIG, cost=CostConfig(time_penalty=0.1))
    )
    assert np.array_equal(drive(plain, 1), drive(scaled, 1))
    assert plain.last_plan is not None
    assert scaled.last_plan is not None
    torch.testing.assert_close(plain.last_plan.cost, 4 * scaled.last_plan.cost)
