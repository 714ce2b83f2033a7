"""What an agent does with its actor, as a line of text."""

from __future__ import annotations

import pytest

from goalsight.agent import ActorUse, AgentConfig
from goalsight.agent.config import agent_config
from goalsight.errors import UserError
from goalsight_planners import CEMConfig


def test_all_of_it_is_set_from_a_line_of_text() -> None:
    config = agent_config(
        "mode=hybrid,actor.time_to_goal=40,actor.least_time=40,actor.proposals=7,"
        "actor.proposal_std=0.2,actor.prior_fraction=0.5,cost.actor_nll_weight=0.01,hysteresis=1,"
        "replan_steps=2,planner.fixed_std=0.1,planner.prior_fraction=0.2"
    )
    assert config.actor == ActorUse(
        time_to_goal=40,
        least_time=40,
        proposals=7,
        proposal_std=0.2,
        prior_fraction=0.5,
    )
    assert config.cost.actor_nll_weight == 0.01
    assert (config.mode, config.hysteresis, config.replan_steps) == ("hybrid", 1.0, 2)
    assert isinstance(config.planner, CEMConfig)
    assert (config.planner.fixed_std, config.planner.prior_fraction) == (0.1, 0.2)
    assert agent_config("") == AgentConfig()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mode=oracle", "mode must be one of search, actor, hybrid, got 'oracle'"),
        ("replan_steps=26", r"replan_steps must be in \[0, 25\], the steps of a plan, got 26"),
        ("hysteresis=-1", "hysteresis must be >= 0"),
        ("mode=actor,hysteresis=1", "mode=actor searches none"),
        ("actor.prior_fraction=1", r"prior_fraction must be in \[0, 1\)"),
        (
            "mode=hybrid,actor.proposals=149",
            "149 proposals, .* do not fit into 200 samples, 50 of them",
        ),
        (
            "mode=hybrid,planner.kind=random_shooting,actor.proposals=199",
            "199 proposals.* 200 samples, 0 of",
        ),
        ("actor.least_time=0", "least_time must be at least 1, got 0"),
    ],
)
def test_a_setting_out_of_range_is_one_line(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        agent_config(text)


def test_as_many_proposals_as_there_is_room_for_are_taken() -> None:
    """Besides them: the actor's own plan and the rest of the last one."""
    assert agent_config("mode=hybrid,actor.proposals=148").actor.proposals == 148
    assert agent_config("actor.proposals=500").mode == "search"
