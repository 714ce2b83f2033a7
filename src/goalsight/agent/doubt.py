"""Doubt as a term of the cost: where small predictors disagree, the model is not to be trusted."""

from __future__ import annotations

import torch
from torch import Tensor

from goalsight.agent.heads import required_head
from goalsight.models import WorldModel
from goalsight.models.heads.ensemble import Ensemble


class Disagreement:
    """How much a model's `ensemble` head disagrees along imagined plans."""

    def __init__(self, model: WorldModel) -> None:
        """Take the head.

        Raises:
            CheckpointError: if the model has none.
        """
        need = "disagreement in the cost needs a checkpoint with an ensemble head"
        self._head = required_head(model, "ensemble", Ensemble, need, "ensemble")

    def __call__(self, now: Tensor, imagined: Tensor, plans: Tensor) -> Tensor:
        """Mean disagreement (B, N) along plans.

        Args:
            now: (B, P, D) present latents.
            imagined: (B, N, H, P, D) what the plans lead to.
            plans: (B, N, H, K, A) the plans.
        """
        first = now[:, None, None].expand(*imagined.shape[:2], 1, *imagined.shape[3:])
        before = torch.cat((first, imagined[:, :, :-1]), dim=2)
        return self._head.disagreement(before, plans).mean(-1)
