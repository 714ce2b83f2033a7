"""Alternatives to the default objective, `goalsight.training.objective`, which SIGReg belongs to.

Each way not to collapse is registered by the name that `--objective.anti_collapse` takes. The
functions of a batch take (B, D) rows and know no model or trainer; those that are registered gather
the batches of all ranks first.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from goalsight.losses.contrast import info_nce
from goalsight.losses.covariance import barlow_twins, covariance_penalty, variance_hinge
from goalsight.losses.distillation import Targets, centred_teacher, distillation_loss
from goalsight.losses.straightening import curvature

__all__ = [
    "AntiCollapseLoss",
    "Targets",
    "barlow_twins",
    "centred_teacher",
    "covariance_penalty",
    "curvature",
    "distillation_loss",
    "info_nce",
    "variance_hinge",
]


class AntiCollapseLoss(Protocol):
    """What `@register("loss", NAME)` takes: terms that need nothing but latents."""

    def __call__(
        self,
        z: Tensor,
        predicted: Tensor,
        config: Any,  # noqa: ANN401  (training.ObjectiveConfig, which imports this)
        generator: torch.Generator | None,
        /,
    ) -> dict[str, Tensor]:
        """The terms, in float32.

        Args:
            z: (B, T, P, D) encoded frames.
            predicted: (B, T-1, P, D) predictions of frames 1 to T-1, each from the frame before.
            config: a `goalsight.training.objective.ObjectiveConfig`; a loss of your own finds its
                parameters in `anti_collapse_options`.
            generator: source of random numbers, equally seeded on all ranks.

        Returns:
            () tensors by the name of their weight in the config; without one there they weigh 1.
        """
