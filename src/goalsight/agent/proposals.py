"""Plans that are not searched: the actor's own, and when one is done instead of what is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from einops import repeat
from torch import Tensor

from goalsight.agent.config import ActorUse, AgentConfig
from goalsight.agent.cost import PlanningProblem
from goalsight.errors import CheckpointError
from goalsight.models import WorldModel
from goalsight.models.heads.actor import Actor
from goalsight_planners import Cost, GaussianConfig, Plan, SearchConfig


def find_actor(model: WorldModel, config: AgentConfig, name: str) -> Actor | None:
    """The model's actor if the agent's settings use one.

    Args:
        model: of the agent.
        config: its settings.
        name: of its checkpoint, for the message.

    Raises:
        CheckpointError: if they use one and the model has none.
    """
    if config.mode == "search" and not config.cost.actor_nll_weight:
        return None
    wanted = config.actor.head
    head = dict(model.heads.items()).get(wanted)
    if not isinstance(head, Actor):
        raise CheckpointError(
            f"checkpoint {name} has no {wanted}, which mode={config.mode} and "
            f"cost.actor_nll_weight > 0 need; train one with goalsight train --config {wanted} "
            "--checkpoint RUN --data DATA --out NEW_RUN, or leave mode=search"
        )
    return head


def time_left(use: ActorUse, elapsed: int) -> int:
    """Control steps an actor is told it has after so many since the episode began."""
    return max(use.least_time, use.time_to_goal - elapsed)


@torch.no_grad()
def propose(
    model: WorldModel,
    actor: Actor,
    problem: PlanningProblem,
    generators: Sequence[torch.Generator],
    *,
    time: int,
    horizon: int,
    samples: int = 0,
) -> Tensor:
    """Plans of an actor: it acts, the model imagines what follows, it acts from there.

    Args:
        model: that imagines.
        actor: that acts, in terms of the same latents.
        problem: B decisions.
        generators: one stream a problem; a problem's plans depend on its own alone.
        time: control steps left at the first block; each block leaves fewer, at least one block.
        horizon: H, blocks of a plan.
        samples: plans to draw besides the one of dominant modes.

    Returns:
        (B, 1 + samples, H, K, A) plans in [-1, 1], that of the dominant modes first.
    """
    number = 1 + samples
    history = _ImaginedHistory(model, problem, number)
    goal = repeat(problem.goal, "b p d -> b n p d", n=number)
    blocks: list[Tensor] = []
    for step in range(horizon):
        left = max(time - step * actor.steps, actor.steps)
        mixture = actor.distribution(history.now, goal, torch.tensor(float(left)))
        block = mixture.dominant()
        if samples:
            drawn = mixture.sample(generators)
            block = torch.cat([block[:, :1], drawn[:, 1:]], dim=1)
        blocks.append(block)
        if step + 1 < horizon:
            history.step(block)
    return torch.stack(blocks, dim=2)


class _ImaginedHistory:
    """B x N histories that grow by an imagined block at a time, as `WorldModel.rollout` does."""

    def __init__(self, model: WorldModel, problem: PlanningProblem, number: int) -> None:
        """Begin N times at what was seen."""
        self._model = model
        seen = 1 if problem.past is None else model.predictor.context
        self._z = _many(problem.latents[:, -seen:], number)
        frames = self._z.shape[2]
        self._past = None
        if problem.past is not None and frames > 1:
            self._past = _many(problem.past[:, 1 - frames :], number)
        felt = problem.proprio
        self._proprio = None if felt is None else _many(felt[:, -seen:], number)

    @property
    def now(self) -> Tensor:
        """(B, N, P, D) latents of the last frame."""
        return self._z[:, :, -1]

    def step(self, block: Tensor) -> None:
        """Imagine the frame after one more block (B, N, K, A)."""
        model, keep = self._model, self._model.predictor.context
        actions = block[:, :, None]
        if self._past is not None:
            actions = torch.cat([self._past, actions], dim=2)
        z, known = model.predict(self._z, actions, self._proprio)
        self._z = torch.cat([self._z, z[:, :, -1:]], dim=2)[:, :, -keep:]
        self._past = actions[:, :, -(keep - 1) :] if keep > 1 else None
        if known is not None and self._proprio is not None:
            felt = known[:, :, -1:] * model.proprio_std + model.proprio_mean
            self._proprio = torch.cat([self._proprio, felt], dim=2)[:, :, -keep:]


def _many(values: Tensor, number: int) -> Tensor:
    """(B, ...) to (B, N, ...), shared."""
    return values[:, None].expand(-1, number, *values.shape[1:])


def as_plan(plans: Tensor, cost: Cost) -> Plan:
    """An actor's own plans (B, 1, H, K, A) as the outcome of a search that looked at no others."""
    actions = plans[:, 0]
    return Plan(
        actions=actions,
        mean=actions,
        std=torch.zeros_like(actions),
        elites=plans,
        cost=cost(plans)[:, 0],
        history=(),
        evaluations=1,
    )


def around(
    plans: Tensor, warm: Tensor | None, search: SearchConfig, use: ActorUse
) -> tuple[Tensor, SearchConfig]:
    """Where a search begins that an actor proposes to, and how it draws.

    Args:
        plans: (B, N, H, K, A) of the actor, the one to search around first; all are candidates.
        warm: (B, H, K, A) rest of the last plan, a candidate too; None at the first decision.
        search: the planner's config.
        use: the fixed spread around the actor's plan and the fraction drawn from the prior.

    Returns:
        Guesses for the planner's `init`, and its config: CEM, iCEM and MPPI draw by it, the other
        planners take the guesses alone.
    """
    guesses = plans if warm is None else torch.cat([plans, warm[:, None]], dim=1)
    if not isinstance(search, GaussianConfig):
        return guesses, search
    changes = {"fixed_std": use.proposal_std, "prior_fraction": use.prior_fraction}
    return guesses, replace(search, **changes)  # type: ignore[arg-type]


def is_stuck(left: Tensor, moved: Tensor, use: ActorUse) -> Tensor:
    """(B,) where hardly any of the way that is left was gone since the last decision.

    Args:
        left: (B,) energy to the goal.
        moved: (B,) energy from what was seen at the last decision.
        use: what counts as hardly any, and as having arrived.
    """
    return (left > use.goal_tolerance) & (moved <= use.stuck_ratio * left)


def choose(first: Tensor, one: Plan, other: Plan) -> Plan:
    """The first plan of those problems (B,) that are true, the other plan of the rest.

    What was searched stays as it was: mean, spread, elites and history are those of `one`.
    """
    return replace(
        one,
        actions=torch.where(first[:, None, None, None], one.actions, other.actions),
        cost=torch.where(first, one.cost, other.cost),
    )


def with_hysteresis(new: Plan, old: Tensor | None, cost: Cost, margin: float) -> Plan:
    """Keep what is left of the old plan unless the new one is better by more than its uncertainty.

    Two plans about as good swapped at every decision lead nowhere. The uncertainty is the standard
    deviation of the costs of the new plan's elites: differences that the search itself cannot tell
    apart.

    Args:
        new: the plan just searched, of B problems.
        old: (B, H, K, A) what is left of the last one; None where there is none.
        cost: of plans (B, N, H, K, A), here and now.
        margin: uncertainties that the new plan must be better by.
    """
    if old is None:
        return new
    costs = cost(torch.cat([old[:, None], new.elites], dim=1))
    doubt = costs[:, 1:].std(dim=1, correction=0)
    kept = ~(new.cost < costs[:, 0] - margin * doubt)
    kept &= costs[:, 0].isfinite()
    return replace(
        new,
        actions=torch.where(kept[:, None, None, None], old, new.actions),
        cost=torch.where(kept, costs[:, 0], new.cost),
        evaluations=new.evaluations + costs.shape[1],
    )
