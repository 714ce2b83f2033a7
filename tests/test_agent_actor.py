"""An agent that has an actor: alone, as a proposal, or left unused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from goalsight.agent import ActorUse, Agent, AgentConfig, CostConfig
from goalsight.agent.agent import Episode
from goalsight.agent.config import agent_config
from goalsight.agent.cost import ActorNLL, PlanningProblem
from goalsight.agent.proposals import propose, time_left, with_hysteresis
from goalsight.checkpoint import Checkpoint
from goalsight.errors import CheckpointError, UserError
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.models.heads.actor import Actor
from goalsight_planners import CEMConfig, Cost, Plan, SearchConfig

SIZE, K, A, H, Q = 32, 3, 2, 3, 2
PROPRIO = np.zeros(Q, np.float32)
SEARCH = CEMConfig(horizon=H, samples=24, iterations=3, elites=4)
USE = ActorUse(proposals=3, time_to_goal=12, least_time=3)
BASE = AgentConfig(planner=SEARCH, actor=USE, action_bound_sigmas=100.0)
ACTOR = {"width": 16, "depth": 1, "furthest": 20}


def model_of(*, actor: bool = True, **changes: Any) -> WorldModel:
    """An untrained model whose predictions and actor depend on everything they are given."""
    heads = {"actor": dict(ACTOR)} if actor else {}
    config = WorldModelConfig(image_size=SIZE, action_dim=A, frameskip=K, heads=heads, **changes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = WorldModel(replace(config, heads={}))
        for weight in model.predictor.parameters():
            torch.nn.init.normal_(weight, std=0.05)
        state = model.state_dict()
        whole = WorldModel(config).eval()
    whole.load_state_dict(state, strict=False)
    return whole


def agent_of(model: WorldModel | None = None, /, **changes: Any) -> Agent:
    model = model or model_of()
    return Agent(Checkpoint(model, model.config, {}, "0" * 64), config=replace(BASE, **changes))


def picture(seed: int) -> NDArray[np.uint8]:
    squares = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return squares.repeat(SIZE // 4, axis=0).repeat(SIZE // 4, axis=1)


def drive(agent: Agent, steps: int, seed: int = 0) -> NDArray[np.float32]:
    agent.reset(picture(100), seed)
    return np.stack([agent.act(picture(step), PROPRIO) for step in range(steps)])


def actor_in(model: WorldModel) -> Actor:
    head = model.heads["actor"]
    assert isinstance(head, Actor)
    return head


def streams(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def problem_of(model: WorldModel, problems: int = 2, frames: int = 1) -> PlanningProblem:
    generator = torch.Generator().manual_seed(3)

    def normal(*shape: int) -> Tensor:
        return torch.randn(problems, *shape, generator=generator)

    grid = (model.patches, model.latent_dim)
    return PlanningProblem(
        latents=normal(frames, *grid),
        goal=normal(*grid),
        past=normal(frames - 1, K, A).clamp(-1, 1) if frames > 1 else None,
        proprio=normal(frames, Q) if model.config.proprio_dim else None,
    )


@pytest.mark.parametrize(
    "changes", [{"mode": "actor"}, {"mode": "hybrid"}, {"cost": CostConfig(actor_nll_weight=0.1)}]
)
def test_without_an_actor_in_the_model_one_line_says_how_to_get_one(
    changes: dict[str, Any],
) -> None:
    with pytest.raises(CheckpointError, match=r"has no actor, .* goalsight train --config actor"):
        agent_of(model_of(actor=False), **changes)


def test_a_search_does_not_notice_that_there_is_an_actor() -> None:
    with_one, without = agent_of(), agent_of(model_of(actor=False))
    np.testing.assert_array_equal(drive(with_one, 3 * K), drive(without, 3 * K))
    assert with_one.evaluations_per_decision == SEARCH.evaluations


def test_an_actor_alone_does_its_dominant_mode_and_searches_nothing() -> None:
    agent = agent_of(mode="actor")
    acted = drive(agent, 2 * K)
    goal, actor = agent.model.encode(frames(100)), actor_in(agent.model)
    for decision in range(2):
        here = agent.model.encode(frames(decision * K))
        left = torch.tensor(float(12 - decision * K))
        wanted = actor.act(here[:, 0], goal[:, 0], left)[0].detach().numpy()
        np.testing.assert_allclose(acted[decision * K :][:K], wanted, atol=1e-6)
    assert agent.evaluations_per_decision == 1
    agent.act(picture(0), PROPRIO)
    assert agent.last_plan is not None
    assert agent.last_plan.actions.shape == (1, 1, K, A)


def frames(seed: int) -> Tensor:
    return torch.from_numpy(picture(seed)).permute(2, 0, 1)[None, None]


def test_decisions_may_come_in_the_middle_of_a_block() -> None:
    for mode in ("actor", "search", "hybrid"):
        agent = agent_of(mode=mode, replan_steps=2)
        agent.reset(picture(100), 0)
        decided = []
        for step in range(6):
            agent.act(picture(step), PROPRIO)
            decided.append(agent.last_latency_s is not None)
        assert decided == [True, False] * 3
    grid: dict[str, Any] = {"encoder": "conv-grid", "predictor": "transformer", "context": 2}
    with pytest.raises(UserError, match=r"looks back at whole blocks of 3 .* not replan_steps=2"):
        agent_of(model_of(**grid), replan_steps=2)
    drive(agent_of(model_of(**grid), replan_steps=2 * K), 3 * K)


@pytest.mark.parametrize("context", [1, 3])
@pytest.mark.parametrize("proprio", [0, Q])
def test_a_proposed_plan_acts_at_what_the_model_imagines_of_it(context: int, proprio: int) -> None:
    """Step by step, as the model rolls the whole plan out at once."""
    model = model_of(
        encoder="conv-grid", predictor="transformer", context=context, proprio_dim=proprio
    )
    actor, problem = actor_in(model), problem_of(model, frames=context)
    plans = propose(model, actor, problem, streams(0, 1), time=8, horizon=H, samples=2)
    assert plans.shape == (2, 3, H, K, A)
    with torch.no_grad():
        imagined = model.rollout(problem.latents, plans, problem.past, problem.proprio)
        now = torch.cat([problem.latents[:, -1:], imagined[:, 0, :-1]], dim=1)
        for step, left in enumerate((8.0, 5.0, 3.0)):  # at least one block
            block = actor.act(now[:, step], problem.goal, torch.tensor(left))
            torch.testing.assert_close(plans[:, 0, step], block, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(plans[:, 1], plans[:, 2])


def test_what_is_proposed_to_a_problem_depends_on_it_alone() -> None:
    model = model_of()
    actor, problem = actor_in(model), problem_of(model, problems=3)
    together = propose(model, actor, problem, streams(4, 5, 6), time=9, horizon=H, samples=4)
    one = PlanningProblem(latents=problem.latents[1:2], goal=problem.goal[1:2])
    alone = propose(model, actor, one, streams(5), time=9, horizon=H, samples=4)
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-4)


class Asked:
    """A cost that prefers small actions and remembers what it was asked."""

    def __init__(self) -> None:
        self.plans: list[Tensor] = []

    def __call__(self, plans: Tensor) -> Tensor:
        self.plans.append(plans.clone())
        return plans.square().mean(dim=(2, 3, 4))


class Told(Agent):
    """Chooses plans by a cost that it is told."""

    told: Cost

    def _scored(self, cost: Cost, streams: Sequence[torch.Generator]) -> Cost:
        return self.told


def decide(config: AgentConfig, warm: Tensor | None = None, problems: int = 2) -> tuple[Any, Asked]:
    model, cost = model_of(), Asked()
    agent = Told(Checkpoint(model, model.config, {}, "0" * 64), config=config)
    agent.told, problem = cost, problem_of(model, problems)
    episode = Episode(problem.goal[None], streams(*range(problems)), warm=warm)
    return agent._plan(problem, episode, None), cost


@pytest.mark.parametrize("action_mode", ["free", "repeat"])
def test_the_actors_plans_and_the_rest_of_the_last_are_candidates(action_mode: Any) -> None:
    model = model_of()
    own = propose(
        model, actor_in(model), problem_of(model), streams(0, 1), time=12, horizon=H, samples=3
    )
    warm = torch.full((2, H, K, A), 0.77)
    search = replace(SEARCH, action_mode=action_mode)
    plan, cost = decide(replace(BASE, mode="hybrid", planner=search), warm)
    held = own if action_mode == "free" else own.mean(3, keepdim=True).expand_as(own)
    first = cost.plans[0]
    torch.testing.assert_close(first[:, :4], held)
    torch.testing.assert_close(first[:, 4], warm)
    assert (plan.cost <= cost(held)[:, 0]).all()  # never worse than what the actor would do
    near = first[:, 5:18] - held[:, :1]
    assert float(near.std()) == pytest.approx(0.3, abs=0.1)
    assert float(first[:, 18:].std()) > 0.45  # a quarter of 24 owes the actor nothing


@pytest.mark.parametrize("planner", ["icem", "mppi", "random_shooting"])
def test_every_planner_takes_proposals(planner: str) -> None:
    config = agent_config(
        f"planner.kind={planner},mode=hybrid,planner.samples=24,planner.elites=8,planner.iterations=2,actor.proposals=3"
    )
    plan, cost = decide(replace(config, planner=replace(config.planner, horizon=H)))
    assert plan.actions.shape == (2, H, K, A)
    assert (plan.cost <= cost(cost.plans[0][:, :1])[:, 0]).all()


def test_the_same_seed_gives_the_same_actions_in_every_mode() -> None:
    for mode in ("actor", "hybrid"):
        agent = agent_of(mode=mode)
        first = drive(agent, 3 * K, seed=5)
        drive(agent, 2, seed=6)
        np.testing.assert_array_equal(drive(agent, 3 * K, seed=5), first)
        np.testing.assert_array_equal(drive(agent_of(mode=mode), 3 * K, seed=5), first)
    assert not np.array_equal(drive(agent_of(mode="hybrid"), K, seed=6), first[:K])


def test_time_runs_out_and_then_stands_still() -> None:
    assert [time_left(USE, elapsed) for elapsed in (0, 3, 9, 90)] == [12, 9, 3, 3]
    still = ActorUse(time_to_goal=25, least_time=25)
    assert [time_left(still, elapsed) for elapsed in (0, 50)] == [25, 25]


def plan_of(values: list[float], elites: list[list[float]]) -> Plan:
    """One number a plan: its cost under `Asked` is its square."""
    actions = torch.tensor(values).reshape(-1, 1, 1, 1)
    return Plan(
        actions=actions,
        mean=actions,
        std=actions,
        elites=torch.tensor(elites).reshape(len(values), -1, 1, 1, 1),
        cost=actions[:, 0, 0, 0].square(),
        history=(),
        evaluations=7,
    )


def test_a_plan_is_kept_unless_the_new_one_is_better_by_more_than_its_doubt() -> None:
    """Costs .16 new and .25 old; elites' costs differ by .01 in one problem, by .3 in the other."""
    new = plan_of([0.4, 0.4], [[0.16**0.5, 0.18**0.5], [0.0, 0.6**0.5]])
    old = torch.full((2, 1, 1, 1), 0.5)
    chosen = with_hysteresis(new, old, Asked(), margin=1.0)
    assert chosen.actions.flatten().tolist() == pytest.approx([0.4, 0.5])
    assert chosen.cost.tolist() == pytest.approx([0.16, 0.25])
    assert chosen.evaluations == 7 + 3
    assert with_hysteresis(new, None, Asked(), margin=1.0) is new
    impossible = with_hysteresis(new, old / 0, Asked(), margin=1.0)
    assert torch.equal(impossible.actions, new.actions)


def test_an_agent_with_hysteresis_swaps_its_plan_less() -> None:
    """At a margin no plan can pass it executes its first one to the end."""
    free, bound = agent_of(), agent_of(hysteresis=1e6)
    both = [drive(agent, H * K) for agent in (free, bound)]
    np.testing.assert_array_equal(both[0][:K], both[1][:K])
    bound.reset(picture(100), 0)
    bound.act(picture(0), PROPRIO)
    assert bound.last_plan is not None
    first = bound.last_plan.actions[0].flatten(0, 1).numpy()
    np.testing.assert_array_equal(both[1], first)
    assert not np.array_equal(both[0], both[1])


def test_a_plan_that_the_actor_would_make_is_the_likelier_one() -> None:
    model = model_of()
    actor, problem = actor_in(model), problem_of(model)
    own = propose(model, actor, problem, streams(0, 1), time=12, horizon=H)
    plans = torch.cat([own, torch.ones_like(own), -torch.ones_like(own)], dim=1)
    with torch.no_grad():
        doubt = ActorNLL(actor, problem, 12)(model.rollout(problem.latents, plans), plans)
    assert doubt.shape == (2, 3)
    assert (doubt[:, :1] < doubt[:, 1:]).all()
    plain, careful = (agent_of(cost=CostConfig(actor_nll_weight=weight)) for weight in (0.0, 10.0))
    assert not np.array_equal(drive(plain, K), drive(careful, K))


def test_a_search_config_alone_has_no_spread_to_fix() -> None:
    planner = SearchConfig(horizon=H, samples=8, elites=2)
    plan, _ = decide(AgentConfig(planner=planner, mode="hybrid", actor=USE))
    assert plan.actions.shape == (2, H, K, A)
