"""The action-conditioned world model: encode pictures, roll plans out in latent space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from goalsight.models.encoder import ConvEncoder
from goalsight.models.predictor import InverseDynamics, ResidualPredictor

Size = Literal["tiny", "small", "base"]


@dataclass(frozen=True, kw_only=True)
class WorldModelConfig:
    """What a world model is made of: `size` is the one dial, the rest describes the robot."""

    size: Size = "tiny"
    """Sets every width and depth: tiny 0.9M parameters, small about 4M, base about 16M."""
    image_size: int = 64
    """Height and width of the pictures [pixels], a multiple of 16."""
    action_dim: int = 4
    """A, numbers in an action."""
    frameskip: int = 5
    """K, control steps between two frames the model sees."""
    residual: bool = True
    """Predict the change of the latent instead of the next latent."""

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise ValueError(f"size must be one of {', '.join(SIZES)}, got {self.size!r}")
        if self.action_dim < 1 or self.frameskip < 1:
            raise ValueError(
                f"action_dim and frameskip must be positive, got {self.action_dim} and "
                f"{self.frameskip}"
            )


@dataclass(frozen=True, kw_only=True)
class Widths:
    """What a size stands for."""

    stem: int
    """Channels of the encoder's first layer."""
    hidden: int
    """Units between the encoder's feature map and the latent."""
    latent: int
    """D, dimensions of the latent."""
    predictor: int
    """Units of the predictor."""
    depth: int
    """Residual blocks of the predictor."""


SIZES: dict[str, Widths] = {
    "tiny": Widths(stem=32, hidden=256, latent=64, predictor=256, depth=2),
    "small": Widths(stem=64, hidden=512, latent=128, predictor=512, depth=3),
    "base": Widths(stem=128, hidden=1024, latent=192, predictor=1024, depth=4),
}


class WorldModel(nn.Module):
    """Everything an agent needs: `encode` pictures, `rollout` plans.

    Latents are float32; under autocast the matrix products inside run in the lower precision.
    """

    def __init__(self, config: WorldModelConfig) -> None:
        """Build an untrained model."""
        super().__init__()
        self.config = config
        widths = SIZES[config.size]
        values = config.frameskip * config.action_dim
        self.latent_dim = widths.latent
        self.encoder = ConvEncoder(config.image_size, widths.stem, widths.hidden, widths.latent)
        self.predictor = ResidualPredictor(
            widths.latent, values, widths.predictor, widths.depth, config.residual
        )
        self.inverse = InverseDynamics(widths.latent, values, widths.predictor)

    def encode(self, frames: Tensor) -> Tensor:
        """Latents of frames, each encoded alone.

        Args:
            frames: (*B, T, C, H, W) uint8 RGB.

        Returns:
            (*B, T, P, D) float32 latents.

        Raises:
            ValueError: if the frames are not of the model's image size.
        """
        size = self.config.image_size
        if frames.shape[-3:] != (3, size, size):
            raise ValueError(
                f"this model sees pictures of (3, {size}, {size}), got {tuple(frames.shape[-3:])}"
            )
        z: Tensor = self.encoder(frames.flatten(0, -4))
        return z.reshape(*frames.shape[:-3], *z.shape[1:])

    def step(self, z: Tensor, block: Tensor) -> Tensor:
        """One predicted step: (*B, P, D) and (*B, K, A) to (*B, P, D)."""
        out: Tensor = self.predictor(z, block)
        return out

    def rollout(self, context: Tensor, plans: Tensor) -> Tensor:
        """Imagine plans from one observed history.

        Args:
            context: (*B, T, P, D) latents of the frames seen so far; the last is now. Encoded
                once, shared by all plans.
            plans: (*B, N, H, K, A) candidate plans.

        Returns:
            (*B, N, H, P, D) predicted latents after each block.
        """
        z = repeat(context[..., -1, :, :], "... p d -> ... n p d", n=plans.shape[-4])
        predicted = []
        for block in plans.unbind(-3):
            z = self.step(z, block)
            predicted.append(z)
        return torch.stack(predicted, dim=-3)

    def recover_actions(self, z: Tensor, z_next: Tensor) -> Tensor:
        """Inverse dynamics: two latents (*B, P, D) to the (*B, K, A) block between them."""
        flat: Tensor = self.inverse(z.flatten(-2), z_next.flatten(-2))
        blocks: Tensor = rearrange(flat, "... (k a) -> ... k a", k=self.config.frameskip)
        return blocks
