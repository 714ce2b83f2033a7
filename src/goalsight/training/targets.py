"""What predictions aim at when it is not the encoder itself: a slow copy of it, and prototypes."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from goalsight.losses import centred_teacher, distillation_loss
from goalsight.models import WorldModel
from goalsight.ranks import gather_batch

CENTRE_MOMENTUM = 0.9
"""Share of the centre that a batch keeps, DINO's."""
HIDDEN, BOTTLENECK = 256, 64
"""Widths of the head in front of the prototypes."""


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

    def __init__(self, model: WorldModel, momentum: float, prototypes: int = 0) -> None:
        """Copy the encoder.

        Args:
            model: whose encoder is followed.
            momentum: share of the target encoder that an update keeps.
            prototypes: C, of the heads; 0 for none.
        """
        super().__init__()
        self._momentum = momentum
        self.encoder = copy.deepcopy(model.encoder).requires_grad_(False)
        self.head = self.target_head = None
        if prototypes:
            self.head = PrototypeHead(model.latent_dim, prototypes)
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
    def follow(self, model: WorldModel) -> None:
        """Move the target encoder, and the target head, a step towards what is trained."""
        pairs: list[tuple[nn.Module, nn.Module]] = [(self.encoder, model.encoder)]
        if self.head is not None and self.target_head is not None:
            pairs.append((self.target_head, self.head))
        for slow, fast in pairs:
            for mine, new in zip(slow.parameters(), fast.parameters(), strict=True):
                mine.lerp_(new, 1.0 - self._momentum)
