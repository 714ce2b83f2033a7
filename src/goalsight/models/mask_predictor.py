"""V-JEPA's predictor: from the visible tokens of a video to all the others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from goalsight.models.video_encoder import SHAPES, VideoEncoderConfig
from goalsight.models.vit import Block, grid_positions, initialise, rotary


@dataclass(frozen=True, kw_only=True)
class MaskPredictorConfig:
    """A narrow transformer; a number that is 0 goes with the encoder's size."""

    width: int = 0
    """Channels of a token."""
    depth: int = 0
    """Transformer blocks."""
    heads: int = 0
    """Of each attention."""

    def __post_init__(self) -> None:
        if min(self.width, self.depth, self.heads) < 0:
            raise ValueError(
                f"width, depth and heads must not be negative, got {self.width}, {self.depth} and "
                f"{self.heads}"
            )

    def of(self, encoder: VideoEncoderConfig) -> MaskPredictorConfig:
        """The same with every number filled in."""
        width, depth, heads = SHAPES[encoder.size].predictor
        return MaskPredictorConfig(
            width=self.width or width, depth=self.depth or depth, heads=self.heads or heads
        )


class MaskPredictor(nn.Module):
    """Mask tokens at the hidden positions look at the visible tokens and become predictions.

    Training only; a finished encoder travels without it (arXiv:2506.09985).
    """

    def __init__(
        self,
        encoder: VideoEncoderConfig,
        config: MaskPredictorConfig,
        *,
        families: int = 2,
        levels: int = 1,
    ) -> None:
        """Build an untrained predictor.

        Args:
            encoder: whose tokens it predicts.
            config: its shape.
            families: kinds of masks, each with a mask token of its own.
            levels: depths of the encoder that are predicted at once; above 1 their tokens are
                fused by a perceptron first (V-JEPA 2.1, arXiv:2603.14482).
        """
        super().__init__()
        self.config = config = config.of(encoder)
        outer, width, eps = levels * encoder.width, config.width, encoder.norm_eps
        self.embed: nn.Module = nn.Linear(outer, width)
        if levels > 1:
            self.embed = nn.Sequential(
                nn.Linear(outer, encoder.width), nn.GELU(), nn.Linear(encoder.width, width)
            )
        self.mask_tokens = nn.Parameter(torch.zeros(families, width))
        self.blocks = nn.ModuleList(
            Block(width, config.heads, 4 * width, eps) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(width, eps=eps)
        self.proj = nn.Linear(width, outer)
        initialise(self.blocks, self.embed, self.proj)

    def forward(
        self,
        context: Tensor,
        context_at: Tensor,
        target_at: Tensor,
        grid: tuple[int, int, int],
        family: int = 0,
    ) -> tuple[Tensor, Tensor]:
        """Predict tokens.

        Args:
            context: (N, M, levels * D) encoded visible tokens.
            context_at: (N, M) their indices in the video.
            target_at: (N, K) indices of the hidden ones.
            grid: tubelets, rows and columns of the video.
            family: number of the kind of mask.

        Returns:
            (N, M, levels * D) the visible tokens as predicted, and (N, K, levels * D) the hidden
            ones.
        """
        visible = self.embed(context)
        hidden = self.mask_tokens[family].to(visible.dtype).expand(*target_at.shape, -1)
        positions = grid_positions(grid, context.device)[torch.cat((context_at, target_at), dim=1)]
        by = rotary(positions, self.config.width // self.config.heads)
        tokens = torch.cat((visible, hidden), dim=1)
        for block in self.blocks:
            tokens = block(tokens, by)
        predicted: Tensor = self.proj(self.norm(tokens))
        return predicted[:, : context_at.shape[1]], predicted[:, context_at.shape[1] :]
