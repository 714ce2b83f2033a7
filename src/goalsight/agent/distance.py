"""Temporal distance as a term of the cost: how many blocks a plan leaves to go."""

from __future__ import annotations

from torch import Tensor

from goalsight.agent.heads import required_head
from goalsight.models import WorldModel
from goalsight.models.heads.temporal_distance import TemporalDistance


class BlocksToGoal:
    """Blocks from imagined latents to a goal, as a model's `temporal_distance` head tells."""

    def __init__(self, model: WorldModel, goal: Tensor) -> None:
        """Take the head.

        Args:
            model: with a `temporal_distance` head.
            goal: (B, P, D) latent of the goal image.

        Raises:
            CheckpointError: if the model has none.
        """
        self._head, self._goal = distance_head(model), goal[:, None, None]

    def __call__(self, imagined: Tensor) -> Tensor:
        """Blocks (B, N, H) from imagined latents (B, N, H, P, D)."""
        return self._head.distance(imagined, self._goal)


def distance_head(model: WorldModel) -> TemporalDistance:
    """A model's `temporal_distance` head.

    Raises:
        CheckpointError: if it has none.
    """
    need = "a temporal distance in the cost needs a checkpoint with that head"
    return required_head(model, "temporal_distance", TemporalDistance, need, "distance")
