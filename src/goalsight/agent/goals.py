"""The goal images of an episode: which one's turn it is."""

from __future__ import annotations

from torch import Tensor

from goalsight.agent.config import AgentConfig
from goalsight.energies import energy_unit, goal_energy

NEARER = 0.98
"""An energy below this share of the least so far is progress; above it is the noise of seeing."""


class Goals:
    """Goal images in their order; the next one's turn comes by itself, see `SequenceConfig`.

    Each decision tells what it sees. The last goal stays.
    """

    def __init__(self, latents: Tensor, config: AgentConfig, *, latent_variance: float) -> None:
        """Begin with the first goal.

        Args:
            latents: (G, P, D) of goal images.
            config: of the agent.
            latent_variance: of the training data's latents, the unit of energy.
        """
        self._latents, self._config = latents, config
        self._unit = energy_unit(config.cost.energy, latent_variance)
        self.index = 0
        """Which goal's turn it is, from 0."""
        self._seen: Tensor | None = None
        self._begin()

    @property
    def current(self) -> Tensor:
        """(1, P, D) latent of the goal whose turn it is."""
        return self._latents[self.index : self.index + 1]

    def energy(self, latent: Tensor) -> float:
        """Distance from a latent (1, P, D) to the current goal, in the model's own units."""
        return self._distance(latent, self.current)

    def look(self, latent: Tensor) -> None:
        """Take in what is seen at a decision, and go on to the next goal if this one is done.

        Args:
            latent: (1, P, D) of the picture.
        """
        while self.index + 1 < len(self._latents) and self._is_done(latent):
            self.index += 1
            self._begin()
        self._seen = latent

    def _begin(self) -> None:
        """Forget what was measured to the goal before."""
        self._first: float | None = None
        self._least, self._waited = float("inf"), 0

    def _is_done(self, latent: Tensor) -> bool:
        """Whether the current goal is reached as far as can be told, or is out of reach."""
        rule, energy = self._config.sequence, self.energy(latent) / self._unit
        if self._first is None:
            self._first = energy
        if energy < NEARER * self._least:
            self._least, self._waited = energy, 0
        else:
            self._waited += 1
        if energy <= rule.switch * self._first or (0 < rule.patience <= self._waited):
            return True
        # No farther than one decision's motion: nearer than this the search cannot aim.
        return self._seen is not None and energy <= self._distance(latent, self._seen) / self._unit

    def _distance(self, latent: Tensor, other: Tensor) -> float:
        kind = self._config.cost.energy
        return float(goal_energy(latent[:, None, None], other, kind))
