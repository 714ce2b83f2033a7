"""How an agent decides: by search, by its actor, or by a search around what its actor proposes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor

from goalsight.agent.actor import Scene, Unlikely, around, as_plan, find_actor, propose, time_left
from goalsight.agent.config import AgentConfig
from goalsight.agent.cost import PlanCost
from goalsight.energies import energy_unit, goal_energy
from goalsight.errors import UserError
from goalsight.models import WorldModel
from goalsight.models.heads.actor import Actor
from goalsight_planners import Bounds, Cost, Plan, Stop, planner_for

__all__ = ["Decider", "Scene", "commit"]


class Decider:
    """Turns a scene into a plan, in the way that `AgentConfig.mode` says."""

    def __init__(
        self, model: WorldModel, config: AgentConfig, name: str, latent_variance: float
    ) -> None:
        """Decide for an agent.

        Args:
            model: of the agent.
            config: of the agent, `planner.block` following the model.
            name: of its checkpoint, for messages.
            latent_variance: of the training data's latents, the unit of energy.

        Raises:
            CheckpointError: if the settings want an actor that the model has not.
            UserError: if a model that looks back is to decide in the middle of a block.
        """
        if model.predictor.context > 1 and config.executed_steps % config.planner.block:
            raise UserError(
                f"checkpoint {name} looks back at whole blocks of {config.planner.block} control "
                f"steps: give a multiple of it, not replan_steps={config.replan_steps}"
            )
        self._model, self._config, self._name = model, config, name
        self._latent_variance = latent_variance
        self._actor = find_actor(model, config, name)
        self.clear()

    def clear(self) -> None:
        """Forget an episode."""
        self._goal, self._decisions = 0, 0
        self._seen: Tensor | None = None
        self.kept = False
        """Whether the last decision kept the plan of the one before."""

    def fresh(self) -> Self:
        """One that decides alike and has decided nothing yet."""
        return type(self)(self._model, self._config, self._name, self._latent_variance)

    @property
    def evaluations(self) -> int:
        """Candidate plans the model imagines for one decision after the first."""
        config, search = self._config, self._config.planner
        if config.mode == "actor":
            return 1
        proposed = 1 + config.actor.proposals if config.mode == "both" else 0
        again = 1 + search.elites if config.commitment else 0
        return search.evaluations + proposed + again

    def aim(self, goal: int) -> None:
        """Say which goal's turn it is; the time to a new one begins anew."""
        if goal != self._goal:
            self._goal, self._decisions = goal, 0

    @property
    def _time(self) -> int:
        """Control steps that the actor is told are left."""
        return time_left(self._config.actor, self._decisions * self._config.executed_steps)

    def cost(self, scene: Scene) -> PlanCost:
        """What plans cost from here, by all that the settings let count."""
        doubt = None
        if self._actor is not None and self._config.actor.likelihood:
            doubt = Unlikely(self._actor, scene, self._time)
        return PlanCost(
            self._model,
            scene.latents,
            scene.goal,
            self._config,
            latent_variance=self._latent_variance,
            past=scene.past,
            proprio=scene.proprio,
            previous=scene.previous,
            unlikely=doubt,
        )

    def plan(
        self,
        scene: Scene,
        cost: Cost,
        warm: Tensor | None,
        bounds: Bounds,
        generators: Sequence[torch.Generator],
        *,
        stop: Stop | None = None,
    ) -> Plan:
        """Decide for B problems.

        Args:
            scene: what is known of them.
            cost: of plans (B, N, H, K, A).
            warm: (B, H, K, A) rest of the last plan; None at the first decision.
            bounds: of the search.
            generators: one random stream a problem.
            stop: asked between iterations whether to end the search.

        Returns:
            The plan to execute; by an actor alone, only the blocks that will be.

        Raises:
            ValueError: if there are not as many goals and streams as problems.
        """
        check_as_many(scene.latents, scene.goal, generators)
        config, search, init = self._config, self._config.planner, warm
        within: Tensor | None = None
        own: Tensor | None = None
        if self._actor is not None and config.mode != "search":
            within, stalled = self._within_reach(scene), self._stalled(scene)
            if stalled is not None:
                within = ~stalled if within is None else within & ~stalled
            plans = self._proposals(self._actor, scene, generators, stalled)
            own = plans[:, :1]
            if config.mode == "actor" or (within is not None and not within.any()):
                self._decisions, self.kept = self._decisions + 1, False
                return as_plan(own, cost)
            init, search = around(plans, warm, search, config.actor)
        plan = planner_for(search)(cost, init, bounds, search, generators, stop=stop)
        self._decisions += 1
        if config.commitment:
            plan, kept = commit(plan, warm, cost, config.commitment)
            self.kept = bool(kept.all())
        if own is None or within is None or within.all():
            return plan
        return choose(within, plan, as_plan(own, cost))

    def _proposals(
        self,
        actor: Actor,
        scene: Scene,
        generators: Sequence[torch.Generator],
        stalled: Tensor | None,
    ) -> Tensor:
        """(B, N, H, K, A) plans of the actor, the one that it would do first.

        That is its likeliest, but a drawn one for problems (B,) that are stalled.
        """
        config, alone = self._config, self._config.mode == "actor"
        drawn = 0 if alone else config.actor.proposals
        plans = propose(
            self._model,
            actor,
            scene,
            generators,
            time=self._time,
            horizon=config.executed_blocks if alone else config.planner.horizon,
            samples=drawn if stalled is None else max(drawn, 1),
        )
        if stalled is None:
            return plans
        first = torch.where(stalled[:, None, None, None, None], plans[:, 1:2], plans[:, :1])
        return torch.cat([first, plans[:, 1 : 1 + drawn]], dim=1)

    def _stalled(self, scene: Scene) -> Tensor | None:
        """(B,) where hardly any of the way that is left was gone since the last decision.

        None if nowhere, and at an episode's first decision.
        """
        use, here, seen = self._config.actor, scene.latents[:, -1], self._seen
        if not use.stall:
            return None
        self._seen = here
        if seen is None:
            return None
        left = self._energy(here, scene.goal)
        still = (left > use.arrived) & (self._energy(here, seen) <= use.stall * left)
        return still if still.any() else None

    def _within_reach(self, scene: Scene) -> Tensor | None:
        """(B,) whether the goal of each problem is near; None if nobody asks."""
        if not self._config.actor.reach:
            return None
        here = scene.latents[:, -1]
        return self._energy(here, scene.goal) <= self._config.actor.reach

    def _energy(self, here: Tensor, there: Tensor) -> Tensor:
        """(B,) between latents (B, P, D), in units of the training data's variance."""
        kind = self._config.cost.energy
        energy = goal_energy(here[:, None, None], there, kind)[:, 0, 0]
        return energy / energy_unit(kind, self._latent_variance)


def check_as_many(latents: Tensor, goals: Tensor, generators: Sequence[torch.Generator]) -> None:
    """Refuse problems that have not a goal and a random stream each.

    Raises:
        ValueError: saying how many of each there are.
    """
    problems = (len(latents), len(goals), len(generators))
    if len(set(problems)) > 1:
        counts = ", ".join(map(str, problems))
        raise ValueError(f"problems, goals and random streams must be as many, got {counts}")


def choose(first: Tensor, one: Plan, other: Plan) -> Plan:
    """The first plan of those problems (B,) that are true, the other plan of the rest.

    What was searched stays as it was: mean, spread, elites and history are those of `one`.
    """
    return replace(
        one,
        actions=torch.where(first[:, None, None, None], one.actions, other.actions),
        cost=torch.where(first, one.cost, other.cost),
    )


def commit(new: Plan, old: Tensor | None, cost: Cost, margin: float) -> tuple[Plan, Tensor]:
    """Keep what is left of the old plan unless the new one is better by more than its uncertainty.

    Two plans about as good swapped at every decision lead nowhere. The uncertainty is the standard
    deviation of the costs of the new plan's elites: differences that the search itself cannot tell
    apart.

    Args:
        new: the plan just searched, of B problems.
        old: (B, H, K, A) what is left of the last one; None where there is none.
        cost: of plans (B, N, H, K, A), here and now.
        margin: uncertainties that the new plan must be better by.

    Returns:
        The plan to execute, and whether it is the old one (B,).
    """
    if old is None:
        return new, torch.zeros_like(new.cost, dtype=torch.bool)
    costs = cost(torch.cat([old[:, None], new.elites], dim=1))
    doubt = costs[:, 1:].std(dim=1, correction=0)
    kept = ~(new.cost < costs[:, 0] - margin * doubt)
    kept &= costs[:, 0].isfinite()
    chosen = replace(
        new,
        actions=torch.where(kept[:, None, None, None], old, new.actions),
        cost=torch.where(kept, costs[:, 0], new.cost),
        evaluations=new.evaluations + costs.shape[1],
    )
    return chosen, kept
