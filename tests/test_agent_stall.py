"""An agent that stands still where it is not done does something else than it would do again."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.test_agent_actor import BASE, SEARCH, USE, K, model_of, scene_of, streams

from goalsight.agent.actor import Scene
from goalsight.agent.config import Mode
from goalsight.agent.deciding import Decider
from goalsight.agent.settings import agent_config
from goalsight_planners import Plan

MODEL = model_of()
BOUNDS = (torch.full((2,), -1.0), torch.ones(2))


def scene(moved: float = 0.0) -> Scene:
    """Two problems: the goal of the first is where it is, that of the second is far away."""
    scene = scene_of(MODEL)
    near = scene.latents[0, -1] + 0.01
    goal = torch.stack((near, scene.goal[1]))
    return replace(scene, goal=goal, latents=scene.latents + moved)


def second_plan(
    stall: float,
    *,
    moved: float = 0.0,
    reach: float = 0.5,
    arrived: float = 0.05,
    mode: Mode,
) -> Plan:
    """What is done after a decision that moved the latents so far."""
    use = replace(USE, reach=reach, stall=stall, arrived=arrived)
    config = replace(BASE, mode=mode, planner=replace(SEARCH, block=K), actor=use)
    decider, generators = Decider(MODEL, config, "tests", 1.0), streams(1, 2)
    for seen in (scene(), scene(moved)):
        cost = decider.cost(seen)
        plan = decider.plan(seen, cost, None, BOUNDS, generators)
    return plan


@pytest.mark.parametrize("mode", ["actor", "both"])
def test_where_nothing_moved_a_block_is_drawn(mode: Mode) -> None:
    plain, drawn = second_plan(0.0, mode=mode), second_plan(0.1, mode=mode)
    # At the goal standing still is right; the batch is larger, which rounds differently.
    assert torch.allclose(drawn.actions[0], plain.actions[0], atol=1e-6)
    assert not torch.allclose(drawn.actions[1], plain.actions[1], atol=1e-2)
    assert torch.equal(drawn.actions[1], second_plan(0.1, mode=mode).actions[1])  # seed for seed


@pytest.mark.parametrize("mode", ["actor", "both"])
def test_where_something_moved_nothing_changes(mode: Mode) -> None:
    plain, same = (second_plan(stall, moved=1.0, mode=mode) for stall in (0.0, 0.1))
    assert torch.equal(same.actions, plain.actions)


@pytest.mark.parametrize("reach", [0.0, 100.0])
def test_a_search_that_stalls_gives_way_to_a_block_of_the_actor(reach: float) -> None:
    plain, drawn = (second_plan(stall, reach=reach, mode="both") for stall in (0.0, 0.1))
    assert torch.allclose(drawn.actions[0], plain.actions[0], atol=1e-6)
    alone = second_plan(0.1, reach=0.5, mode="both")  # beyond reach the same block is drawn
    assert torch.equal(drawn.actions[1], alone.actions[1])
    assert not torch.allclose(drawn.actions[1], plain.actions[1], atol=1e-2)


def test_what_has_arrived_may_stand_still() -> None:
    plain, same = (second_plan(0.1, arrived=arrived, mode="both") for arrived in (0.05, 100.0))
    assert not torch.equal(same.actions[1], plain.actions[1])
    assert torch.equal(same.actions, second_plan(0.0, mode="both").actions)


def test_an_episode_begins_with_nothing_seen() -> None:
    use = replace(USE, reach=0.5, stall=0.1)
    config = replace(BASE, mode="actor", planner=replace(SEARCH, block=K), actor=use)
    decider, first = Decider(MODEL, config, "tests", 1.0), scene()
    plans = []
    for _ in range(2):
        decider.clear()
        plans.append(decider.plan(first, decider.cost(first), None, BOUNDS, streams(1, 2)))
    assert torch.equal(plans[0].actions, plans[1].actions)


def test_it_is_a_setting_and_refuses_what_is_not_a_distance() -> None:
    assert agent_config("mode=actor,stall=0.2").actor.stall == 0.2
    with pytest.raises(ValueError, match="stall must be >= 0"):
        replace(USE, stall=-1.0)
