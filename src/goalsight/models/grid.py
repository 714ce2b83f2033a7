"""Token grids: an encoder that keeps a latent for every cell of the picture, and its predictor."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from goalsight.models.config import SIZES, WorldModelConfig
from goalsight.models.encoder import BatchNorm, ConvTrunk, Encoder, check_multiple_of_16, patchify
from goalsight.models.predictor import (
    Predictor,
    PresentPredictor,
    ProprioPort,
    ResidualBlock,
    action_values,
    flat_blocks,
    present_widths,
    zero_linear,
)
from goalsight.registry import register

CELL = 16
"""Side of the square of the picture that a token stands for [pixels]."""


class ConvGridEncoder(Encoder):
    """The layers of `ConvEncoder` with a token for each 16 x 16 cell: P = (H / 16)^2.

    A token sees its cell and some of the cells around it. The last batch norm has statistics of
    its own for every number of every token and no affine parameters: a token that only says where
    it is would have no variance to pass on, and objectives against collapse, which measure
    variance, cannot be satisfied by it.
    """

    def __init__(self, image_size: int, width: int, hidden: int, latent: int) -> None:
        """Build the layers.

        Args:
            image_size: height and width of the pictures [pixels], a multiple of 16.
            width: channels of the stem; the next layers have two and four times as many.
            hidden: units of each token's layer between feature map and latent.
            latent: D, dimensions of a token.

        Raises:
            ValueError: if `image_size` is not a multiple of 16.
        """
        super().__init__()
        check_multiple_of_16(image_size)
        self.patches, self.dim = (image_size // CELL) ** 2, latent
        self.trunk = ConvTrunk(width)
        self.head = nn.Sequential(
            nn.Linear(4 * width, hidden),
            nn.LayerNorm(hidden),
            nn.ReLU(),
            nn.Linear(hidden, latent),
        )
        self.norm = BatchNorm(self.patches * latent, affine=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 pictures to (N, P, D) float32 latents, row by row of the picture."""
        tokens = self.head(rearrange(self.trunk(patchify(pictures)), "n c h w -> n (h w) c"))
        normed: Tensor = self.norm(tokens.flatten(1))
        return normed.float().reshape(-1, self.patches, self.dim)


class MixerBlock(nn.Module):
    """Tokens exchange, then each thinks: two residual perceptrons (MLP-Mixer, 2105.01601)."""

    def __init__(self, patches: int, width: int) -> None:
        """Build a block.

        Args:
            patches: P, tokens that exchange.
            width: units of a token.
        """
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(patches, 2 * patches), nn.Linear(2 * patches, patches)
        self.think = ResidualBlock(width)

    def forward(self, x: Tensor) -> Tensor:
        """(..., P, width) to the same shape."""
        mixed = self.down(torch.relu(self.up(self.norm(x).transpose(-1, -2))))
        out: Tensor = self.think(x + mixed.transpose(-1, -2))
        return out


class GridPredictor(PresentPredictor):
    """z_next = z + f(z, a) over all tokens of a frame at once, at the cost of perceptrons.

    What leaves one cell enters the next, so tokens must exchange; a mixer does that at a small
    part of attention's cost on so few tokens. f starts at zero.
    """

    def __init__(
        self,
        patches: int,
        latent: int,
        action_values: int,
        width: int,
        depth: int,
        *,
        proprio: int = 0,
    ) -> None:
        """Build the layers.

        Args:
            patches: P, tokens of a frame.
            latent: D, dimensions of a token.
            action_values: K * A, numbers in an action block.
            width: units of a token.
            depth: mixer blocks.
            proprio: Q, numbers of proprio seen and predicted; 0 for none.
        """
        super().__init__()
        self.from_latent = nn.Linear(latent, width)
        self.from_action = nn.Linear(action_values, width, bias=False)
        self.where = nn.Parameter(0.02 * torch.randn(patches, width))
        self.blocks = nn.Sequential(*(MixerBlock(patches, width) for _ in range(depth)))
        self.norm, self.out = nn.LayerNorm(width), zero_linear(width, latent)
        self.port = ProprioPort(proprio, width) if proprio else None

    def act(self, actions: Tensor) -> tuple[Tensor, ...]:
        """See `PresentPredictor.act`."""
        return (self.from_action(flat_blocks(actions)),)

    def step(
        self, z: Tensor, acted: tuple[Tensor, ...], proprio: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """See `PresentPredictor.step`."""
        hidden = self.from_latent(z) + self.where + acted[0]
        if self.port is not None:
            hidden = hidden + self.port.embed(proprio)
        hidden = self.norm(self.blocks(hidden))
        z_next = z + self.out(hidden).to(z.dtype)
        if self.port is None or proprio is None:
            return z_next, None
        return z_next, self.port.step(proprio, hidden)


@register("encoder", "conv-grid")
def build_conv_grid(config: WorldModelConfig) -> Encoder:
    """Encoder `conv-grid` of a config."""
    widths = SIZES[config.size]
    return ConvGridEncoder(config.image_size, widths.stem, widths.hidden, widths.latent // 2)


@register("predictor", "grid")
def build_grid(config: WorldModelConfig, patches: int, dim: int) -> Predictor:
    """Predictor `grid` of a config."""
    widths = present_widths(config)
    return GridPredictor(
        patches,
        dim,
        action_values(config),
        widths.predictor // 2,
        widths.depth,
        proprio=config.proprio_dim,
    )
