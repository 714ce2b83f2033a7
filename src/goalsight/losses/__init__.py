"""Training losses as pure functions of latents. Nothing here knows a model or a trainer.

What lives on the batch takes (B, D): in a run of several processes the caller gathers the batch
first (`goalsight.ranks`).
"""

from goalsight.losses.contrast import info_nce
from goalsight.losses.covariance import barlow_twins, covariance_penalty, variance_hinge
from goalsight.losses.distillation import centred_teacher, distillation_loss
from goalsight.losses.prediction import Distance, prediction_error
from goalsight.losses.sketch import sigreg
from goalsight.losses.straightening import curvature

__all__ = [
    "Distance",
    "barlow_twins",
    "centred_teacher",
    "covariance_penalty",
    "curvature",
    "distillation_loss",
    "info_nce",
    "prediction_error",
    "sigreg",
    "variance_hinge",
]
