"""What a plan costs: how far from the goal the model imagines that it leads."""

from __future__ import annotations

from torch import Tensor

from goalsight.agent.config import AgentConfig
from goalsight.energies import arrival_cost, goal_energy
from goalsight.models import WorldModel


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
        """
        self._model, self._config, self._goal = model, config, goal
        self._history = (latents, past, proprio)
        self._latent_variance = latent_variance

    def __call__(self, plans: Tensor) -> Tensor:
        """Costs (B, N) of plans (B, N, H, K, A)."""
        latents, past, proprio = self._history
        energy = goal_energy(self._model.rollout(latents, plans, past, proprio), self._goal)
        energy = energy / self._latent_variance
        return arrival_cost(energy, self._config.delay, self._config.running)
