"""What a plan costs: how far from the goal the model imagines that it leads, and penalties.

The terms are here, their formulas in `goalsight.energies`. A new term is a function of what is
imagined (B, N, H, P, D) and of the plans (B, N, H, K, A) to costs (B, N), a weight in `CostConfig`
and a line in `PlanCost`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from goalsight.agent.config import CostConfig
from goalsight.energies import (
    action_penalty,
    aggregate_energy,
    energy_unit,
    goal_energy,
    smoothness_penalty,
)
from goalsight.errors import CheckpointError
from goalsight.models import WorldModel
from goalsight.models.heads.actor import Actor
from goalsight.models.heads.ensemble import Ensemble
from goalsight.models.heads.probe import ProbeHead

Term = Callable[[Tensor, Tensor], Tensor]
"""Costs (B, N) of what is imagined (B, N, H, P, D) of plans (B, N, H, K, A)."""
Head = TypeVar("Head", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class PlanningProblem:
    """B decisions to be made: what is known at each, and where it is to lead."""

    latents: Tensor
    """(B, T, P, D) of the frames seen so far, the present one last."""
    goal: Tensor
    """(B, P, D) latent of the goal image, or of the sub-goal on the way to it."""
    past: Tensor | None = None
    """(B, T-1, K, A) blocks between the frames, for models that look back."""
    proprio: Tensor | None = None
    """(B, T, Q) proprio at them, SI units, for models that see it."""
    previous: Tensor | None = None
    """(B, A) the action that runs before a plan's first; None if there is none."""

    @property
    def now(self) -> Tensor:
        """(B, P, D) latents of the present frames."""
        return self.latents[:, -1]


class PlanCost:
    """The cost of plans of one problem, for a planner to minimise."""

    def __init__(
        self,
        model: WorldModel,
        problem: PlanningProblem,
        config: CostConfig,
        *,
        latent_variance: float,
        executed: int = 1,
        actor_nll: ActorNLL | None = None,
    ) -> None:
        """Set the problem: what all plans share is computed here, once a decision.

        Args:
            model: that imagines the plans.
            problem: B decisions.
            config: weights of the terms.
            latent_variance: of the training data's latents, the unit of energy.
            executed: blocks that will be executed before the next decision.
            actor_nll: how unlikely an actor finds plans; None if that does not count.

        Raises:
            CheckpointError: if a term needs a head that the model has not.
        """
        self._config, self._goal, self._executed = config, problem.goal, executed
        self._imagine = model.imagine(problem.latents, problem.past, problem.proprio)
        self._unit = energy_unit(config.energy, latent_variance)
        self._state = StateDistance(model, problem.goal, config) if config.decoded_weight else None
        self._terms: list[tuple[float, Term]] = []
        if actor_nll is not None:
            self._terms.append((config.actor_nll_weight, actor_nll))
        if config.disagreement_weight:
            self._terms.append((config.disagreement_weight, Disagreement(model, problem.now)))
        if config.action_weight:
            self._terms.append((config.action_weight, lambda _, plans: action_penalty(plans)))
        if config.smoothness_weight:
            previous = problem.previous
            self._terms.append(
                (config.smoothness_weight, lambda _, plans: smoothness_penalty(plans, previous))
            )

    def __call__(self, plans: Tensor) -> Tensor:
        """Costs (B, N) of plans (B, N, H, K, A)."""
        imagined = self._imagine(plans)
        cost = aggregate_energy(
            self.energy(imagined),
            self._config.aggregate,
            time_penalty=self._config.time_penalty,
            path_weight=self._config.path_weight,
            executed=self._executed,
        )
        for weight, term in self._terms:
            cost = cost + weight * term(imagined, plans)
        return cost

    def energy(self, imagined: Tensor) -> Tensor:
        """Weighted energy (B, N, H) of imagined latents (B, N, H, P, D), in its unit."""
        config, parts = self._config, []
        if config.latent_weight:
            energy = goal_energy(imagined, self._goal, config.energy) / self._unit
            parts.append(config.latent_weight * energy)
        if self._state is not None:
            parts.append(config.decoded_weight * self._state(imagined))
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]


class StateDistance:
    """Distance between what a probe reads off imagined latents and off the goal's."""

    def __init__(self, model: WorldModel, goal: Tensor, config: CostConfig) -> None:
        """Read the state of goals (B, P, D) once.

        Raises:
            CheckpointError: if the model has no probe, or the probe reads no such variable.
        """
        self._probe, self._columns = _decoder(model, config)
        self._goal: Tensor = self._probe(goal)[..., self._columns]

    def __call__(self, imagined: Tensor) -> Tensor:
        """Mean squared difference (B, N, H), in variances of the training data."""
        found: Tensor = self._probe(imagined)[..., self._columns]
        return (found - self._goal[..., None, None, :]).square().mean(-1)


class ActorNLL:
    """How little of a plan the actor would do: what a model says of it is to be trusted less.

    A planner finds plans that the model is wrong about, and most of them are plans that nobody in
    the data would have made there.
    """

    def __init__(self, actor: Actor, problem: PlanningProblem, time: int) -> None:
        """Judge plans of a problem by an actor that has so many control steps left."""
        self._actor, self._problem, self._time = actor, problem, time

    def __call__(self, imagined: Tensor, plans: Tensor) -> Tensor:
        """(B, N) negative log-likelihood of plans, for each of their numbers."""
        before = _before(self._problem.now, imagined)
        steps = torch.arange(plans.shape[2], device=plans.device) * self._actor.steps
        left = (self._time - steps).clamp_min(self._actor.steps)
        goal = self._problem.goal[:, None, None].expand_as(before)
        likely = self._actor.log_prob(before, goal, left.expand(before.shape[:3]), plans)
        return -likely.mean(dim=2) / plans[0, 0, 0].numel()


class Disagreement:
    """How much a model's `ensemble` head disagrees along a plan: there it is not to be trusted."""

    def __init__(self, model: WorldModel, now: Tensor) -> None:
        """Take the head, and the present latents (B, P, D).

        Raises:
            CheckpointError: if the model has none.
        """
        self._head, self._now = _ensemble(model), now

    def __call__(self, imagined: Tensor, plans: Tensor) -> Tensor:
        """(B, N) mean over the blocks of plans."""
        return self._head.disagreement(_before(self._now, imagined), plans).mean(-1)


def _before(now: Tensor, imagined: Tensor) -> Tensor:
    """(B, N, H, P, D) latents before each block, of those after it; now (B, P, D) is the first."""
    first = now[:, None, None].expand(*imagined.shape[:2], 1, *imagined.shape[3:])
    return torch.cat((first, imagined[:, :, :-1]), dim=2)


def check_cost(model: WorldModel, config: CostConfig) -> None:
    """Refuse a cost that a model cannot give, before any episode begins.

    Raises:
        CheckpointError: if a term needs a head that the model has not.
    """
    if config.decoded_weight:
        _decoder(model, config)
    if config.disagreement_weight:
        _ensemble(model)


def _ensemble(model: WorldModel) -> Ensemble:
    need = "disagreement in the cost needs a checkpoint with an ensemble head"
    return _required_head(model, "ensemble", Ensemble, need)


def _decoder(model: WorldModel, config: CostConfig) -> tuple[ProbeHead, list[int]]:
    """The head that decodes the state, and which of its columns count."""
    need = "a decoded-state cost needs a checkpoint with a probe head"
    probe = _required_head(model, "probe", ProbeHead, need)
    try:
        return probe, probe.columns(config.decoded_names)
    except KeyError as error:
        raise CheckpointError(str(error.args[0])) from None


def _required_head(model: WorldModel, name: str, kind: type[Head], need: str) -> Head:
    """A head of a model, which a member of `goalsight head` of the same name makes.

    Raises:
        CheckpointError: if the model has none; begins with what needs it, says how to make one.
    """
    head = dict(model.heads.items()).get(name)
    if not isinstance(head, kind):
        raise CheckpointError(
            f"{need}, this one has none; make one with goalsight head {name} --checkpoint RUN "
            "--data DATA --out NEW_RUN"
        )
    return head
