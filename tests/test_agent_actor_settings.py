"""What an agent does with its actor, as a line of text."""

from __future__ import annotations

import pytest

from goalsight.agent import ActorUse, AgentConfig
from goalsight.agent.settings import agent_config
from goalsight.errors import UserError
from goalsight_planners import CEMConfig


def test_all_of_it_is_set_from_a_line_of_text() -> None:
    config = agent_config(
        "mode=both,time_to_goal=40,least_time=40,proposals=7,proposal_std=0.2,independent=0.5,"
        "likelihood=0.01,commitment=1,replan_steps=2,fixed_std=0.1,fresh=0.2"
    )
    assert config.actor == ActorUse(
        time_to_goal=40, least_time=40, proposals=7, proposal_std=0.2, independent=0.5,
        likelihood=0.01,
    )  # fmt: skip
    assert (config.mode, config.commitment, config.replan_steps) == ("both", 1.0, 2)
    assert isinstance(config.planner, CEMConfig)
    assert (config.planner.fixed_std, config.planner.fresh) == (0.1, 0.2)
    assert agent_config("") == AgentConfig()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mode=oracle", "mode must be one of search, actor, both, got 'oracle'"),
        ("replan_steps=26", r"replan_steps must be in \[0, 25\], the steps of a plan, got 26"),
        ("commitment=-1", "commitment must be >= 0"),
        ("mode=actor,commitment=1", "mode=actor searches none"),
        ("independent=1", r"independent must be in \[0, 1\)"),
        ("mode=both,proposals=149", "149 proposals, .* do not fit into 200 samples, 50 of them"),
        ("mode=both,planner=random_shooting,proposals=199", "199 proposals.* 200 samples, 0 of"),
        ("least_time=0", "least_time must be at least 1, got 0"),
    ],
)
def test_a_setting_out_of_range_is_one_line(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        agent_config(text)


def test_as_many_proposals_as_there_is_room_for_are_taken() -> None:
    """Besides them: the actor's own plan and the rest of the last one."""
    assert agent_config("mode=both,proposals=148").actor.proposals == 148
    assert agent_config("proposals=500").mode == "search"
