"""V-JEPA's video encoder, and the same encoder as an image encoder of a world model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional as F

from goalsight.models.config import WorldModelConfig
from goalsight.models.encoder import Encoder
from goalsight.models.vit import Block, grid_positions, initialise, rotary
from goalsight.registry import register

VideoSize = Literal["tiny", "small", "base", "large", "huge", "giant"]
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of the channels in [0, 1] that V-JEPA's pictures are scaled by."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a size stands for: the encoder's shape, and its narrow predictor's."""

    width: int
    """D, channels of a token."""
    depth: int
    """Transformer blocks."""
    heads: int
    """Of each attention."""
    mlp_ratio: float
    """Units of a block's perceptron, as a multiple of `width`."""
    predictor: tuple[int, int, int]
    """Width, depth and heads of the mask predictor."""


SHAPES: dict[str, Shape] = {
    "tiny": Shape(width=96, depth=4, heads=3, mlp_ratio=4.0, predictor=(64, 2, 2)),
    "small": Shape(width=384, depth=12, heads=6, mlp_ratio=4.0, predictor=(192, 6, 6)),
    "base": Shape(width=768, depth=12, heads=12, mlp_ratio=4.0, predictor=(384, 12, 12)),
    "large": Shape(width=1024, depth=24, heads=16, mlp_ratio=4.0, predictor=(384, 12, 12)),
    "huge": Shape(width=1280, depth=32, heads=16, mlp_ratio=4.0, predictor=(384, 12, 12)),
    "giant": Shape(width=1408, depth=40, heads=22, mlp_ratio=48 / 11, predictor=(384, 12, 12)),
}


@dataclass(frozen=True, kw_only=True)
class VideoEncoderConfig:
    """What a video encoder is made of; a number that is 0 is the size's."""

    size: VideoSize = "tiny"
    """The dial: tiny 0.5M parameters, small 22M, base 86M, large 300M, huge 630M, giant 1B."""
    image_size: int = 64
    """Height and width of the pictures [pixels], a multiple of `patch`."""
    patch: int = 16
    """Side of a patch [pixels]."""
    tubelet: int = 2
    """Frames in a token."""
    width: int = 0
    """D, channels of a token."""
    depth: int = 0
    """Transformer blocks."""
    heads: int = 0
    """Of each attention."""
    mlp_ratio: float = 0.0
    """Units of a block's perceptron, as a multiple of `width`."""
    norm_eps: float = 1e-6
    """Of the layer norms."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Subtracted from the channels in [0, 1]."""
    std: tuple[float, float, float] = IMAGENET_STD
    """What they are divided by then."""

    def __post_init__(self) -> None:
        if self.size not in SHAPES:
            raise ValueError(f"size must be one of {', '.join(SHAPES)}, got {self.size!r}")
        for name in ("width", "depth", "heads", "mlp_ratio"):
            if not getattr(self, name):
                object.__setattr__(self, name, getattr(SHAPES[self.size], name))
        for name in ("mean", "std"):  # YAML knows lists only
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and not value > 0:
                raise ValueError(f"{field.name} must be above 0, got {value}")
        if self.image_size % self.patch:
            raise ValueError(
                f"image_size must be a multiple of patch, got {self.image_size} and {self.patch}"
            )

    def grid(self, frames: int) -> tuple[int, int, int]:
        """Tubelets, rows and columns of a video of so many frames.

        Raises:
            ValueError: if the frames do not fill whole tubelets.
        """
        if frames < 1 or frames % self.tubelet:
            raise ValueError(
                f"a video needs a multiple of {self.tubelet} frames, the tubelet, got {frames}"
            )
        side = self.image_size // self.patch
        return frames // self.tubelet, side, side


class VideoEncoder(nn.Module):
    """A ViT over tubelets (Assran et al. 2025, arXiv:2506.09985)."""

    scale: Tensor
    shift: Tensor

    def __init__(self, config: VideoEncoderConfig) -> None:
        """Build an untrained encoder.

        Raises:
            ValueError: if width and heads do not fit each other.
        """
        super().__init__()
        self.config = config
        width, hidden = config.width, int(config.width * config.mlp_ratio)
        # A convolution that does not overlap, written as a matrix product.
        pixels = config.tubelet * config.patch**2
        self.embed = nn.Linear(3 * pixels, width)
        mean, std = torch.tensor(config.mean), torch.tensor(config.std)
        for name, values in (("scale", 1 / (255 * std)), ("shift", -mean / std)):
            repeated = values.repeat_interleave(pixels)
            self.register_buffer(name, repeated, persistent=False)
        self.blocks = nn.ModuleList(
            Block(width, config.heads, hidden, config.norm_eps) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(width, eps=config.norm_eps)
        rotary(torch.zeros(1, 3), width // config.heads)  # refuses what it cannot rotate
        initialise(self.blocks, self.embed)

    def forward(self, video: Tensor, keep: Tensor | None = None) -> Tensor:
        """Encode videos, or those of their tokens that are visible.

        Args:
            video: (N, T, 3, H, W) RGB in [0, 255], uint8 or float; T a multiple of the tubelet.
            keep: (N, M) indices of visible tokens; the others are never looked at.

        Returns:
            (N, M, D) tokens, all T/tubelet * (H/patch)^2 of them without `keep`.

        Raises:
            ValueError: if the frames do not fit the config.
        """
        return self.levels(video, (self.config.depth,), keep)

    def levels(self, video: Tensor, after: Sequence[int], keep: Tensor | None = None) -> Tensor:
        """Tokens at several depths side by side, as deep supervision wants them.

        Args:
            video: as above.
            after: numbers of the blocks whose output is wanted, rising, from 1 to the depth. The
                last block's passes the encoder's own norm, the others a norm without parameters.
            keep: as above.

        Returns:
            (N, M, len(after) * D) tokens.

        Raises:
            ValueError: if the frames do not fit the config.
        """
        tubelets, positions = self._tubelets(video)
        if keep is not None:  # before anything is computed
            tubelets, positions = take(tubelets, keep), positions[keep]
        tokens = self.embed(tubelets.float() * self.scale + self.shift)
        by = rotary(positions, self.config.width // self.config.heads)
        found = []
        for number, block in enumerate(self.blocks, start=1):
            tokens = block(tokens, by)
            if number in after:
                last = number == self.config.depth
                found.append(self.norm(tokens) if last else F.layer_norm(tokens, tokens.shape[-1:]))
        return found[0] if len(found) == 1 else torch.cat(found, dim=-1)

    def _tubelets(self, video: Tensor) -> tuple[Tensor, Tensor]:
        """(N, P, 3 * tubelet * patch^2) numbers in [0, 255] and the tokens' (P, 3) positions."""
        config, size = self.config, self.config.image_size
        if video.shape[-3:] != (3, size, size):
            raise ValueError(
                f"this encoder sees pictures of (3, {size}, {size}), got {tuple(video.shape[-3:])}"
            )
        grid = config.grid(video.shape[-4])
        tubelets = rearrange(
            video,
            "n (t i) c (h j) (w k) -> n (t h w) (c i j k)",
            i=config.tubelet,
            j=config.patch,
            k=config.patch,
        )
        return tubelets, grid_positions(grid, video.device)


def take(tokens: Tensor, indices: Tensor) -> Tensor:
    """Some tokens of each video: (N, P, D) and (N, M) indices to (N, M, D)."""
    return tokens[torch.arange(len(tokens), device=tokens.device)[:, None], indices]


class FrameEncoder(Encoder):
    """A video encoder that sees one picture at a time, as V-JEPA 2-AC uses it.

    The picture is repeated to fill a tubelet; its P tokens pass a layer norm without parameters.
    Pictures of another size are resized.
    """

    def __init__(self, config: VideoEncoderConfig) -> None:
        """Build an untrained encoder."""
        super().__init__()
        self.video = VideoEncoder(config)
        self.patches, self.dim = (config.image_size // config.patch) ** 2, config.width

    @classmethod
    def from_options(cls, options: dict[str, Any], image_size: int) -> FrameEncoder:
        """An untrained encoder as `WorldModelConfig.encoder_options` describes it.

        Args:
            options: fields of `VideoEncoderConfig`.
            image_size: of the world model's pictures, where the options do not say [pixels].

        Raises:
            ValueError: if an option is unknown or refused.
        """
        known = [field.name for field in fields(VideoEncoderConfig)]
        if unknown := sorted(set(options) - set(known)):
            raise ValueError(
                f"encoder_options has no {unknown[0]!r}; encoder vjepa knows: {', '.join(known)}"
            )
        return cls(VideoEncoderConfig(**{"image_size": image_size, **options}))

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 pictures to (N, P, D) float32 latents."""
        size = self.video.config.image_size
        if pictures.shape[-1] != size or pictures.shape[-2] != size:
            pictures = F.interpolate(
                pictures.float(), (size, size), mode="bilinear", antialias=True
            )
        clip = repeat(pictures, "n c h w -> n t c h w", t=self.video.config.tubelet)
        z: Tensor = self.video(clip).float()
        return F.layer_norm(z, z.shape[-1:])


@register("encoder", "vjepa")
def build_vjepa(config: WorldModelConfig) -> Encoder:
    """Encoder `vjepa` of a config."""
    return FrameEncoder.from_options(config.encoder_options, config.image_size)
