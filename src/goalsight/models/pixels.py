"""The generative baseline: the picture itself is the latent, and the predictor draws the next."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from goalsight.models.config import WorldModelConfig
from goalsight.models.encoder import PATCH, ConvTrunk, Encoder, check_multiple_of_16
from goalsight.models.predictor import (
    Predictor,
    PresentPredictor,
    ProprioPort,
    ResidualBlock,
    action_values,
    flat_blocks,
    present_widths,
)
from goalsight.registry import register

MOSTLY_OLD = 3.0
"""Logit by which an untrained model keeps the old picture."""


class PixelEncoder(Encoder):
    """No encoder: P = 1, D = 3 x H x W, the picture in [-1, 1]. It has no parameters."""

    def __init__(self, image_size: int) -> None:
        """Describe the latent; `image_size` is height and width of the pictures [pixels]."""
        super().__init__()
        self.patches, self.dim = 1, 3 * image_size**2

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 pictures to (N, 1, 3 x H x W) float32 in [-1, 1]."""
        return pictures.flatten(1)[:, None].float().mul(2 / 255).sub(1.0)


def to_pictures(z: Tensor, image_size: int) -> Tensor:
    """What `PixelEncoder` made (N, 1, 3 x H x W) as (N, 3, H, W) uint8 pictures again."""
    return to_uint8(z.reshape(-1, 3, image_size, image_size))


def to_uint8(pictures: Tensor) -> Tensor:
    """Pictures with values in [-1, 1], of any shape, as uint8; values outside are cut off."""
    return pictures.float().add(1.0).mul(127.5).round().clamp(0, 255).to(torch.uint8)


class Upsampler(nn.Module):
    """The mirror of `ConvTrunk`: a map of 1/16 of the resolution becomes a picture."""

    def __init__(self, width: int, channels: int) -> None:
        """Build the layers.

        Args:
            width: channels of the last hidden layer; those before have two and four times as many.
            channels: of the picture.
        """
        super().__init__()
        self.layers = nn.Sequential(
            nn.ConvTranspose2d(4 * width, 2 * width, kernel_size=4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, kernel_size=4, stride=2, padding=1),
            nn.ReLU(),
        )
        self.last = nn.Linear(width, PATCH * PATCH * channels)

    def forward(self, features: Tensor) -> Tensor:
        """(N, 4 x width, H/16, W/16) map to (N, channels, H, W)."""
        patches: Tensor = self.last(rearrange(self.layers(features), "n c h w -> n h w c"))
        return rearrange(patches, "n h w (i j c) -> n c (h i) (w j)", i=PATCH, j=PATCH)


class PixelPredictor(PresentPredictor):
    """Draws the next picture: next = (1 - m) picture + m drawn, fed back in rollouts.

    The convolutional layers of the encoders, an action-conditioned perceptron as wide and deep as
    that of the small latent models over the whole picture, and the layers mirrored, which draw a
    picture and a mask m in [0, 1] that says where it is new. Keeping the rest of the old picture
    is for pixels what the residual step is for latents (Finn et al. 2016, arXiv:1605.07157). The
    baseline for what predicting pixels costs and buys.
    """

    def __init__(
        self,
        image_size: int,
        action_values: int,
        stem: int,
        width: int,
        depth: int,
        *,
        proprio: int = 0,
    ) -> None:
        """Build the layers.

        Args:
            image_size: height and width of the pictures [pixels], a multiple of 16.
            action_values: K * A, numbers in an action block.
            stem: channels of the first convolutional layer.
            width: hidden units.
            depth: residual blocks.
            proprio: Q, numbers of proprio seen and predicted; 0 for none.

        Raises:
            ValueError: if `image_size` is not a multiple of 16.
        """
        super().__init__()
        check_multiple_of_16(image_size)
        self.image_size, self.side = image_size, image_size // 16
        features = 4 * stem * self.side**2
        self.trunk, self.upsampler = ConvTrunk(stem), Upsampler(stem, 4)
        self.from_picture = nn.Linear(features, width)
        self.from_action = nn.Linear(action_values, width, bias=False)
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(depth)))
        self.norm, self.to_map = nn.LayerNorm(width), nn.Linear(width, features)
        self.port = ProprioPort(proprio, width) if proprio else None

    def act(self, actions: Tensor) -> tuple[Tensor, ...]:
        """See `PresentPredictor.act`."""
        return (self.from_action(flat_blocks(actions)),)

    def step(
        self, z: Tensor, acted: tuple[Tensor, ...], proprio: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """See `PresentPredictor.step`; latents are pictures as `PixelEncoder` makes them."""
        pictures = z.reshape(-1, 3, self.image_size, self.image_size)
        patches = rearrange(pictures, "n c (h i) (w j) -> n h w (i j c)", i=PATCH, j=PATCH)
        seen = self.trunk(2.0 * patches)  # [-2, 2], as the encoders have it
        flat = self.from_picture(rearrange(seen, "n c h w -> n (h w c)"))
        hidden = flat.reshape(*z.shape[:-1], -1) + acted[0]
        if self.port is not None:
            hidden = hidden + self.port.embed(proprio)
        hidden = self.norm(self.blocks(torch.relu(hidden)))
        # In a rollout's first step one picture is the start of all plans; it was looked at once.
        seen, pictures = (
            x.reshape(*z.shape[:-1], *x.shape[1:]).expand(*hidden.shape[:-1], *x.shape[1:])
            for x in (seen, pictures)
        )
        seen, pictures = seen.flatten(0, -4), pictures.flatten(0, -4)
        # What is where comes from the map itself, what the action does to it from the perceptron.
        drawn = rearrange(
            self.to_map(hidden.flatten(0, -2)), "n (h w c) -> n c h w", h=self.side, w=self.side
        )
        painted = self.upsampler(torch.relu(seen + drawn)).float()
        mask = torch.sigmoid(painted[:, 3:] - MOSTLY_OLD)
        z_next = (pictures + mask * (painted[:, :3].tanh() - pictures)).reshape(
            *hidden.shape[:-1], -1
        )
        if self.port is None or proprio is None:
            return z_next, None
        return z_next, self.port.step(proprio, hidden)


@register("encoder", "pixels")
def build_pixels(config: WorldModelConfig) -> Encoder:
    """Encoder `pixels` of a config; raises ValueError if the rest of it does not fit."""
    if config.inverse or config.predictor != "pixel":
        raise ValueError(
            "encoder pixels needs predictor pixel and no inverse head: give --model.predictor "
            "pixel --model.inverse false, or all of it at once with --config pixel"
        )
    return PixelEncoder(config.image_size)


@register("predictor", "pixel")
def build_pixel(config: WorldModelConfig, patches: int, dim: int) -> Predictor:
    """Predictor `pixel` of a config; raises ValueError if its encoder does not fit."""
    widths = present_widths(config)
    if (patches, dim) != (1, 3 * config.image_size**2):
        raise ValueError(
            f"predictor pixel draws pictures; it needs --model.encoder pixels, got {config.encoder}"
        )
    return PixelPredictor(
        config.image_size,
        action_values(config),
        widths.stem,
        widths.hidden,
        widths.depth,
        proprio=config.proprio_dim,
    )
