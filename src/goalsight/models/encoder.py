"""Image encoders: a picture becomes a latent."""

from __future__ import annotations

from abc import abstractmethod

import torch
from einops import rearrange
from torch import Tensor, nn

from goalsight.models.config import SIZES, WorldModelConfig
from goalsight.ranks import rank_count, sum_over_ranks
from goalsight.registry import find, register

PATCH = 4
"""Side of the stem's patches [pixels]."""


FLAT = 10.0
"""Variance below which a colour channel of a picture counts as flat when it is standardised."""


class Encoder(nn.Module):
    """What every encoder offers: a picture becomes P tokens of D numbers."""

    patches: int
    """P, tokens of a picture; 1 for a pooled latent."""
    dim: int
    """D, dimensions of a token."""

    @abstractmethod
    def forward(self, pictures: Tensor) -> Tensor:
        """Encode pictures.

        Args:
            pictures: (N, 3, H, W) uint8 RGB.

        Returns:
            (N, P, D) float32 latents.
        """


def build_encoder(config: WorldModelConfig) -> Encoder:
    """The untrained encoder that a config names.

    Raises:
        ValueError: if there is no such encoder; lists those that exist.
    """
    kind = config.encoder.partition(":")[0]  # timm:NAME is of the kind timm
    build = find("encoder", kind)
    if config.latent and kind != "conv":
        raise ValueError(f"latent is the width of encoder conv, encoder {kind} has its own")
    if config.standardise and kind != "conv":
        raise ValueError(
            f"standardise is for encoder conv, encoder {kind} sees pictures as they are"
        )
    encoder: Encoder = build(config)
    return encoder


class ConvTrunk(nn.Module):
    """The convolutional layers that all small models share: 1/16 of the resolution, 4 x `width`."""

    def __init__(self, width: int) -> None:
        """Build the layers; `width` channels first, then two and four times as many."""
        super().__init__()
        # A stride-4 convolution written as a matrix product over 4 x 4 pixel patches: the same
        # function, and on a CPU its backward pass is several times faster.
        self.stem = nn.Linear(PATCH * PATCH * 3, width)
        self.features = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, kernel_size=3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 4 * width, kernel_size=3, stride=2, padding=1),
            nn.ReLU(),
        )

    def forward(self, patches: Tensor) -> Tensor:
        """(N, H/4, W/4, 48) patches, values in [-2, 2], to an (N, 4 x width, H/16, W/16) map."""
        features: Tensor = self.features(rearrange(self.stem(patches), "n h w c -> n c h w"))
        return features


def patchify(pictures: Tensor) -> Tensor:
    """(N, 3, H, W) uint8 pictures to (N, H/4, W/4, 48) patches with values in [-2, 2]."""
    patches = _cut(pictures)
    # Integers up to 256 are exact in bfloat16, so the cast loses nothing under autocast.
    return patches.to(_compute_dtype(pictures.device)).mul_(1 / 64).sub_(2.0)


def standardise(pictures: Tensor) -> Tensor:
    """Each colour channel of each picture with zero mean and unit variance, as patches.

    How bright and of what tint a scene is goes, where its edges are stays.

    Args:
        pictures: (N, 3, H, W) uint8.

    Returns:
        (N, H/4, W/4, 48) patches.
    """
    scaled = nn.functional.instance_norm(pictures.float(), eps=FLAT)
    return _cut(scaled).to(_compute_dtype(pictures.device))


def check_multiple_of_16(image_size: int) -> None:
    """Three strided layers and a stem need sides that they divide.

    Raises:
        ValueError: if `image_size` is not a multiple of 16.
    """
    if image_size % 16:
        raise ValueError(f"image_size must be a multiple of 16, got {image_size}")


class ConvEncoder(Encoder):
    """A small convolutional encoder with a pooled latent (P = 1).

    A patchifying stem and two strided convolutions keep the last feature map spatial, so that
    where a thing is survives into the latent. The output passes a batch norm without affine
    parameters: SIGReg wants latents that can be Gaussian, which a layer norm's cannot. On a CPU
    it is 5-12 times faster than a ViT of the same quality at 64 pixels.
    """

    def __init__(
        self, image_size: int, width: int, hidden: int, latent: int, *, standardised: bool = False
    ) -> None:
        """Build the layers.

        Args:
            image_size: height and width of the pictures [pixels], a multiple of 16.
            width: channels of the stem; the next layers have two and four times as many.
            hidden: units of the layer between feature map and latent.
            latent: D, dimensions of the latent.
            standardised: whether it sees each picture without its own brightness and tint.

        Raises:
            ValueError: if `image_size` is not a multiple of 16.
        """
        super().__init__()
        check_multiple_of_16(image_size)
        self.patches, self.dim = 1, latent
        self._patchify = standardise if standardised else patchify
        cells = (image_size // 16) ** 2
        self.trunk = ConvTrunk(width)
        self.head = nn.Sequential(
            nn.Linear(4 * width * cells, hidden),
            BatchNorm(hidden),
            nn.ReLU(),
            nn.Linear(hidden, latent),
            BatchNorm(latent, affine=False),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 pictures to (N, 1, D) float32 latents."""
        features = self.trunk(self._patchify(pictures))
        latent: Tensor = self.head(rearrange(features, "n c h w -> n (h w c)"))
        return latent.float()[:, None]


def _cut(pictures: Tensor) -> Tensor:
    """(N, 3, H, W) pictures to (N, H/4, W/4, 48) patches, values as they are."""
    return rearrange(pictures, "n c (h i) (w j) -> n h w (i j c)", i=PATCH, j=PATCH)


def _compute_dtype(device: torch.device) -> torch.dtype:
    """What autocast would run matrix products in here."""
    if torch.is_autocast_enabled(device.type):
        return torch.get_autocast_dtype(device.type)
    return torch.float32


@register("encoder", "conv")
def build_conv(config: WorldModelConfig) -> ConvEncoder:
    """Encoder `conv` of a config."""
    widths = SIZES[config.size]
    return ConvEncoder(
        config.image_size,
        widths.stem,
        widths.hidden,
        config.latent or widths.latent,
        standardised=config.standardise,
    )


class BatchNorm(nn.BatchNorm1d):
    """`nn.BatchNorm1d` whose statistics are those of the batches of all ranks.

    With one process it is PyTorch's own. PyTorch's `SyncBatchNorm` does the same on GPUs and
    refuses a processor; this one runs wherever the process group does, gloo included.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (PyTorch's name)
        """(N, C) or (N, C, L) to the same shape; parts of a batch must be equally large."""
        if not self.training or rank_count() == 1:
            return super().forward(input)
        self._check_input_dim(input)
        axes = [axis for axis in range(input.ndim) if axis != 1]
        with torch.autocast(input.device.type, enabled=False):
            x = input.float()
            count = x.numel() // x.shape[1] * rank_count()
            mean = sum_over_ranks(x.sum(axes, keepdim=True)) / count
            # In two passes: the mean of squares minus the squared mean would cancel digits.
            centred = x - mean
            variance = sum_over_ranks(centred.square().sum(axes, keepdim=True)) / count
            out = centred * (variance + self.eps).rsqrt()
            if self.affine:
                shape = [-1 if axis == 1 else 1 for axis in range(x.ndim)]
                out = out * self.weight.view(shape) + self.bias.view(shape)
        self._follow(mean.detach().flatten(), variance.detach().flatten(), count)
        return out.to(input.dtype)

    def _follow(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics as PyTorch does, with the unbiased variance."""
        if not self.track_running_stats:
            return
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = self.momentum
        if share is None:  # PyTorch's way to ask for the plain average
            share = 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        unbiased = variance * (count / (count - 1))
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)
