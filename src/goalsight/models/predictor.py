"""Predictors: latent and action block become the next latent."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """x + f(x), f a two-layer perceptron behind a layer norm."""

    def __init__(self, width: int) -> None:
        """Build a block of `width` units."""
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) to the same shape."""
        out: Tensor = x + self.down(torch.relu(self.up(self.norm(x))))
        return out


class ResidualPredictor(nn.Module):
    """z_next = z + f(z, a): the network only learns what an action block changes.

    The residual step is the largest single gain in plannability that was measured on arms
    (AD-WM, arXiv:2609.30264). f starts at zero, so an untrained model predicts that nothing moves.
    """

    def __init__(
        self, latent: int, action_values: int, width: int, depth: int, residual: bool = True
    ) -> None:
        """Build the layers.

        Args:
            latent: D, dimensions of a latent.
            action_values: K * A, numbers in an action block.
            width: hidden units.
            depth: residual blocks.
            residual: if False predict z_next itself (for ablations).
        """
        super().__init__()
        self.residual = residual
        self.from_latent = nn.Linear(latent, width)
        self.from_action = nn.Linear(action_values, width, bias=False)
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(depth)))
        last = nn.Linear(width, latent)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.out = nn.Sequential(nn.LayerNorm(width), last)

    def forward(self, z: Tensor, block: Tensor) -> Tensor:
        """One step of the world.

        Args:
            z: (*B, P, D) latent now.
            block: (*B, K, A) action block; broadcasts against the leading axes of `z`.

        Returns:
            (*B, P, D) latent K control steps later.
        """
        action = self.from_action(rearrange(block, "... k a -> ... 1 (k a)"))
        change: Tensor = self.out(self.blocks(torch.relu(self.from_latent(z) + action)))
        return z + change.to(z.dtype) if self.residual else change.to(z.dtype)


class InverseDynamics(nn.Module):
    """Which action block led from one latent to the next.

    Trained into the encoder, it keeps in the latent what actions change.
    """

    def __init__(self, latent: int, action_values: int, width: int) -> None:
        """Build a perceptron on (z, z_next - z)."""
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2 * latent, width), nn.ReLU(), nn.Linear(width, action_values)
        )

    def forward(self, z: Tensor, z_next: Tensor) -> Tensor:
        """Recover the action.

        Args:
            z: (*B, D) latent before.
            z_next: (*B, D) latent after.

        Returns:
            (*B, K * A) flattened action block.
        """
        out: Tensor = self.net(torch.cat((z, z_next - z), dim=-1))
        return out
