"""What an agent plans for a problem does not depend on the problems beside it, whoever decides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from goalsight.agent import ActorUse, Agent, AgentConfig, CostConfig, ShuffledAgent
from goalsight.checkpoint import Checkpoint
from goalsight.memory import Memory
from goalsight.models import WorldModel, WorldModelConfig
from goalsight_planners import CEMConfig, streams

PROBLEMS, SIZE, K, A, Q = 100, 32, 3, 2, 2
SEARCH = CEMConfig(horizon=3, samples=24, iterations=3, elites=6)
USE = ActorUse(proposals=3, time_to_goal=12, least_time=3)
PROPRIO = np.zeros(Q, np.float32)
SLIM = {"width": 16, "depth": 2, "heads": 2, "head": 8, "hidden": 16}
LOOKS_BACK = {"predictor": "transformer", "predictor_options": SLIM, "context": 3, "proprio_dim": Q}


def agent_of(
    changes: dict[str, Any],
    memory: Memory | None = None,
    kind: type[Agent] = Agent,
    **model_changes: Any,
) -> Agent:
    """An untrained agent whose predictions and actor depend on everything they are given."""
    options = {"width": 16, "depth": 1, "furthest": 20}
    config = WorldModelConfig(
        image_size=SIZE, action_dim=A, frameskip=K, heads={"actor": options}, **model_changes
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = WorldModel(config).eval()
        for weight in model.predictor.parameters():
            torch.nn.init.normal_(weight, std=0.05)
    spread = float(seen(model, range(12)).flatten(0, 1).var(0).mean())
    card = {"statistics": {"latent": {"variance": spread}}}  # so that costs are around 1
    made = AgentConfig(planner=SEARCH, actor=USE, action_bound_sigmas=100.0)
    checkpoint = Checkpoint(model, config, card, "0" * 64)
    return kind(checkpoint, "name", replace(made, **changes), memory)


def picture(seed: int) -> NDArray[np.uint8]:
    squares = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return squares.repeat(SIZE // 4, axis=0).repeat(SIZE // 4, axis=1)


def seen(model: WorldModel, seeds: range) -> Tensor:
    """(B, T, P, D) latents of B histories of made-up pictures."""
    frames = torch.stack([torch.from_numpy(picture(seed)).permute(2, 0, 1) for seed in seeds])
    with torch.inference_mode():
        latents = model.encode(frames[:, None])
    return latents.reshape(-1, model.predictor.context, *latents.shape[2:])


@pytest.mark.parametrize(
    ("kind", "changes", "model_changes"),
    [
        (Agent, {"mode": "search"}, {}),
        (Agent, {"mode": "actor"}, {}),
        (Agent, {"mode": "hybrid"}, {}),
        (Agent, {"mode": "hybrid", "cost": CostConfig(actor_nll_weight=0.1)}, LOOKS_BACK),
        (ShuffledAgent, {"mode": "search"}, {}),
    ],
    ids=["search", "actor", "hybrid", "hybrid-looking-back", "shuffled"],
)
@torch.inference_mode()
def test_each_of_100_problems_is_planned_as_by_an_agent_that_has_it_alone(
    kind: type[Agent], changes: dict[str, Any], model_changes: dict[str, Any]
) -> None:
    """Through the world model: one call for all goals against an episode of its own for each."""
    agent = agent_of(changes, kind=kind, **model_changes)
    context = agent.model.predictor.context
    latents = seen(agent.model, range(PROBLEMS * context))
    goals = torch.cat([agent.model.encode(frame(10_000 + row)) for row in range(PROBLEMS)])[:, 0]
    stream = torch.Generator().manual_seed(0)
    past = torch.rand(PROBLEMS, context - 1, K, A, generator=stream) if context > 1 else None
    felt = torch.randn(PROBLEMS, context, Q, generator=stream) if model_changes else None
    together = agent.plan(latents, past, felt, goals=goals, streams=streams(range(PROBLEMS)))
    assert together.actions.std(0).max() > 0.05  # their plans do differ
    for row in range(PROBLEMS):
        mine = slice(row, row + 1)
        agent.reset(picture(10_000 + row), seed=row)
        alone = agent.plan(
            latents[mine],
            None if past is None else past[mine],
            None if felt is None else felt[mine],
        )
        for field in ("actions", "mean", "std", "cost", "elites"):
            its, own = getattr(together, field)[mine], getattr(alone, field)
            assert torch.equal(its, own), f"{field} of {row}"


def frame(seed: int) -> Tensor:
    return torch.from_numpy(picture(seed)).permute(2, 0, 1)[None, None]


def recorded(agent: Agent) -> Memory:
    """A memory of made-up latents whose spread is that of the agent's."""
    latents = seen(agent.model, range(200))[:, 0]
    return Memory(
        latents=latents,
        lengths=torch.full((10,), 20),
        every=K,
        frameskip=K,
        variance=float(latents.var(0).mean()),
        encoder="",
    )


@torch.inference_mode()
def test_sub_goals_of_many_problems_are_those_of_each_alone() -> None:
    memory = recorded(agent_of({}))
    agent = agent_of(
        {"subgoals": replace(AgentConfig().subgoals, match_radius=3.0, aim_blocks=2)}, memory
    )
    latents, goals = memory.latents[:20:2, None], memory.latents[15::18][:10]
    together = agent.plan(latents, goals=goals, streams=streams(range(10)))
    without = agent_of({}).plan(latents, goals=goals, streams=streams(range(10)))
    assert not torch.allclose(together.cost, without.cost, atol=1e-2)
    for row in range(10):
        mine = slice(row, row + 1)
        alone = agent.plan(latents[mine], goals=goals[mine], streams=streams([row]))
        assert torch.equal(alone.actions, together.actions[mine])


@pytest.mark.parametrize("mode", ["search", "actor", "hybrid"])
def test_planning_for_others_leaves_an_agents_own_episode_as_it_is(mode: str) -> None:
    agent = agent_of({"mode": mode, "hysteresis": 0.0 if mode == "actor" else 0.5})
    driven = []
    for others in (False, True):
        agent.reset(picture(0), seed=3)
        actions = []
        for step in range(4 * K):
            actions.append(agent.act(picture(step), PROPRIO))
            if others:
                problems = seen(agent.model, range(5))
                agent.plan(problems, goals=problems[:, 0] + 1, streams=streams(range(5)))
        driven.append(np.stack(actions))
    np.testing.assert_array_equal(driven[0], driven[1])


def test_goals_and_streams_that_do_not_fit_the_problems_are_refused() -> None:
    agent = agent_of({})
    problems = seen(agent.model, range(3))
    with pytest.raises(ValueError, match="must be as many, got 3, 3, 0"):
        agent.plan(problems, goals=problems[:, 0])
    with pytest.raises(ValueError, match="must be as many, got 3, 2, 3"):
        agent.plan(problems, goals=problems[:2, 0], streams=streams(range(3)))
    agent.reset(picture(0), seed=0)
    with pytest.raises(ValueError, match="must be as many, got 3, 1, 1"):
        agent.plan(problems)


@torch.inference_mode()
def test_the_cost_of_an_agent_is_what_its_plan_was_chosen_by() -> None:
    """The actor's doubt included: one way to make it."""
    changes: dict[str, Any] = {
        "cost": CostConfig(actor_nll_weight=0.5, smoothness_weight=0.1),
    }
    agent = agent_of(changes, encoder="conv-grid", predictor="transformer")
    latents = seen(agent.model, range(7, 8))
    agent.reset(picture(0), seed=0)
    agent.look(latents)
    plan = agent.plan(latents)
    agent.reset(picture(0), seed=0)
    agent.look(latents)
    cost = agent.cost(latents)(plan.actions[:, None])
    torch.testing.assert_close(cost[:, 0], plan.cost, atol=1e-5, rtol=1e-5)
