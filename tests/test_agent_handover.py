"""A search around an actor's plan may be kept to goals that are near enough to search for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.test_agent_actor import USE, agent_of, model_of, problem_of, streams

from goalsight.agent.agent import Episode
from goalsight.agent.config import Mode, agent_config
from goalsight_planners import Plan

MODEL = model_of()


def plan_with(distance: float, mode: Mode = "hybrid") -> Plan:
    """Two problems: the goal of the first is where it is, that of the second is far away."""
    problem = problem_of(MODEL)
    near = problem.now[0] + 0.01
    problem = replace(problem, goal=torch.stack((near, problem.goal[1])))
    agent = agent_of(MODEL, mode=mode, actor=replace(USE, handover_distance=distance))
    return agent._plan(problem, Episode(problem.goal[None], streams(1, 2)), None)


def test_the_actor_acts_alone_where_the_goal_is_beyond_the_handover_distance() -> None:
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
    assert agent_config("mode=hybrid,actor.handover_distance=0.4").actor.handover_distance == 0.4
    with pytest.raises(ValueError, match="handover_distance must be >= 0"):
        replace(USE, handover_distance=-1.0)
