"""A search around an actor's plan may be kept to goals that are near enough to search for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.test_agent_actor import BASE, SEARCH, USE, K, model_of, scene_of, streams

from goalsight.agent import AgentConfig
from goalsight.agent.config import Mode
from goalsight.agent.deciding import Decider
from goalsight.agent.settings import agent_config
from goalsight_planners import Plan

MODEL = model_of()
BOUNDS = (torch.full((2,), -1.0), torch.ones(2))


def plan_with(reach: float, mode: Mode = "both") -> Plan:
    """Two problems: the goal of the first is where it is, that of the second is far away."""
    scene = scene_of(MODEL)
    near = scene.latents[0, -1] + 0.01
    scene = replace(scene, goal=torch.stack((near, scene.goal[1])))
    search = replace(SEARCH, block=K)
    config: AgentConfig = replace(BASE, mode=mode, planner=search, actor=replace(USE, reach=reach))
    decider = Decider(MODEL, config, "tests", 1.0)
    return decider.plan(scene, decider.cost(scene), None, BOUNDS, streams(1, 2))


def test_the_actor_acts_alone_where_the_goal_is_beyond_reach() -> None:
    everywhere, nowhere = plan_with(0.0), plan_with(1e-9)
    first, actor = plan_with(0.5), plan_with(0.0, mode="actor")
    assert torch.equal(first.actions[0], everywhere.actions[0])
    assert torch.equal(first.actions[1], nowhere.actions[1])
    assert not torch.equal(first.actions[1], everywhere.actions[1])
    assert first.cost[1] == nowhere.cost[1]
    assert torch.allclose(nowhere.actions[:, :1], actor.actions, atol=1e-6)
    assert nowhere.evaluations == 1  # nothing was searched
    assert torch.equal(plan_with(1e9).actions, everywhere.actions)


def test_it_is_a_setting_and_refuses_what_is_not_a_distance() -> None:
    assert agent_config("mode=both,reach=0.4").actor.reach == 0.4
    with pytest.raises(ValueError, match="reach must be >= 0"):
        replace(USE, reach=-1.0)
