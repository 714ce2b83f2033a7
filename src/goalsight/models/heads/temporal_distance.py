"""How many action blocks from here to there: a classifier over pairs of latents.

A latent distance says how much two pictures differ, not how far one is from the other in time.
This head learns that from pairs of frames of one episode, as classes of so many blocks with one
more for "farther, or never" (distances as a distribution over bins: Hafner et al. 2023,
arXiv:2301.04104; for reaching goals: Savinov et al. 2018, arXiv:1803.00653).
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from goalsight.models.config import WorldModelConfig

NUMBERS = 512
"""Numbers of a latent the classifier sees at most; each patch of a wider one is projected."""


class TemporalDistance(nn.Module):
    """Blocks that recorded behaviour takes from one latent to another."""

    centres: Tensor

    def __init__(
        self, config: WorldModelConfig, patches: int, dim: int, *, blocks: int = 20,
        width: int = 256,
    ) -> None:  # fmt: skip
        """An untrained head.

        Args:
            config: of the world model.
            patches: P.
            dim: D.
            blocks: distances told apart; what is farther is one class.
            width: units of its hidden layers.

        Raises:
            ValueError: if blocks or width are below 1.
        """
        super().__init__()
        if blocks < 1 or width < 1:
            raise ValueError(f"blocks and width must be at least 1, got {blocks} and {width}")
        self.blocks = blocks
        kept = min(dim, max(4, NUMBERS // patches))
        self.project = nn.Linear(dim, kept) if kept < dim else nn.Identity()
        self.classify = nn.Sequential(
            nn.LayerNorm(3 * patches * kept),
            nn.Linear(3 * patches * kept, width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Linear(width, blocks + 2),
        )
        # "Farther, or never" counts as half as far again as the farthest that is told apart.
        centres = torch.arange(blocks + 2, dtype=torch.float32)
        centres[-1] = 1.5 * blocks + 1
        self.register_buffer("centres", centres)

    def forward(self, z: Tensor, goal: Tensor) -> Tensor:
        """Logits of the classes: 0, 1, ... `blocks` blocks, and farther or never.

        Args:
            z: (*B, P, D) latents, encoded or imagined.
            goal: (*B, P, D) latents to get to; axes of size 1 are shared.

        Returns:
            (*B, blocks + 2).
        """
        here, there = self.project(z), self.project(goal)
        here, there = torch.broadcast_tensors(here, there)  # type: ignore[no-untyped-call]
        features = torch.cat((here, there, there - here), dim=-1)
        logits: Tensor = self.classify(rearrange(features, "... p d -> ... (p d)"))
        return logits

    def distance(self, z: Tensor, goal: Tensor) -> Tensor:
        """Expected blocks (*B) from latents (*B, P, D) to others, in [0, 1.5 blocks + 1]."""
        expected: Tensor = self(z, goal).float().softmax(-1) @ self.centres
        return expected
