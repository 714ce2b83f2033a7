"""What a world model is trained to do, as a pure function of model and clip."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from goalsight.clip import Clip
from goalsight.losses import prediction_error, sigreg
from goalsight.models import WorldModel


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """Weights of the loss terms. 0 switches a term off."""

    prediction: float = 1.0
    """One step from an encoded frame to the next."""
    rollout: float = 1.0
    """Open loop from the first frame of the window, steps 2 and later."""
    sigreg: float = 0.1
    """Keeps the latents of a batch Gaussian: against collapse."""
    inverse_encoded: float = 1.0
    """Recover the action block from two encoded neighbours."""
    inverse_predicted: float = 0.3
    """Recover the action block from an encoded frame and its one-step prediction."""
    sigreg_directions: int = 64
    """Random directions the latents are projected on."""
    sigreg_knots: int = 17
    """Points at which the characteristic functions are compared."""

    def __post_init__(self) -> None:
        for field in fields(self):
            least = 1 if field.name.startswith("sigreg_") else 0
            if not getattr(self, field.name) >= least:
                raise ValueError(
                    f"{field.name} must be at least {least}, got {getattr(self, field.name)}"
                )


TERMS = ("prediction", "rollout", "sigreg", "inverse_encoded", "inverse_predicted")
"""Names of the loss terms, each the name of its weight."""


def world_model_losses(
    model: WorldModel,
    clip: Clip,
    config: ObjectiveConfig,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Every loss term of a batch and their weighted sum.

    Targets are not detached: SIGReg keeps the encoder from collapsing (LeWM, arXiv:2603.19312).

    Args:
        model: to train; gradients flow into all of it.
        clip: (B, T, ...) windows with T >= 2 and B >= 2.
        config: weights of the terms.
        generator: source of SIGReg's directions, on the device of the latents; None takes
            PyTorch's global stream.

    Returns:
        () tensors: `loss`, the weighted sum, and each of `TERMS` without its weight. A term whose
        weight is 0 is computed all the same, so that it can be watched.

    Raises:
        ValueError: if the clip is shorter than two frames.
    """
    if clip.length < 2:
        raise ValueError(f"a window needs at least 2 frames, got {clip.length}")
    z = model.encode(clip.frames)
    one_step = model.step(z[:, :-1], clip.actions)
    terms = {
        "prediction": prediction_error(one_step, z[:, 1:]),
        "rollout": _rollout_error(model, z, clip.actions),
        "sigreg": _mean_sigreg(z, config, generator),
        "inverse_encoded": _inverse_error(model, z[:, :-1], z[:, 1:], clip.actions),
        "inverse_predicted": _inverse_error(model, z[:, :-1], one_step, clip.actions),
    }
    loss = sum(
        (getattr(config, name) * terms[name] for name in TERMS if getattr(config, name) > 0),
        start=z.new_zeros(()),
    )
    return {"loss": loss, **terms}


def _rollout_error(model: WorldModel, z: Tensor, actions: Tensor) -> Tensor:
    """Open-loop error from frame 0 at steps 2 and later; 0 for windows of two frames.

    Args:
        model: that predicts.
        z: (B, T, P, D) encoded frames.
        actions: (B, T-1, K, A) blocks between them.
    """
    if z.shape[1] < 3:
        return z.new_zeros(())
    imagined = model.rollout(z[:, :1], actions[:, None])[:, 0]
    return prediction_error(imagined[:, 1:], z[:, 2:])


def _mean_sigreg(z: Tensor, config: ObjectiveConfig, generator: torch.Generator | None) -> Tensor:
    """SIGReg over the batch, time step by time step, (B, T, P, D) to ()."""
    # Lower precision would be as coarse as the deviation that the statistic measures.
    with torch.autocast(z.device.type, enabled=False):
        steps = [
            sigreg(latents, config.sigreg_directions, config.sigreg_knots, generator)
            for latents in z[:, :, 0].float().unbind(1)
        ]
        return torch.stack(steps).mean()


def _inverse_error(model: WorldModel, z: Tensor, z_next: Tensor, actions: Tensor) -> Tensor:
    """Error of the recovered blocks, (B, T-1, P, D) twice and (B, T-1, K, A) to ()."""
    return prediction_error(model.recover_actions(z, z_next), actions)
