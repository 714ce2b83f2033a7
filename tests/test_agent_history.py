"""An agent whose model looks back, and one whose model feels its own arm."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from goalsight.agent import Agent, AgentConfig
from goalsight.checkpoint import Checkpoint
from goalsight.errors import CheckpointError
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.models.rollout import Imagination
from goalsight_planners import CEMConfig

SIZE, K, A, Q = 32, 2, 2, 3
SEARCH = CEMConfig(horizon=3, samples=8, iterations=1, elites=2)


@dataclass
class Call:
    """From what one decision imagined."""

    context: Tensor
    past: Tensor | None
    proprio: Tensor | None


@dataclass
class Recorder:
    calls: list[Call] = field(default_factory=list)


class RecordingModel(WorldModel):
    """Remembers what it was asked to imagine."""

    def __init__(self, config: WorldModelConfig, recorder: Recorder) -> None:
        super().__init__(config)
        self._recorder = recorder

    def imagine(
        self, context: Tensor, past: Tensor | None = None, proprio: Tensor | None = None
    ) -> Imagination:
        self._recorder.calls.append(Call(context, past, proprio))
        return super().imagine(context, past, proprio)


def agent_of(
    recorder: Recorder, *, context: int = 3, proprio_dim: int = Q, replan: int = 1
) -> Agent:
    config = WorldModelConfig(
        image_size=SIZE,
        action_dim=A,
        frameskip=K,
        encoder="conv-grid",
        predictor="transformer",
        context=context,
        proprio_dim=proprio_dim,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = RecordingModel(config, recorder).eval()
        for weight in model.predictor.parameters():
            torch.nn.init.normal_(weight, std=0.05)
    checkpoint = Checkpoint(model, config, {}, "0" * 64)
    return Agent(checkpoint, config=AgentConfig(planner=SEARCH, replan=replan))


def picture(step: int) -> NDArray[np.uint8]:
    squares = np.random.default_rng(step).integers(0, 256, (4, 4, 3), np.uint8)
    return squares.repeat(SIZE // 4, axis=0).repeat(SIZE // 4, axis=1)


def felt(step: int) -> NDArray[np.float32]:
    return np.array([step, 2 * step, -step], np.float32)


def drive(agent: Agent, steps: int) -> NDArray[np.float32]:
    agent.reset(picture(100), seed=0)
    return np.stack([agent.act(picture(step), felt(step)) for step in range(steps)])


def latent(agent: Agent, step: int) -> Tensor:
    frames = torch.from_numpy(picture(step)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        return agent.model.encode(frames)


@pytest.mark.parametrize("replan", [1, 2])
def test_it_imagines_from_the_last_frames_the_blocks_between_and_the_arm_at_them(
    replan: int,
) -> None:
    """Frames are a block apart, also where a decision runs two blocks."""
    recorder = Recorder()
    agent = agent_of(recorder, replan=replan)
    actions = drive(agent, 5 * K)
    for decision, call in enumerate(recorder.calls):
        now = decision * replan
        blocks = range(max(0, now - 2), now + 1)
        expected = torch.cat([latent(agent, K * block) for block in blocks])
        assert torch.allclose(call.context[0], expected, atol=1e-5)
        assert call.proprio is not None
        assert call.proprio[0].tolist() == [felt(K * block).tolist() for block in blocks]
        if now == 0:
            assert call.past is None
        else:
            assert call.past is not None
            ran = actions[K * blocks[0] : K * now].reshape(-1, K, A)
            np.testing.assert_array_equal(call.past[0].numpy(), ran)
    assert len(recorder.calls) == -(-5 // replan)


def test_a_new_episode_begins_without_a_past() -> None:
    recorder = Recorder()
    agent = agent_of(recorder)
    first = drive(agent, 3 * K)
    recorder.calls.clear()
    np.testing.assert_array_equal(drive(agent, 3 * K), first)
    assert [call.context.shape[1] for call in recorder.calls] == [1, 2, 3]
    assert recorder.calls[0].past is None


def test_a_model_of_one_frame_never_gets_more() -> None:
    recorder = Recorder()
    drive(agent_of(recorder, context=1, proprio_dim=0), 3 * K)
    assert [call.context.shape[1] for call in recorder.calls] == [1, 1, 1]
    assert [(call.past, call.proprio) for call in recorder.calls] == [(None, None)] * 3


def test_the_past_changes_what_is_done() -> None:
    """The same frame and goal, reached through other frames."""
    agent = agent_of(Recorder(), proprio_dim=0)
    plans = []
    for before in (7, 8):
        agent.reset(picture(100), seed=0)
        for step in range(K):
            agent.act(picture(before), felt(step))
        agent.act(picture(9), felt(0))
        assert agent.last_plan is not None
        plans.append(agent.last_plan.cost)
    assert not torch.equal(*plans)


def test_the_proprio_of_another_robot_is_refused() -> None:
    agent = agent_of(Recorder())
    agent.reset(picture(100), seed=0)
    with pytest.raises(CheckpointError, match=r"sees 3 numbers of proprio, the robot measures 7"):
        agent.act(picture(0), np.zeros(7, np.float32))
