"""An agent that is given a deadline: it keeps it, says what it searched, and counts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tests.clock import Clock
from torch import Tensor

from goalsight.agent import Agent, AgentConfig, Latencies
from goalsight.agent.config import agent_config
from goalsight.agent.timing import Deadline
from goalsight.checkpoint import Checkpoint
from goalsight.errors import UserError
from goalsight.models import WorldModel, WorldModelConfig
from goalsight_planners import CEMConfig

SIZE = 32
CPU = torch.device("cpu")
LONG = CEMConfig(horizon=3, samples=64, iterations=2000, elites=4)
PICTURE = np.zeros((SIZE, SIZE, 3), np.uint8)
PROPRIO = np.zeros(3, np.float32)


class TimedModel(WorldModel):
    """By its clock it looks at a picture for 10 ms and imagines plans for 20, however many."""

    def __init__(self, config: WorldModelConfig) -> None:
        super().__init__(config)
        self.clock = Clock()

    def encode(self, frames: Tensor) -> Tensor:
        self.clock.sleep(0.01)
        return super().encode(frames)

    def imagine(
        self, context: Tensor, past: Tensor | None = None, proprio: Tensor | None = None
    ) -> Callable[[Tensor], Tensor]:
        imagination = super().imagine(context, past, proprio)

        def timed(plans: Tensor) -> Tensor:
            self.clock.sleep(0.02)
            return imagination(plans)

        return timed


def agent_of(config: AgentConfig) -> Agent:
    made = WorldModelConfig(image_size=SIZE, action_dim=2, frameskip=2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = TimedModel(made).eval()
        for weight in model.predictor.get_submodule("out").parameters():
            torch.nn.init.normal_(weight, std=0.03)
    agent = Agent(Checkpoint(model, made, {}, "0" * 64), config=config, clock=model.clock)
    agent.reset(PICTURE + 100, seed=0)
    return agent


def test_a_deadline_leaves_room_for_an_iteration_as_long_as_the_longest() -> None:
    """100 ms from 100 s on: 10 ms for looking, then iterations of 20, 30 and 20 ms."""
    clock = Clock()
    clock.sleep(0.01)
    stop = Deadline(0.1, 100.0, CPU, clock)
    answers = []
    for took in (0.02, 0.03, 0.02):
        clock.sleep(took)
        answers.append(stop())
    assert answers == [False, False, True]  # at 80 ms another 30 would be too many


def test_a_deadline_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="deadline must be positive, got 0"):
        Deadline(0.0, 5.0, CPU)
    with pytest.raises(ValueError, match="deadline must be positive, got -1"):
        agent_of(AgentConfig(planner=LONG)).act(PICTURE, PROPRIO, deadline=-1)
    with pytest.raises(ValueError, match="deadline_ms must be >= 0, got -5"):
        AgentConfig(deadline_ms=-5)


@pytest.mark.parametrize("by_config", [True, False])
def test_an_agent_returns_the_best_plan_of_the_time_and_says_what_it_searched(
    by_config: bool,
) -> None:
    """100 ms: 10 for looking and 20 an iteration; a fifth one would end at 110."""
    agent = agent_of(AgentConfig(planner=LONG, deadline_ms=100.0 if by_config else 0.0))
    action = agent.act(PICTURE, PROPRIO, deadline=None if by_config else 0.1)
    plan = agent.last_plan
    assert plan is not None
    assert np.array_equal(action, plan.actions[0, 0, 0].numpy())
    assert len(plan.history) == 4
    assert agent.last_latency_s == pytest.approx(0.09)
    assert agent.latencies.summary().late == 0
    assert plan.evaluations == LONG.samples * len(plan.history)
    assert torch.equal(plan.cost, plan.history[-1].best_cost)


def test_a_deadline_that_is_too_short_costs_one_iteration_and_is_counted_as_late() -> None:
    agent = agent_of(AgentConfig(planner=LONG))
    agent.act(PICTURE, PROPRIO, deadline=1e-6)
    assert agent.last_plan is not None
    assert agent.last_latency_s == pytest.approx(0.03)
    assert len(agent.last_plan.history) == 1
    assert (agent.latencies.summary().count, agent.latencies.summary().late) == (1, 1)


def test_a_deadline_far_away_changes_nothing() -> None:
    quick = CEMConfig(horizon=3, samples=16, iterations=3, elites=4)
    plain, timed = (agent_of(AgentConfig(planner=quick, deadline_ms=ms)) for ms in (0.0, 60_000.0))
    for _ in range(5):
        assert np.array_equal(plain.act(PICTURE, PROPRIO), timed.act(PICTURE, PROPRIO))
    assert timed.latencies.summary().count == 3  # actions out of the queue are no decisions
    assert timed.latencies.summary().late == 0


def test_deadline_compile_and_precision_are_settings_of_a_line() -> None:
    config = agent_config("deadline_ms=50,precision=bfloat16,compile=true")
    assert (config.deadline_ms, config.precision) == (50.0, "bfloat16")
    assert config.compile
    with pytest.raises(UserError, match="precision must be one of float32, bfloat16, got 'half'"):
        agent_config("precision=half")


def test_latencies_are_summed_up_and_drawn() -> None:
    latencies = Latencies(keep=100)
    assert str(latencies) == "no decisions yet"
    assert latencies.summary().count == 0
    for milliseconds in range(1, 101):
        latencies.add(milliseconds / 1e3, deadline=0.09)
    latencies.add(3.0)  # without a deadline nothing is late
    summary = latencies.summary()
    assert (summary.count, summary.late, summary.max_ms) == (101, 10, 3000)
    assert summary.p50_ms == pytest.approx(51.5)  # of the last 100
    assert sum(count for _, count in latencies.histogram()) == 101
    lines = str(latencies).splitlines()
    assert lines[0].split()[:5] == ["0", "-", "1", "ms", "1"]
    assert lines[-1].split()[:4] == ["over", "1000", "ms", "1"]
    latencies.clear()
    assert latencies.summary().count == 0
