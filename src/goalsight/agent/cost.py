"""What a plan costs: how far from the goal the model imagines that it leads."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from goalsight.agent.config import AgentConfig, CostConfig
from goalsight.agent.doubt import Disagreement
from goalsight.agent.heads import required_head
from goalsight.energies import (
    action_penalty,
    aggregate_energy,
    energy_unit,
    goal_energy,
    smoothness_penalty,
)
from goalsight.errors import CheckpointError
from goalsight.models import WorldModel
from goalsight.models.heads.probe import ProbeHead


class PlanCost:
    """The cost of plans from one observed history to one goal, for a planner to minimise."""

    def __init__(
        self,
        model: WorldModel,
        latents: Tensor,
        goal: Tensor,
        config: AgentConfig,
        *,
        latent_variance: float,
        past: Tensor | None = None,
        proprio: Tensor | None = None,
        previous: Tensor | None = None,
        unlikely: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        """Set the problem.

        Args:
            model: that imagines the plans.
            latents: (B, T, P, D) latents of the frames seen so far, the present one last.
            goal: (B, P, D) latent of the goal image.
            config: weights of the terms.
            latent_variance: of the training data's latents, the unit of energy.
            past: (B, T-1, K, A) blocks between the frames, for models that look back.
            proprio: (B, T, Q) proprio at them, SI units, for models that see it.
            previous: (B, A) the action that runs before a plan's first; None if there is none.
            unlikely: (B, N) how unlikely plans are by what is imagined of them, see
                `goalsight.agent.actor.Unlikely`; None if it does not count.

        Raises:
            CheckpointError: if the decoded state is to count and the model cannot decode it.
        """
        self._config, self._goal, self._here = config, goal, latents[:, -1]
        # What all plans share is computed here, once for all iterations of a search.
        self._imagine = model.imagine(latents, past, proprio)
        self._previous, self._unlikely = previous, unlikely
        self._unit = energy_unit(config.cost.energy, latent_variance)
        self._doubt = Disagreement(model) if config.cost.disagreement else None
        self._state = StateDistance(model, goal, config.cost) if config.cost.decoded else None

    def __call__(self, plans: Tensor) -> Tensor:
        """Costs (B, N) of plans (B, N, H, K, A)."""
        terms = self._config.cost
        imagined = self._imagine(plans)
        energy = self.energy(imagined)
        cost = aggregate_energy(
            energy,
            terms.aggregate,
            delay=terms.delay,
            running=terms.running,
            executed=self._config.executed_blocks,
        )
        if self._unlikely is not None:
            cost = cost + self._config.actor.likelihood * self._unlikely(imagined, plans)
        if self._doubt is not None:
            cost = cost + terms.disagreement * self._doubt(self._here, imagined, plans)
        if terms.action:
            cost = cost + terms.action * action_penalty(plans)
        if terms.smoothness:
            cost = cost + terms.smoothness * smoothness_penalty(plans, self._previous)
        return cost

    def energy(self, imagined: Tensor) -> Tensor:
        """Weighted energy (B, N, H) of imagined latents (B, N, H, P, D), in its unit."""
        terms = self._config.cost
        parts = []
        if terms.latent:
            parts.append(terms.latent * self._latent_energy(imagined))
        if self._state is not None:
            parts.append(terms.decoded * self._state(imagined))
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]

    def _latent_energy(self, imagined: Tensor) -> Tensor:
        kind = self._config.cost.energy
        return goal_energy(imagined, self._goal, kind) / self._unit


class StateDistance:
    """Distance between what a probe reads off imagined latents and off the goal's."""

    def __init__(self, model: WorldModel, goal: Tensor, config: CostConfig) -> None:
        """Read the goal's state once.

        Args:
            model: with a `probe` head.
            goal: (B, P, D) latent of the goal image.
            config: whose variables count.

        Raises:
            CheckpointError: if the model has no probe, or the probe reads no such variable.
        """
        self._probe, self._columns = _decoder(model, config)
        self._goal: Tensor = self._probe(goal)[..., self._columns]

    def __call__(self, imagined: Tensor) -> Tensor:
        """Mean squared difference (B, N, H), in variances of the training data."""
        found: Tensor = self._probe(imagined)[..., self._columns]
        return (found - self._goal[..., None, None, :]).square().mean(-1)


def check_cost(model: WorldModel, config: CostConfig) -> None:
    """Refuse a cost that a model cannot give, before any episode begins.

    Raises:
        CheckpointError: if a term needs a head that the model has not.
    """
    if config.decoded:
        _decoder(model, config)
    if config.disagreement:
        Disagreement(model)


def _decoder(model: WorldModel, config: CostConfig) -> tuple[ProbeHead, list[int]]:
    """The head that decodes the state, and which of its columns count."""
    need = "a decoded-state cost needs a checkpoint with a probe head"
    probe = required_head(model, "probe", ProbeHead, need, "probe")
    try:
        return probe, probe.columns(config.decoded_variables)
    except KeyError as error:
        raise CheckpointError(str(error.args[0])) from None
