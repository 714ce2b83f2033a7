"""What a world model is trained to do, as a pure function of model and clip."""

from __future__ import annotations

import torch
from torch import Tensor

from goalsight.clip import Clip
from goalsight.losses import curvature, prediction_error
from goalsight.models import WorldModel
from goalsight.models.heads.actor import Actor
from goalsight.training.anti_collapse import anti_collapse_terms
from goalsight.training.config import WITH_TARGET_ENCODER, AntiCollapse, ObjectiveConfig
from goalsight.training.goal_windows import GoalClip
from goalsight.training.latents import latents_of
from goalsight.training.targets import Targets

__all__ = [
    "AntiCollapse",
    "ObjectiveConfig",
    "encoder_learns",
    "make_targets",
    "world_model_losses",
]


def encoder_learns(model: WorldModel) -> bool:
    """Whether anything of the encoder is trained; if not, its latents cannot collapse."""
    return any(parameter.requires_grad for parameter in model.encoder.parameters())


def make_targets(model: WorldModel, config: ObjectiveConfig) -> Targets | None:
    """The target encoder that an objective asks for, or None."""
    if config.anti_collapse not in WITH_TARGET_ENCODER or not encoder_learns(model):
        return None
    wants_prototypes = config.anti_collapse == "dino" and config.dino > 0
    prototypes = config.dino_prototypes if wants_prototypes else 0
    return Targets(model, config.ema_momentum, prototypes)


def world_model_losses(
    model: WorldModel,
    clip: Clip,
    config: ObjectiveConfig,
    generator: torch.Generator | None = None,
    targets: Targets | None = None,
) -> dict[str, Tensor]:
    """The loss terms of a batch that weigh something, and their weighted sum.

    Without `targets` predictions aim at the encoder's own latents, which are not detached: what
    keeps them apart is a term of the loss (LeWM, arXiv:2603.19312) or nothing. In a run of several
    processes terms on the batch see the batches of all ranks.

    Args:
        model: to train; gradients flow into all of it that is not frozen.
        clip: (B, T, ...) windows with T >= 2 and B >= 2.
        config: weights of the terms.
        generator: source of SIGReg's directions, on the device of the latents; None takes
            PyTorch's global stream.
        targets: see `make_targets`; needed where the objective asks for a target encoder.

    Returns:
        () tensors: `loss`, the weighted sum, and each term of a weight above 0 without its weight.

    Raises:
        ValueError: if the clip is shorter than two frames, or the objective asks for what is not
            there: targets, an inverse head, or windows with goals.
    """
    _check(model, clip, config, targets)
    z, there = _encode(model, clip)
    goal = z[:, 1:] if targets is None else targets.encode(clip.frames[:, 1:])
    predicted, proprio = model.predict(z[:, :-1], clip.actions, clip.proprio[:, :-1])
    terms = {
        **_predictive(model, clip, config, z=z, predicted=predicted, goal=goal),
        **_inverse(model, clip.actions, config, z, predicted),
    }
    if there is not None and isinstance(clip, GoalClip) and config.behaviour > 0:
        terms["behaviour"] = _behaviour(model, clip, z, there)
    if proprio is not None and config.proprio > 0:
        known = model.standardise(clip.proprio[:, 1:])
        assert known is not None, "a model that predicts proprio sees it"
        terms["proprio"] = prediction_error(proprio, known)
    if encoder_learns(model):
        terms |= anti_collapse_terms(z, predicted, config, generator)
        if config.straightening > 0 and clip.length > 2:
            terms["straightening"] = curvature(z.flatten(-2))
    if targets is not None and targets.head is not None:
        terms["dino"] = targets.distil(predicted, goal)
    loss = sum((getattr(config, name) * term for name, term in terms.items()), z.new_zeros(()))
    return {"loss": loss, **terms}


def _check(model: WorldModel, clip: Clip, config: ObjectiveConfig, targets: Targets | None) -> None:
    if clip.length < 2:
        raise ValueError(f"a window needs at least 2 frames, got {clip.length}")
    if config.behaviour > 0 and not isinstance(clip, GoalClip):
        raise ValueError("behaviour needs windows with goals; see GoalWindows")
    if targets is None and config.anti_collapse in WITH_TARGET_ENCODER and encoder_learns(model):
        raise ValueError(
            f"anti_collapse {config.anti_collapse} needs a target encoder; pass make_targets(...)"
        )


def _encode(model: WorldModel, clip: Clip) -> tuple[Tensor, Tensor | None]:
    """Latents of the window (B, T, P, D) and of its goal (B, P, D) if it has one.

    Encoded together, so that a batch norm sees one batch.
    """
    if not isinstance(clip, GoalClip):
        return latents_of(model, clip), None
    z = model.encode(torch.cat((clip.frames, clip.goal), dim=1))
    return z[:, :-1], z[:, -1]


def _behaviour(model: WorldModel, clip: GoalClip, z: Tensor, there: Tensor) -> Tensor:
    """How unlikely the actor finds what was done at each frame, for each number of a block."""
    actor = model.heads["actor"]
    assert isinstance(actor, Actor)
    blocks = clip.actions
    passed = torch.arange(blocks.shape[1], device=z.device) * clip.frameskip
    left = clip.time[:, None] - passed
    likely = actor.log_prob(z[:, :-1], there[:, None], left, blocks)
    return -likely.mean() / blocks[0, 0].numel()


def _predictive(
    model: WorldModel,
    clip: Clip,
    config: ObjectiveConfig,
    *,
    z: Tensor,
    predicted: Tensor,
    goal: Tensor,
) -> dict[str, Tensor]:
    """Teacher forcing and open loop from frame 0.

    Args:
        model: that predicts.
        clip: (B, T, ...) windows.
        config: weights and distance.
        z: (B, T, P, D) encoded frames.
        predicted: (B, T-1, P, D) one-step predictions.
        goal: (B, T-1, P, D) what they aim at.
    """

    def error(one: Tensor, other: Tensor) -> Tensor:
        return prediction_error(one, other, config.distance, normalise=config.normalise_targets)

    terms = {}
    if config.prediction > 0:
        terms["prediction"] = error(predicted, goal)
    steps = min(config.rollout_steps, clip.length - 1)
    if config.rollout > 0 and steps > 1:
        plan = clip.actions[:, None, :steps]
        imagined = model.rollout(z[:, :1], plan, proprio=clip.proprio[:, :1])[:, 0]
        terms["rollout"] = error(imagined[:, 1:], goal[:, 1:steps])
    return terms


def _inverse(
    model: WorldModel, actions: Tensor, config: ObjectiveConfig, z: Tensor, predicted: Tensor
) -> dict[str, Tensor]:
    """Recover the (B, T-1, K, A) blocks from encoded and from predicted neighbours."""
    ends = {"inverse_encoded": z[:, 1:], "inverse_predicted": predicted}
    return {
        name: prediction_error(model.recover_actions(z[:, :-1], end), actions)
        for name, end in ends.items()
        if getattr(config, name) > 0
    }
