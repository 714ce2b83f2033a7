"""A decoder from latents back to pictures, for looking only: nothing is trained through it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from goalsight.errors import CheckpointError
from goalsight.io import replace_file
from goalsight.models.encoder import check_multiple_of_16
from goalsight.models.pixels import Upsampler, to_uint8

DECODER = "decoder.safetensors"
"""Name of the file that a decoder is kept in."""


@dataclass(frozen=True, kw_only=True)
class DecoderShape:
    """What a decoder is made for."""

    patches: int
    """P, tokens of a picture."""
    dim: int
    """D, dimensions of a token."""
    image_size: int
    """Height and width of the pictures [pixels], a multiple of 16."""
    width: int
    """Channels of the last layer; the layers before have two and four times as many."""


class Decoder(nn.Module):
    """Latents of one frame to its picture; the layers of the encoders, mirrored.

    A square grid of tokens is laid out as a map, anything else goes through one linear layer.
    """

    def __init__(self, shape: DecoderShape) -> None:
        """Build the layers.

        Raises:
            ValueError: if the pictures' size is not a multiple of 16.
        """
        super().__init__()
        check_multiple_of_16(shape.image_size)
        self.shape, self.side = shape, shape.image_size // 16
        features, grid = 4 * shape.width, math.isqrt(shape.patches)
        self.grid = grid if shape.patches > 1 and grid**2 == shape.patches else None
        self.into = (
            nn.Linear(shape.dim, features)
            if self.grid
            else nn.Linear(shape.patches * shape.dim, features * self.side**2)
        )
        self.mix = nn.Conv2d(features, features, kernel_size=3, padding=1)
        self.upsampler = Upsampler(shape.width, 3)

    def forward(self, z: Tensor) -> Tensor:
        """Decode.

        Args:
            z: (N, P, D) latents.

        Returns:
            (N, 3, H, W) float32 pictures, about [-1, 1].
        """
        if self.grid:
            features = rearrange(self.into(z), "n (h w) c -> n c h w", h=self.grid)
            features = functional.interpolate(features, size=(self.side, self.side))
        else:
            flat = self.into(z.flatten(1))
            features = rearrange(flat, "n (h w c) -> n c h w", h=self.side, w=self.side)
        mixed = torch.relu(self.mix(torch.relu(features)))
        pictures: Tensor = self.upsampler(mixed).float()
        return pictures

    @torch.no_grad()
    def pictures(self, z: Tensor) -> Tensor:
        """(*B, P, D) latents to (*B, 3, H, W) uint8 pictures."""
        return to_uint8(self(z.flatten(0, -3))).reshape(
            *z.shape[:-2], 3, self.shape.image_size, self.shape.image_size
        )


def save_decoder(path: Path, decoder: Decoder, checkpoint_sha256: str) -> None:
    """Write a decoder beside what it is made for.

    Args:
        path: file to write.
        decoder: on any device.
        checkpoint_sha256: identity of the world model whose latents it decodes.
    """
    about = {name: str(value) for name, value in asdict(decoder.shape).items()}
    weights = {name: tensor.cpu().contiguous() for name, tensor in decoder.state_dict().items()}
    replace_file(path, safetensors.torch.save(weights, {**about, "checkpoint": checkpoint_sha256}))


def load_decoder(path: Path, checkpoint_sha256: str) -> Decoder:
    """Read a decoder; loading never runs code that came with it.

    Args:
        path: file that `save_decoder` wrote.
        checkpoint_sha256: identity of the world model whose latents are to be decoded.

    Raises:
        CheckpointError: if it is damaged or was trained for another checkpoint.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            about = dict(file.metadata() or {})
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        trained_for = about.pop("checkpoint")
        decoder = Decoder(DecoderShape(**{name: int(value) for name, value in about.items()}))
        decoder.load_state_dict(weights)
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} is not a decoder ({error}); delete it to train another"
        ) from None
    if trained_for != checkpoint_sha256:
        raise CheckpointError(
            f"{path} was trained for another checkpoint ({trained_for[:12]}, not "
            f"{checkpoint_sha256[:12]}); give another --out, or delete it"
        )
    return decoder.eval()
