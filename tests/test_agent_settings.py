from dataclasses import dataclass, field

import pytest

from goalsight.agent import AgentConfig
from goalsight.agent.settings import _parse, agent_config, settable
from goalsight.errors import CheckpointError, UserError
from goalsight_planners import PLANNERS, MPPIConfig


def test_no_text_is_the_default() -> None:
    assert agent_config("") == AgentConfig()


def test_settings_of_agent_and_search_stand_side_by_side() -> None:
    config = agent_config("samples=60, delay=0.1,action_mode=free,replan=2")
    assert (config.planner.samples, config.planner.elites) == (60, 6)
    assert (config.cost.delay, config.planner.action_mode, config.replan) == (0.1, "free", 2)


def test_a_planner_is_named_and_brings_its_own_settings() -> None:
    config = agent_config("planner=mppi,temperature=0.2,samples=50")
    assert isinstance(config.planner, MPPIConfig)
    assert (config.planner.temperature, config.planner.samples) == (0.2, 50)


def test_settings_of_the_cost_and_of_the_sequence_go_by_their_own_names() -> None:
    text = "energy=cosine,aggregate=prefix,trust=3,decoded=2,variables=a+b,patience=4"
    config = agent_config(text)
    assert (config.cost.energy, config.cost.aggregate, config.trust) == ("cosine", "prefix", 3.0)
    assert config.cost.decoded_variables == ("a", "b")
    assert config.sequence.patience == 4
    assert agent_config("delay=0.02,running=0.02,trust=2,energy=l2") == AgentConfig()


CARD = {
    "agent": {
        "settings": {"mode": "both", "samples": 64, "elites": 9, "init_std": 0.4, "reach": 0.5},
        "modes": {"search": {"samples": 200}},
        "tiers": {"far": {"time_to_goal": 110}},
    }
}


def test_a_card_says_how_its_model_plans_and_the_text_what_is_to_be_different() -> None:
    told = agent_config("reach=0.1", CARD, tier="far")
    assert (told.mode, told.planner.samples, told.planner.elites) == ("both", 64, 9)
    assert (told.actor.reach, told.actor.time_to_goal) == (0.1, 110)
    assert agent_config("", CARD, tier="near").actor.time_to_goal == 25
    assert agent_config("mode=search", CARD).planner.samples == 200
    assert agent_config("mode=search,samples=50", CARD).planner.samples == 50
    assert agent_config("samples=50", CARD).planner.elites == 5  # 9 were for 64
    assert agent_config("", {}) == AgentConfig()


def test_another_planner_begins_at_its_own_defaults_not_at_the_cards_of_cem() -> None:
    found = agent_config("planner=mppi", CARD)
    assert found.planner == MPPIConfig()
    assert found.actor.reach == 0.5


@pytest.mark.parametrize("said", [[], {"settings": 3}, {"tiers": {"far": 3}}, {"modes": []}])
def test_a_card_whose_settings_are_none_is_one_line(said: object) -> None:
    with pytest.raises(CheckpointError, match="agent settings that are none"):
        agent_config("", {"agent": said}, tier="far")


@pytest.mark.parametrize("planner", PLANNERS)
def test_no_two_settings_share_a_name(planner: str) -> None:
    """They stand side by side in one line, whichever config they belong to."""
    config = AgentConfig(planner=PLANNERS[planner].config())
    names = [setting.path[-1] for setting in settable(config)]
    assert len(set(names)) == len(names)
    assert {"energy", "delay", "running", "trust", "samples", "switch"} <= set(names)


@dataclass(frozen=True)
class Inner:
    bold: bool = False


@dataclass(frozen=True)
class Outer:
    inner: Inner = field(default_factory=Inner)


def test_a_switch_is_true_or_false_and_not_any_text_that_is_not_empty() -> None:
    (setting,) = settable(Outer())
    assert setting.path == ("inner", "bold")
    assert [_parse("bold", text, setting.default) for text in ("true", "False")] == [True, False]
    with pytest.raises(UserError, match="bold takes true or false, got 'yes'"):
        _parse("bold", "yes", setting.default)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sample=3", "no agent setting 'sample'; there are: .*samples"),
        ("samples=many", "samples takes int, got 'many'"),
        ("replan=9", "replan must be in"),
        ("block=3", "no agent setting 'block'"),
        ("energy=l3", "energy must be one of l2, l1, cosine, got 'l3'"),
        ("aggregate=mean", "aggregate must be one of arrival, final, sum, prefix"),
        ("delay=-1", "delay must be >= 0, got -1.0"),
        ("running=nan", "running must be >= 0, got nan"),
        ("smoothness=-0.5", "smoothness must be >= 0, got -0.5"),
        ("latent=0", "latent and decoded are both 0"),
        ("variables=state.cube_pos", "need a weight: set decoded above 0"),
        ("switch=1", r"switch must be in \[0, 1\), got 1.0"),
        ("patience=-1", "patience must be >= 0, got -1"),
        ("planner=best", "no planner 'best'; there are: cem, icem"),
        (
            "planner=adam",
            "planner adam is a benchmark now, see benchmarks/README.md; there are: cem",
        ),
        ("planner=cem,temperature=1", "no agent setting 'temperature'"),
    ],
)
def test_what_does_not_fit_is_one_line(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        agent_config(text)
