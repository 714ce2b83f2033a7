"""Which losses a world model is trained with, and how much each weighs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from goalsight.losses import Distance

AntiCollapse = Literal["sigreg", "vicreg", "barlow", "ema", "infonce", "dino", "none"]
WITH_TARGET_ENCODER: tuple[AntiCollapse, ...] = ("ema", "dino")
"""Ways not to collapse whose targets come from a target encoder, without gradient."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """Loss terms and their weights. Weight 0 switches a term off; it is not computed then."""

    anti_collapse: AntiCollapse = "sigreg"
    """What keeps latents from collapsing. `ema` and `dino` predict a target encoder's latents;
    the others let the gradient into the targets too. Ignored where nothing of the encoder is
    trained: a frozen encoder cannot collapse."""
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
        if self.anti_collapse not in get_args(AntiCollapse):
            raise ValueError(
                f"anti_collapse must be one of {', '.join(get_args(AntiCollapse))}, got "
                f"{self.anti_collapse!r}"
            )
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
    "prediction", "rollout", "proprio", "inverse_encoded", "inverse_predicted", "behaviour",
    "straightening", "sigreg", "variance", "covariance", "barlow", "barlow_off_diagonal",
    "infonce", "dino",
)  # fmt: skip

_WEIGHT_OF: dict[AntiCollapse, str] = {
    "sigreg": "sigreg", "vicreg": "covariance", "barlow": "barlow", "infonce": "infonce",
    "dino": "dino",
}  # fmt: skip
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
    name = _WEIGHT_OF[kind]
    return (
        f"--objective.{name} {getattr(config, name):g} may be too small for the other terms; "
        "raise it, or lower --optimiser.lr"
    )
