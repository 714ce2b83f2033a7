"""A target encoder, alone (`ema`) or with prototypes (`dino`), in place of a term on the latents.

Predictions aim at what a slow copy of the encoder makes of the next frame (BYOL; Grill et al. 2020,
arXiv:2006.07733). DINO-style self-distillation adds heads that name prototypes: a sharp target
keeps the answers from being uniform, and a centre, the running mean of the target's logits, keeps
one prototype from winning always (Caron et al. 2021, arXiv:2104.14294).
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from goalsight.ranks import gather_batch
from goalsight.registry import register

CENTRE_MOMENTUM = 0.9
"""Share of the centre that a batch keeps, DINO's."""
HIDDEN, BOTTLENECK = 256, 64
"""Widths of the head in front of the prototypes."""


@register("loss", "none")
@register("loss", "ema")
@register("loss", "dino")
def no_terms(
    _z: Tensor,
    _predicted: Tensor,
    _config: Any,  # noqa: ANN401  (as `AntiCollapseLoss` says)
    _generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Nothing on the latents themselves: `ema` and `dino` have `Targets`, `none` has nothing."""
    return {}


class PrototypeHead(nn.Module):
    """Similarities of a latent to learned prototypes: a perceptron, then cosines (DINO)."""

    def __init__(self, latent: int, prototypes: int) -> None:
        """Build a head for latents of `latent` numbers."""
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(latent, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, BOTTLENECK)
        )
        self.prototypes = nn.Parameter(torch.randn(prototypes, BOTTLENECK))

    def forward(self, z: Tensor) -> Tensor:
        """(*B, D) latents to (*B, C) cosines."""
        directions = functional.normalize(self.net(z).float(), dim=-1)
        # The teacher's temperature would magnify the rounding of a lower precision.
        with torch.autocast(z.device.type, enabled=False):
            return directions @ functional.normalize(self.prototypes.float(), dim=-1).T


class Targets(nn.Module):
    """A target encoder and, for `dino`, the heads that name prototypes.

    Part of a training run, not of the model it leaves. The target encoder's batch norms use the
    batch, as BYOL's do (Grill et al. 2020, arXiv:2006.07733).
    """

    centre: Tensor

    def __init__(self, encoder: nn.Module, dim: int, momentum: float, prototypes: int = 0) -> None:
        """Copy the encoder.

        Args:
            encoder: that is followed; (N, 3, H, W) pictures to (N, P, D) latents.
            dim: D.
            momentum: share of the target encoder that an update keeps.
            prototypes: C, of the heads; 0 for none.
        """
        super().__init__()
        self._momentum = momentum
        self.encoder = copy.deepcopy(encoder).requires_grad_(False)
        self.head = self.target_head = None
        if prototypes:
            self.head = PrototypeHead(dim, prototypes)
            self.target_head = copy.deepcopy(self.head).requires_grad_(False)
            self.register_buffer("centre", torch.zeros(prototypes))

    @torch.no_grad()
    def encode(self, frames: Tensor) -> Tensor:
        """(B, T, 3, H, W) uint8 frames to (B, T, P, D) latents without gradient."""
        z: Tensor = self.encoder(frames.flatten(0, 1))
        return z.reshape(*frames.shape[:2], *z.shape[1:])

    def distil(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Do prediction and target name the same prototype? In training the centre follows.

        Args:
            predicted: (B, T, P, D) predictions.
            target: (B, T, P, D) latents of the target encoder.

        Returns:
            () cross-entropy.
        """
        assert self.head is not None, "these targets were made without prototypes"
        assert self.target_head is not None
        with torch.no_grad():
            logits = self.target_head(target)
            teacher = centred_teacher(logits, self.centre)
            if self.training:
                mean = gather_batch(logits).flatten(0, -2).mean(0)
                self.centre.lerp_(mean, 1.0 - CENTRE_MOMENTUM)
        return distillation_loss(self.head(predicted), teacher)

    @torch.no_grad()
    def follow(self, encoder: nn.Module) -> None:
        """Move the target encoder, and the target head, a step towards what is trained."""
        pairs: list[tuple[nn.Module, nn.Module]] = [(self.encoder, encoder)]
        if self.head is not None and self.target_head is not None:
            pairs.append((self.target_head, self.head))
        for slow, fast in pairs:
            for mine, new in zip(slow.parameters(), fast.parameters(), strict=True):
                mine.lerp_(new, 1.0 - self._momentum)


def centred_teacher(logits: Tensor, centre: Tensor, temperature: float = 0.04) -> Tensor:
    """What the target encoder answers, centred and sharpened.

    Args:
        logits: (*B, C) similarities to C prototypes.
        centre: (C,) running mean of such logits.
        temperature: small ones sharpen.

    Returns:
        (*B, C) probabilities without gradient.
    """
    return ((logits.detach().float() - centre) / temperature).softmax(-1)


def distillation_loss(logits: Tensor, teacher: Tensor, temperature: float = 0.1) -> Tensor:
    """Cross-entropy between the target encoder's answer and the prediction's.

    Args:
        logits: (*B, C) the prediction's similarities to the prototypes.
        teacher: (*B, C) probabilities, see `centred_teacher`.
        temperature: of the prediction; larger than the teacher's.

    Returns:
        () loss >= 0.
    """
    return -(teacher * (logits.float() / temperature).log_softmax(-1)).sum(-1).mean()
