"""What a world model is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Size = Literal["tiny", "small", "base"]
Conditioning = Literal["tokens", "adaln"]
OWN = "own"
"""What `encoder` says of a model whose encoder and predictor were made elsewhere."""


@dataclass(frozen=True, kw_only=True)
class WorldModelConfig:
    """What a world model is made of: `size` is the one dial, the rest describes the robot."""

    size: Size = "tiny"
    """Sets every width and depth: tiny 0.9M parameters, small about 4M, base about 16M."""
    latent: int = 0
    """D, dimensions of the latent of encoder `conv`; 0 for the size's."""
    image_size: int = 64
    """Height and width of the pictures [pixels], a multiple of 16."""
    action_dim: int = 4
    """A, numbers in an action."""
    frameskip: int = 5
    """K, control steps between two frames the model sees."""
    encoder: str = "conv"
    """What turns pictures into latents: conv, conv-grid, pixels, vjepa, timm:NAME, hf:NAME, or one
    that is registered."""
    encoder_options: dict[str, Any] = field(default_factory=dict)
    """What an encoder made elsewhere, or registered, needs to be built again, plain values."""
    standardise: bool = False
    """Show encoder `conv` each picture with its colour channels at zero mean and unit variance."""
    freeze_encoder: bool = False
    """Train the predictor alone, on latents that stay as they are."""
    predictor: str = "residual"
    """What predicts the next latent: residual, direct, affine, grid, pixel, transformer, or one
    that is registered."""
    proprio_dim: int = 0
    """Q, numbers of proprio the predictor sees and predicts; 0 for none."""
    inverse: bool = True
    """Whether there is a head that recovers actions from two latents."""
    context: int = 1
    """Frames the predictor looks back, the present one included, 1 to 3."""
    conditioning: Conditioning = "tokens"
    """How actions and proprio enter the transformer: tokens of their own, or adaptive norms."""
    predictor_options: dict[str, Any] = field(default_factory=dict)
    """Of a registered predictor; or of the transformer where they differ from the size's, such as
    `{depth: 6, heads: 16, head: 64}`; `goalsight.models.action_predictor.TransformerWidths` lists
    them."""
    heads: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Options of the optional heads there are, by name; `goalsight.models.heads` lists them."""

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise ValueError(f"size must be one of {', '.join(SIZES)}, got {self.size!r}")
        if self.action_dim < 1 or self.frameskip < 1:
            raise ValueError(
                f"action_dim and frameskip must be positive, got {self.action_dim} and "
                f"{self.frameskip}"
            )
        if self.latent < 0:
            raise ValueError(f"latent must not be negative, got {self.latent}")
        if self.proprio_dim < 0 or not 1 <= self.context <= 3:
            raise ValueError(
                f"proprio_dim must not be negative and context in [1, 3], got "
                f"{self.proprio_dim} and {self.context}"
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
