"""Macro actions: chunks of several action blocks, as few numbers.

What arms do over seconds is smooth and much alike: a handful of numbers describes it. A search over
these numbers sees farther with as many of them, and stays near what was recorded (macro actions
taken from data, arXiv:2604.03208). The numbers are principal components of recorded chunks, so
decoding is one matrix product.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from goalsight.models.config import WorldModelConfig


class MacroActions(nn.Module):
    """Codes of C numbers for chunks of M action blocks, and back."""

    mean: Tensor
    components: Tensor

    def __init__(
        self, config: WorldModelConfig, patches: int, dim: int, *, blocks: int = 4, codes: int = 8
    ) -> None:
        """A head that has seen no chunk yet; `fit` does.

        Args:
            config: of the world model.
            patches: P; macro actions know no latents.
            dim: D; the same.
            blocks: M, action blocks of a chunk.
            codes: C, numbers that describe one.

        Raises:
            ValueError: if there are no blocks, or not between 1 and as many codes as numbers.
        """
        super().__init__()
        self.blocks, self.codes = blocks, codes
        self.block = (config.frameskip, config.action_dim)
        numbers = blocks * config.frameskip * config.action_dim
        if blocks < 1 or not 1 <= codes <= numbers:
            raise ValueError(
                f"blocks must be at least 1 and codes in [1, {numbers}], the numbers of a chunk; "
                f"got {blocks} and {codes}"
            )
        self.register_buffer("mean", torch.zeros(numbers))
        self.register_buffer("components", torch.zeros(codes, numbers))

    def fit(self, chunks: Tensor) -> float:
        """Take the principal components of recorded chunks.

        Args:
            chunks: (n, M, K, A) recorded action blocks, more of them than codes.

        Returns:
            Share of the chunks' variance that the codes keep, in [0, 1].

        Raises:
            ValueError: if there are not more chunks than codes.
        """
        if len(chunks) <= self.codes:
            raise ValueError(f"{self.codes} codes need more chunks than {len(chunks)}")
        rows = chunks.flatten(1).double()
        mean = rows.mean(0)
        _, spread, axes = torch.linalg.svd(rows - mean, full_matrices=False)
        std = spread / (len(rows) - 1) ** 0.5
        # A component's sign is arbitrary; fixed here, so that the same data give the same codes.
        axes = axes * torch.sign(axes.gather(1, axes.abs().argmax(1, keepdim=True)))
        self.mean.copy_(mean)
        self.components.copy_(axes[: self.codes] * std[: self.codes, None])
        return float(std[: self.codes].square().sum() / std.square().sum().clamp_min(1e-12))

    def decode(self, codes: Tensor) -> Tensor:
        """Blocks (*B, S x M, K, A) in [-1, 1] of codes (*B, S, C), in standard deviations."""
        chunks = (codes @ self.components + self.mean).clamp(-1, 1)
        return chunks.reshape(*codes.shape[:-2], codes.shape[-2] * self.blocks, *self.block)

    def encode(self, blocks: Tensor) -> Tensor:
        """Codes (*B, S, C) of blocks (*B, S x M, K, A), nearest in least squares."""
        numbers = blocks.reshape(*blocks.shape[:-3], -1, self.mean.numel())
        weights = self.components / self.components.square().sum(1, keepdim=True).clamp_min(1e-12)
        codes: Tensor = (numbers - self.mean) @ weights.T
        return codes

    def spread(self, std: Tensor) -> Tensor:
        """Standard deviation of blocks (*B, S x M, K, A) where codes have (*B, S, C)."""
        spread = (std.square() @ self.components.square()).sqrt()
        return spread.reshape(*std.shape[:-2], std.shape[-2] * self.blocks, *self.block)
