"""What a world model is trained to do: the loss of a batch, as a pure function of model and clip.

With z_t the latent of frame t, a_t the action block that runs from it and q_t the proprio there,
the loss that is minimised by default is

          |p(z_t, a_t) - z_t+1|^2                    prediction: one step, from encoded frames
    +     |p(z_0; a_0 ... a_k-1) - z_k|^2            rollout: open loop, k = 2, 3
    + 0.1 SIGReg(z_t)                                sigreg: latents of a batch stay Gaussian
    +     |i(z_t, z_t+1) - a_t|^2                    inverse_encoded: latents show actions
    + 0.3 |i(z_t, p(z_t, a_t)) - a_t|^2              inverse_predicted
    +     |q^_t+1 - q_t+1|^2                         proprio, in models that see it

LeWM (arXiv:2603.19312) with open-loop steps and inverse dynamics. Gradients flow into the targets
z_t+1 as well; what keeps them from collapsing is SIGReg. Everything else is an alternative that a
setting chooses: other ways not to collapse are in `goalsight.losses`, by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from goalsight.clip import Clip
from goalsight.losses import AntiCollapseLoss, Targets, curvature
from goalsight.models import WorldModel
from goalsight.models.heads.actor import Actor
from goalsight.ranks import gather_batch
from goalsight.registry import find, register
from goalsight.training.data import GoalClip, latents_of

Distance = Literal["l2", "l1"]
WITH_TARGET_ENCODER = ("ema", "dino")
"""Ways not to collapse whose targets come from a target encoder, without gradient."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """Loss terms and their weights. Weight 0 switches a term off; it is not computed then."""

    anti_collapse: str = "sigreg"
    """What keeps latents from collapsing: sigreg, vicreg, barlow, infonce, ema, dino, none, or a
    registered loss. `ema` and `dino` predict a target encoder's latents; the others let the
    gradient into the targets too. Ignored where nothing of the encoder is trained: a frozen
    encoder cannot collapse."""
    anti_collapse_options: dict[str, Any] = field(default_factory=dict)
    """Plain values for a registered loss; the ones that ship have settings of their own."""
    prediction: float = 1.0
    """One step from an encoded frame to the next."""
    rollout: float = 1.0
    """Open loop from the first frame of the window, steps 2 to `rollout_steps`."""
    rollout_steps: int = 3
    """Open-loop steps, 1 to 4, fewer than the frames of a window; 1 is teacher forcing alone, and
    so are windows of two frames."""
    distance: Distance = "l2"
    """Of predictions from their targets: squared error, or `l1`, V-JEPA's absolute error."""
    normalise_targets: bool = False
    """Predict layer-normed targets, as V-JEPA does; made for encoders whose latents are so."""
    proprio: float = 1.0
    """Predict the standardised proprio one block later, in models that see it."""
    inverse_encoded: float = 1.0
    """Recover the action block from two encoded neighbours."""
    inverse_predicted: float = 0.3
    """Recover the action block from an encoded frame and its one-step prediction."""
    behaviour: float = 0.0
    """Say what was done on the way to a picture that the episode reached later, as an actor does:
    inverse dynamics over many steps, its gradient in the encoder; 0.1 is a start. The actor that
    learns it stays in the checkpoint."""
    straightening: float = 0.0
    """Recorded motion should be a straight line in latent space; 0.1 is a start."""
    sigreg: float = 0.1
    """With `sigreg`: keep the latents of a batch Gaussian."""
    sigreg_directions: int = 64
    """Random directions the latents are projected on."""
    sigreg_knots: int = 17
    """Points at which the characteristic functions are compared."""
    variance: float = 1.0
    """With `vicreg`: every dimension keeps a standard deviation of 1."""
    covariance: float = 0.04
    """With `vicreg`: no two dimensions say the same."""
    barlow: float = 1.0
    """With `barlow`: predictions and targets correlate as the identity."""
    barlow_off_diagonal: float = 0.05
    """Of it, the weight of what two different dimensions share; the paper's 0.005 is for latents
    a hundred times wider."""
    infonce: float = 0.1
    """With `infonce`: a prediction is nearer to its target than to the rest of the batch."""
    infonce_temperature: float = 0.1
    """Divides the cosine similarities."""
    dino: float = 0.1
    """With `dino`: prediction and target answer alike which prototype they are."""
    dino_prototypes: int = 256
    """Prototypes there are."""
    ema_momentum: float = 0.99
    """With `ema` and `dino`: share of the target encoder that a step keeps."""

    def __post_init__(self) -> None:
        try:
            find("loss", self.anti_collapse)
        except ValueError as error:
            raise ValueError(f"anti_collapse: {error}") from None
        if self.distance not in get_args(Distance):
            raise ValueError(f"distance must be l2 or l1, got {self.distance!r}")
        for name in _WEIGHTS:
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        for name, least in (("sigreg_directions", 1), ("sigreg_knots", 1), ("dino_prototypes", 2)):
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not 1 <= self.rollout_steps <= 4:
            raise ValueError(f"rollout_steps must be in [1, 4], got {self.rollout_steps}")
        if not self.infonce_temperature > 0:
            raise ValueError(f"infonce_temperature must be above 0, got {self.infonce_temperature}")
        if not 0 <= self.ema_momentum <= 1:
            raise ValueError(f"ema_momentum must be in [0, 1], got {self.ema_momentum}")


_WEIGHTS = (
    "prediction",
    "rollout",
    "proprio",
    "inverse_encoded",
    "inverse_predicted",
    "behaviour",
    "straightening",
    "sigreg",
    "variance",
    "covariance",
    "barlow",
    "barlow_off_diagonal",
    "infonce",
    "dino",
)


def world_model_losses(
    model: WorldModel,
    clip: Clip,
    config: ObjectiveConfig,
    generator: torch.Generator | None = None,
    targets: Targets | None = None,
) -> dict[str, Tensor]:
    """The loss terms of a batch that weigh something, and their weighted sum.

    In a run of several processes terms on the batch see the batches of all ranks.

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
    aim = z[:, 1:] if targets is None else targets.encode(clip.frames[:, 1:])
    predicted, proprio = model.predict(z[:, :-1], clip.actions, clip.proprio[:, :-1])

    def error(one: Tensor, other: Tensor) -> Tensor:
        return prediction_error(one, other, config.distance, normalise=config.normalise_targets)

    terms: dict[str, Tensor] = {}
    if config.prediction > 0:
        terms["prediction"] = error(predicted, aim)
    steps = min(config.rollout_steps, clip.length - 1)
    if config.rollout > 0 and steps > 1:
        plan = clip.actions[:, None, :steps]
        imagined = model.rollout(z[:, :1], plan, proprio=clip.proprio[:, :1])[:, 0]
        terms["rollout"] = error(imagined[:, 1:], aim[:, 1:steps])
    if config.inverse_encoded > 0:
        recovered = model.recover_actions(z[:, :-1], z[:, 1:])
        terms["inverse_encoded"] = prediction_error(recovered, clip.actions)
    if config.inverse_predicted > 0:
        recovered = model.recover_actions(z[:, :-1], predicted)
        terms["inverse_predicted"] = prediction_error(recovered, clip.actions)
    if there is not None and isinstance(clip, GoalClip) and config.behaviour > 0:
        terms["behaviour"] = _behaviour(model, clip, z, there)
    if proprio is not None and config.proprio > 0:
        known = model.standardise(clip.proprio[:, 1:])
        assert known is not None, "a model that predicts proprio sees it"
        terms["proprio"] = prediction_error(proprio, known)
    if encoder_learns(model):
        keep_apart: AntiCollapseLoss = find("loss", config.anti_collapse)
        # Lower precision would be as coarse as the deviations that the statistics measure.
        with torch.autocast(z.device.type, enabled=False):
            terms |= keep_apart(z, predicted, config, generator)
        if config.straightening > 0 and clip.length > 2:
            terms["straightening"] = curvature(z.flatten(-2))
    if targets is not None and targets.head is not None:
        terms["dino"] = targets.distil(predicted, aim)
    weighted = (getattr(config, name, 1.0) * term for name, term in terms.items())
    return {"loss": sum(weighted, z.new_zeros(())), **terms}


def prediction_error(
    predicted: Tensor, target: Tensor, distance: Distance = "l2", *, normalise: bool = False
) -> Tensor:
    """Mean squared or absolute error between predicted and encoded latents.

    L1 on layer-normed targets is V-JEPA 2's choice (Assran et al. 2025, arXiv:2506.09985).

    Args:
        predicted: (*B, D) predictions.
        target: (*B, D) encoder outputs; gradients flow into both unless the caller detaches.
        distance: `l2`, the squared error, or `l1`, the absolute one.
        normalise: compare with the layer-normed target (over D, without affine parameters). The
            prediction is left as it is: it learns to be normalised.

    Returns:
        () loss.

    Raises:
        ValueError: if there is no such distance.
    """
    if distance not in {"l2", "l1"}:
        raise ValueError(f"distance must be l2 or l1, got {distance!r}")
    predicted, target = predicted.float(), target.float()
    if normalise:
        target = functional.layer_norm(target, target.shape[-1:])
    error = functional.mse_loss if distance == "l2" else functional.l1_loss
    return error(predicted, target)


@register("loss", "sigreg")
def sigreg_terms(
    z: Tensor, _predicted: Tensor, config: ObjectiveConfig, generator: torch.Generator | None = None
) -> dict[str, Tensor]:
    """SIGReg of the frames of a batch, the default way not to collapse.

    Taken time step by time step, since the frames of one window are not independent; every token of
    a grid (P > 1) is a row of its own. See `goalsight.losses.AntiCollapseLoss`.
    """
    if not config.sigreg > 0:
        return {}
    steps = rearrange(gather_batch(z.float()), "b t p d -> t (b p) d")
    found = [
        sigreg(rows, config.sigreg_directions, config.sigreg_knots, generator) for rows in steps
    ]
    return {"sigreg": torch.stack(found).mean()}


def sigreg(
    z: Tensor,
    directions: int = 64,
    knots: int = 17,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Sketched isotropic Gaussian regularisation: how far a batch is from N(0, I).

    Along random directions the empirical characteristic function of the batch is compared with
    the Gaussian's (Epps-Pulley), LeJEPA (Balestriero and LeCun 2025, arXiv:2511.08544) as used
    by LeWM (arXiv:2603.19312). It keeps latents from collapsing without targets or negatives.

    Args:
        z: (B, D) latents; the statistic is over B.
        directions: random unit vectors, drawn afresh at each call.
        knots: points in [0, 3] at which the characteristic functions are compared.
        generator: source of the directions.

    Returns:
        () statistic >= 0, times B as in the literature so that it grows with the evidence.

    Raises:
        ValueError: if `z` is not (B, D) with at least two rows.
    """
    if z.ndim != 2 or len(z) < 2:
        raise ValueError(f"z must be (B, D) with B >= 2, got {tuple(z.shape)}")
    batch, dim = z.shape
    normals = torch.randn(dim, directions, generator=generator, device=z.device)
    projected = z.float() @ functional.normalize(normals, dim=0)
    t = torch.linspace(0.0, 3.0, knots, device=z.device)
    gaussian = torch.exp(-0.5 * t**2)
    angles = projected[..., None] * t
    error = (angles.cos().mean(0) - gaussian) ** 2 + angles.sin().mean(0) ** 2
    return batch * torch.trapezoid(error * gaussian, t).mean()


def encoder_learns(model: WorldModel) -> bool:
    """Whether anything of the encoder is trained; if not, its latents cannot collapse."""
    return any(parameter.requires_grad for parameter in model.encoder.parameters())


def make_targets(model: WorldModel, config: ObjectiveConfig) -> Targets | None:
    """The target encoder that an objective asks for, or None."""
    if config.anti_collapse not in WITH_TARGET_ENCODER or not encoder_learns(model):
        return None
    wants_prototypes = config.anti_collapse == "dino" and config.dino > 0
    prototypes = config.dino_prototypes if wants_prototypes else 0
    return Targets(model.encoder, model.latent_dim, config.ema_momentum, prototypes)


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


_WEIGHT_OF: dict[str, str] = {
    "sigreg": "sigreg",
    "vicreg": "covariance",
    "barlow": "barlow",
    "infonce": "infonce",
    "dino": "dino",
}
"""The weight to raise first."""


def likely_cause(config: ObjectiveConfig) -> str:
    """Why latents trained so may have collapsed and what to do, for one line to the user."""
    kind = config.anti_collapse
    if kind == "none":
        return "nothing keeps them apart (--objective.anti_collapse none); choose sigreg"
    if kind == "ema":
        return (
            "a target encoder alone holds on an edge; raise --objective.ema_momentum above "
            f"{config.ema_momentum:g}, lower --optimiser.lr, or choose sigreg"
        )
    if kind not in _WEIGHT_OF:
        return f"--objective.anti_collapse {kind} may be too weak for the other terms"
    name = _WEIGHT_OF[kind]
    return (
        f"--objective.{name} {getattr(config, name):g} may be too small for the other terms; "
        "raise it, or lower --optimiser.lr"
    )
