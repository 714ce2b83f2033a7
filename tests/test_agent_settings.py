from dataclasses import dataclass, field

import pytest

from goalsight.agent import AgentConfig
from goalsight.agent.config import KIND, RENAMED, _parse, agent_config, settable
from goalsight.errors import CheckpointError, UserError
from goalsight_planners import PLANNERS, MPPIConfig


def test_no_text_is_the_default() -> None:
    assert agent_config("") == AgentConfig()


def test_settings_of_agent_and_search_stand_side_by_side() -> None:
    config = agent_config(
        "planner.samples=60, cost.time_penalty=0.1,planner.action_mode=free,replan=2"
    )
    assert (config.planner.samples, config.planner.elites) == (60, 6)
    assert (config.cost.time_penalty, config.planner.action_mode, config.replan) == (0.1, "free", 2)


def test_a_planner_is_named_and_brings_its_own_settings() -> None:
    config = agent_config("planner.kind=mppi,planner.temperature=0.2,planner.samples=50")
    assert isinstance(config.planner, MPPIConfig)
    assert (config.planner.temperature, config.planner.samples) == (0.2, 50)


def test_settings_of_the_cost_and_of_the_sequence_go_by_their_own_names() -> None:
    text = (
        "cost.energy=cosine,cost.aggregate=prefix,action_bound_sigmas=3,cost.decoded_weight=2,"
        "cost.decoded_variables=a+b,sequence.patience=4"
    )
    config = agent_config(text)
    assert (config.cost.energy, config.cost.aggregate, config.action_bound_sigmas) == (
        "cosine",
        "prefix",
        3.0,
    )
    assert config.cost.decoded_names == ("a", "b")
    assert config.sequence.patience == 4
    assert (
        agent_config(
            "cost.time_penalty=0.02,cost.path_weight=0.02,action_bound_sigmas=2,cost.energy=l2"
        )
        == AgentConfig()
    )


CARD = {
    "agent": {
        "settings": {
            "mode": "hybrid",
            "planner": {"samples": 64, "elites": 9, "init_std": 0.4},
            "actor": {"handover_distance": 0.5},
        },
        "modes": {"search": {"planner": {"samples": 200}}},
        "tiers": {"far": {"actor": {"time_to_goal": 110}}},
    }
}


def test_a_card_says_how_its_model_plans_and_the_text_what_is_to_be_different() -> None:
    told = agent_config("actor.handover_distance=0.1", CARD, tier="far")
    assert (told.mode, told.planner.samples, told.planner.elites) == ("hybrid", 64, 9)
    assert (told.actor.handover_distance, told.actor.time_to_goal) == (0.1, 110)
    assert agent_config("", CARD, tier="near").actor.time_to_goal == 25
    assert agent_config("mode=search", CARD).planner.samples == 200
    assert agent_config("mode=search,planner.samples=50", CARD).planner.samples == 50
    assert agent_config("planner.samples=50", CARD).planner.elites == 5  # 9 were for 64
    assert agent_config("", {}) == AgentConfig()


def test_another_planner_begins_at_its_own_defaults_not_at_the_cards_of_cem() -> None:
    found = agent_config("planner.kind=mppi", CARD)
    assert found.planner == MPPIConfig()
    assert found.actor.handover_distance == 0.5


@pytest.mark.parametrize("said", [[], {"settings": 3}, {"tiers": {"far": 3}}, {"modes": []}])
def test_a_card_whose_settings_are_none_is_one_line(said: object) -> None:
    with pytest.raises(CheckpointError, match="agent settings that are none"):
        agent_config("", {"agent": said}, tier="far")


OLD_CARD = {
    "agent": {
        "settings": {"mode": "both", "samples": 64, "elites": 9, "init_std": 0.4, "reach": 0.5},
        "modes": {"search": {"samples": 200}},
        "tiers": {"far": {"time_to_goal": 110}},
    }
}


@pytest.mark.parametrize("text", ["", "mode=search", "actor.stuck_ratio=0.1"])
def test_a_card_of_version_0_1_says_the_same_by_its_old_names(text: str) -> None:
    for tier in ("near", "far"):
        assert agent_config(text, OLD_CARD, tier=tier) == agent_config(text, CARD, tier=tier)


@pytest.mark.parametrize("planner", PLANNERS)
def test_a_setting_is_the_way_to_its_field(planner: str) -> None:
    config = AgentConfig(planner=PLANNERS[planner].config())
    names = [setting.name for setting in settable(config)]
    assert {"mode", "cost.time_penalty", "planner.samples", "sequence.switch"} <= set(names)
    for setting in settable(config):
        value: object = config
        for part in setting.name.split("."):
            value = getattr(value, part)
        assert value == setting.default


def test_every_old_name_leads_to_a_setting_there_is() -> None:
    known = {
        setting.name
        for planner in PLANNERS.values()
        for setting in settable(AgentConfig(planner=planner.config()))
    }
    assert set(RENAMED.values()) <= known | {KIND}


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
        ("planner.sample=3", "no agent setting 'planner.sample'; did you mean planner.samples"),
        ("samlpes=3", "no agent setting 'samlpes'; did you mean planner.samples"),
        ("quux=3", "no agent setting 'quux'; there are: .*planner.samples"),
        ("samples=3", "agent setting samples=3 is written planner.samples=3 now"),
        ("stall=0.2", "agent setting stall=0.2 is written actor.stuck_ratio=0.2 now"),
        ("planner=mppi", "agent setting planner=mppi is written planner.kind=mppi now"),
        ("mode=both", "mode=both is called mode=hybrid now"),
        ("execution=compile", "execution=compile is written compile=true now"),
        ("macro=true", "agent setting macro is gone"),
        ("planner.samples=many", "samples takes int, got 'many'"),
        ("replan=9", "replan must be in"),
        ("planner.block=3", "no agent setting 'planner.block'"),
        ("cost.energy=l3", "energy must be one of l2, l1, cosine, got 'l3'"),
        ("cost.aggregate=mean", "aggregate must be one of arrival, final, sum, prefix"),
        ("cost.time_penalty=-1", "time_penalty must be >= 0, got -1.0"),
        ("cost.path_weight=nan", "path_weight must be >= 0, got nan"),
        ("cost.smoothness_weight=-0.5", "smoothness_weight must be >= 0, got -0.5"),
        ("cost.latent_weight=0", "latent_weight and decoded_weight are both 0"),
        ("cost.decoded_variables=state.cube_pos", "need a weight: set decoded_weight above 0"),
        ("sequence.switch=1", r"switch must be in \[0, 1\), got 1.0"),
        ("sequence.patience=-1", "patience must be >= 0, got -1"),
        ("planner.kind=best", "no planner 'best'; there are: cem, icem"),
        (
            "planner.kind=adam",
            "planner adam is a benchmark now, see benchmarks/README.md; there are: cem",
        ),
        ("planner.kind=cem,planner.temperature=1", "no agent setting 'planner.temperature'"),
    ],
)
def test_what_does_not_fit_is_one_line(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        agent_config(text)
