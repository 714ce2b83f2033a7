import pytest

from goalsight.agent import AgentConfig
from goalsight.benchmark.settings import agent_config
from goalsight.errors import UserError
from goalsight_planners import MPPIConfig


def test_no_text_is_the_default() -> None:
    assert agent_config("") == AgentConfig()


def test_settings_of_agent_and_search_stand_side_by_side() -> None:
    config = agent_config("samples=60, delay=0.1,action_mode=free,replan=2")
    assert (config.planner.samples, config.planner.elites) == (60, 6)
    assert (config.delay, config.planner.action_mode, config.replan) == (0.1, "free", 2)


def test_a_planner_is_named_and_brings_its_own_settings() -> None:
    config = agent_config("planner=mppi,temperature=0.2,samples=50")
    assert isinstance(config.planner, MPPIConfig)
    assert (config.planner.temperature, config.planner.samples) == (0.2, 50)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sample=3", "no agent setting 'sample'; there are: .*samples"),
        ("samples=many", "samples takes int, got 'many'"),
        ("replan=9", "replan must be in"),
        ("block=3", "no agent setting 'block'"),
        ("planner=best", "no planner 'best'; there are: cem, icem"),
        ("planner=cem,temperature=1", "no agent setting 'temperature'"),
    ],
)
def test_what_does_not_fit_is_one_line(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        agent_config(text)
