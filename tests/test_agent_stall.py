"""An actor that stands still far from the goal does something else than it would do again."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.test_agent_actor import BASE, SEARCH, USE, K, model_of, scene_of, streams

from goalsight.agent.actor import Scene
from goalsight.agent.config import Mode
from goalsight.agent.deciding import Decider
from goalsight.benchmark.settings import agent_config
from goalsight_planners import Plan

MODEL = model_of()
BOUNDS = (torch.full((2,), -1.0), torch.ones(2))


def scene(moved: float = 0.0) -> Scene:
    """Two problems: the goal of the first is where it is, that of the second is far away."""
    scene = scene_of(MODEL)
    near = scene.latents[0, -1] + 0.01
    goal = torch.stack((near, scene.goal[1]))
    return replace(scene, goal=goal, latents=scene.latents + moved)


def second_plan(stall: float, *, moved: float = 0.0, reach: float = 0.5, mode: Mode) -> Plan:
    """What is done after a decision that moved the latents so far."""
    use = replace(USE, reach=reach, stall=stall)
    config = replace(BASE, mode=mode, planner=replace(SEARCH, block=K), actor=use)
    decider, generators = Decider(MODEL, config, "tests"), streams(1, 2)
    for seen in (scene(), scene(moved)):
        cost = decider.cost(seen)
        plan = decider.plan(seen, cost, None, BOUNDS, generators)
    return plan


@pytest.mark.parametrize("mode", ["actor", "both"])
def test_where_nothing_moved_and_the_goal_is_far_a_block_is_drawn(mode: Mode) -> None:
    plain, drawn = second_plan(0.0, mode=mode), second_plan(0.1, mode=mode)
    # At the goal standing still is right; the batch is larger, which rounds differently.
    assert torch.allclose(drawn.actions[0], plain.actions[0], atol=1e-6)
    assert not torch.allclose(drawn.actions[1], plain.actions[1], atol=1e-2)
    assert torch.equal(drawn.actions[1], second_plan(0.1, mode=mode).actions[1])  # seed for seed


@pytest.mark.parametrize("mode", ["actor", "both"])
def test_where_something_moved_nothing_changes(mode: Mode) -> None:
    plain, same = (second_plan(stall, moved=1.0, mode=mode) for stall in (0.0, 0.1))
    assert torch.equal(same.actions, plain.actions)


def test_without_a_reach_an_actor_alone_may_stall_anywhere_and_a_search_nowhere() -> None:
    plain, drawn = (second_plan(stall, reach=0.0, mode="actor") for stall in (0.0, 0.1))
    assert (drawn.actions != plain.actions).flatten(1).any(dim=1).all()
    plain, same = (second_plan(stall, reach=0.0, mode="both") for stall in (0.0, 0.1))
    assert torch.equal(same.actions, plain.actions)


def test_an_episode_begins_with_nothing_seen() -> None:
    use = replace(USE, reach=0.5, stall=0.1)
    config = replace(BASE, mode="actor", planner=replace(SEARCH, block=K), actor=use)
    decider, first = Decider(MODEL, config, "tests"), scene()
    plans = []
    for _ in range(2):
        decider.clear()
        plans.append(decider.plan(first, decider.cost(first), None, BOUNDS, streams(1, 2)))
    assert torch.equal(plans[0].actions, plans[1].actions)


def test_it_is_a_setting_and_refuses_what_is_not_a_distance() -> None:
    assert agent_config("mode=actor,stall=0.2").actor.stall == 0.2
    with pytest.raises(ValueError, match="stall must be >= 0"):
        replace(USE, stall=-1.0)
