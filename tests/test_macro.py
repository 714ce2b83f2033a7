"""The macro level: codes for chunks of blocks, and any planner on top of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from goalsight.agent import Agent, AgentConfig
from goalsight.agent.macro import MacroPlanner
from goalsight.checkpoint import save_checkpoint
from goalsight.errors import CheckpointError
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.models.heads.macro import MacroActions
from goalsight_planners import CEMConfig, MPPIConfig, streams

CONFIG = WorldModelConfig(image_size=32, action_dim=2, frameskip=3)
BLOCKS = 2


def recorded(chunks: int = 200) -> Tensor:
    """(n, M, K, A) smooth pushes: a direction and a turn, two numbers in all."""
    amounts = 0.3 * torch.randn(chunks, 2, 1, generator=torch.Generator().manual_seed(0))
    time = torch.linspace(0, 1, BLOCKS * 3)
    axes = torch.stack((amounts[:, 0] + 0 * time, amounts[:, 1] * (1 - 2 * time)), dim=-1)
    return axes.reshape(chunks, BLOCKS, 3, 2)


def fitted(codes: int = 2) -> MacroActions:
    head = MacroActions(CONFIG, 1, 64, blocks=BLOCKS, codes=codes)
    head.fit(recorded())
    return head


def model_with(head: MacroActions) -> WorldModel:
    options = {"blocks": head.blocks, "codes": head.codes}
    with torch.random.fork_rng(devices=[]):
        model = WorldModel(replace(CONFIG, heads={"macro": options}))
    model.heads["macro"].load_state_dict(head.state_dict())
    return model.eval()


def test_two_numbers_describe_pushes_of_two_numbers() -> None:
    head = MacroActions(CONFIG, 1, 64, blocks=BLOCKS, codes=2)
    assert head.fit(recorded()) == pytest.approx(1, abs=1e-6)
    chunks = recorded()
    torch.testing.assert_close(head.decode(head.encode(chunks)), chunks.clamp(-1, 1))
    assert head.encode(chunks).std() == pytest.approx(1, abs=0.02)  # in standard deviations
    one = MacroActions(CONFIG, 1, 64, blocks=BLOCKS, codes=1)
    assert 0.3 < one.fit(recorded()) < 0.9


@given(seed=st.integers(0, 2**16), steps=st.integers(1, 4))
@settings(max_examples=20)
def test_codes_of_decoded_codes_are_the_codes(seed: int, steps: int) -> None:
    codes = 0.5 * torch.randn(3, steps, 2, generator=torch.Generator().manual_seed(seed))
    head = fitted()
    blocks = head.decode(codes)
    assert blocks.shape == (3, steps * BLOCKS, 3, 2)
    torch.testing.assert_close(head.encode(blocks), codes, atol=1e-4, rtol=1e-4)


def test_the_same_data_give_the_same_codes() -> None:
    assert torch.equal(fitted().components, fitted().components)
    with pytest.raises(ValueError, match="8 codes need more chunks than 8"):
        MacroActions(CONFIG, 1, 64, blocks=BLOCKS, codes=8).fit(recorded(8))
    with pytest.raises(ValueError, match=r"codes in \[1, 12\]"):
        MacroActions(CONFIG, 1, 64, blocks=BLOCKS, codes=13)


@pytest.mark.parametrize(
    "config",
    [
        CEMConfig(horizon=4, block=3, samples=60, iterations=8, elites=8),
        MPPIConfig(horizon=4, block=3, samples=100, iterations=8, elites=8),
    ],
)
def test_any_planner_finds_recorded_pushes_through_codes(config: Any) -> None:
    """The target is decoded codes, so the optimum is known and its cost is 0."""
    head = fitted()
    target = head.decode(torch.tensor([[[0.8, -1.0], [-0.5, 0.4]]]))
    ones = torch.ones(2)

    def cost(plans: Tensor) -> Tensor:
        return (plans - target[:, None]).square().mean((-1, -2, -3))

    planner = MacroPlanner(model_with(head), reach=2.0)
    plan = planner(cost, None, (-ones, ones), config, streams([0]))
    assert plan.actions.shape == plan.mean.shape == plan.std.shape == (1, 4, 3, 2)
    assert float(plan.cost) < 2e-3
    assert float(cost(plan.actions[:, None])) == pytest.approx(float(plan.cost), abs=1e-6)
    again = planner(cost, plan.actions, (-ones, ones), replace(config, iterations=1), streams([1]))
    assert float(again.cost) < 4e-3  # it starts from the plan it is given


def test_a_horizon_between_two_codes_is_cut_and_no_plan_leaves_the_bounds() -> None:
    planner = MacroPlanner(model_with(fitted()), reach=3.0)
    bound = torch.tensor([0.2, 0.1])
    seen: list[Tensor] = []

    def cost(plans: Tensor) -> Tensor:
        seen.append(plans)
        return plans.sum((-1, -2, -3))

    config = CEMConfig(horizon=3, block=3, samples=20, iterations=2, elites=4)
    plan = planner(cost, torch.zeros(1, 3, 3, 2), (-bound, bound), config, streams([0]))
    for plans in (*seen, plan.actions, plan.mean, plan.elites):
        assert plans.shape[-3:] == (3, 3, 2)
        assert (plans.abs() <= bound + 1e-6).all()


def test_problems_in_a_batch_are_planned_as_alone() -> None:
    planner = MacroPlanner(model_with(fitted()), reach=2.0)
    targets = 0.4 * torch.randn(5, 1, 4, 3, 2, generator=torch.Generator().manual_seed(1))
    ones = torch.ones(2)
    config = CEMConfig(horizon=4, block=3, samples=30, iterations=3, elites=5)

    def search(which: slice, seeds: list[int]) -> Tensor:
        return planner(
            lambda plans: (plans - targets[which]).square().mean((-1, -2, -3)),
            None, (-ones, ones), config, streams(seeds),
        ).actions  # fmt: skip

    together = search(slice(0, 5), [0, 1, 2, 3, 4])
    for problem in range(5):
        alone = search(slice(problem, problem + 1), [problem])
        torch.testing.assert_close(alone[0], together[problem], atol=1e-4, rtol=0)


def test_an_agent_searches_macro_actions_if_its_checkpoint_has_them(tmp_path: Path) -> None:
    search = CEMConfig(horizon=4, samples=8, iterations=1, elites=2)
    config = AgentConfig(planner=search, macro=True)
    picture = np.zeros((32, 32, 3), np.uint8)
    save_checkpoint(tmp_path / "plain", WorldModel(CONFIG).eval(), {})
    with pytest.raises(CheckpointError, match="goalsight head macro"):
        Agent.load(tmp_path / "plain", config=config)
    save_checkpoint(tmp_path / "macro", model_with(fitted()), {})
    agent = Agent.load(tmp_path / "macro", config=config)
    agent.reset(picture + 9, 0)
    actions = np.stack([agent.act(picture, np.zeros(1, np.float32)) for _ in range(7)])
    assert agent.last_plan is not None
    assert agent.last_plan.actions.shape == (1, 4, 3, 2)
    assert np.abs(actions).max() <= 1
