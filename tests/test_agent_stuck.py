"""An agent that is stuck where it is not done does something else than it would do again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.test_agent_actor import USE, K, agent_of, drive, model_of, problem_of, streams

from goalsight.agent.agent import Episode
from goalsight.agent.config import Mode, agent_config
from goalsight.agent.cost import PlanningProblem
from goalsight_planners import Plan

MODEL = model_of()


def problem(moved: float = 0.0) -> PlanningProblem:
    """Two problems: the goal of the first is where it is, that of the second is far away."""
    found = problem_of(MODEL)
    goal = torch.stack((found.now[0] + 0.01, found.goal[1]))
    return replace(found, goal=goal, latents=found.latents + moved)


def second_plan(
    ratio: float,
    *,
    moved: float = 0.0,
    handover: float = 0.5,
    tolerance: float = 0.05,
    mode: Mode,
) -> Plan:
    """What is done after a decision that moved the latents so far."""
    use = replace(USE, handover_distance=handover, stuck_ratio=ratio, goal_tolerance=tolerance)
    agent, first = agent_of(MODEL, mode=mode, actor=use), problem()
    episode = Episode(first.goal[None], streams(1, 2))
    agent._plan(first, episode, None)
    episode.seen, episode.decisions = first.now, 1
    return agent._plan(problem(moved), episode, None)


@pytest.mark.parametrize("mode", ["actor", "hybrid"])
def test_where_nothing_moved_a_block_is_drawn(mode: Mode) -> None:
    plain, drawn = second_plan(0.0, mode=mode), second_plan(0.1, mode=mode)
    # At the goal standing still is right; the batch is larger, which rounds differently.
    assert torch.allclose(drawn.actions[0], plain.actions[0], atol=1e-6)
    assert not torch.allclose(drawn.actions[1], plain.actions[1], atol=1e-2)
    assert torch.equal(drawn.actions[1], second_plan(0.1, mode=mode).actions[1])  # seed for seed


@pytest.mark.parametrize("mode", ["actor", "hybrid"])
def test_where_something_moved_nothing_changes(mode: Mode) -> None:
    plain, same = (second_plan(ratio, moved=1.0, mode=mode) for ratio in (0.0, 0.1))
    assert torch.equal(same.actions, plain.actions)


@pytest.mark.parametrize("handover", [0.0, 100.0])
def test_a_search_that_is_stuck_gives_way_to_a_block_of_the_actor(handover: float) -> None:
    plain, drawn = (second_plan(ratio, handover=handover, mode="hybrid") for ratio in (0.0, 0.1))
    assert torch.allclose(drawn.actions[0], plain.actions[0], atol=1e-6)
    alone = second_plan(0.1, handover=0.5, mode="hybrid")  # farther away the same block is drawn
    assert torch.equal(drawn.actions[1], alone.actions[1])
    assert not torch.allclose(drawn.actions[1], plain.actions[1], atol=1e-2)


def test_what_has_arrived_may_stand_still() -> None:
    plain, same = (
        second_plan(0.1, tolerance=tolerance, mode="hybrid") for tolerance in (0.05, 100.0)
    )
    assert not torch.equal(same.actions[1], plain.actions[1])
    assert torch.equal(same.actions, second_plan(0.0, mode="hybrid").actions)


def test_an_episode_begins_with_nothing_seen() -> None:
    """Everything counts as stuck here, but at an episode's first decision nothing does."""
    use = replace(USE, stuck_ratio=1e6, goal_tolerance=0.0)
    careless, agent = agent_of(MODEL, mode="actor"), agent_of(MODEL, mode="actor", actor=use)
    for _ in range(2):
        np.testing.assert_array_equal(drive(agent, 2 * K)[:K], drive(careless, K))
    assert not np.array_equal(drive(agent, 2 * K)[K:], drive(careless, 2 * K)[K:])


def test_it_is_a_setting_and_refuses_what_is_not_a_distance() -> None:
    assert agent_config("mode=actor,actor.stuck_ratio=0.2").actor.stuck_ratio == 0.2
    with pytest.raises(ValueError, match="stuck_ratio must be >= 0"):
        replace(USE, stuck_ratio=-1.0)
