"""A few small predictors beside the model: where they disagree, nothing like it was recorded.

A planner seeks out what its model gets wrong in its favour. Members that learnt the same data from
different beginnings agree where there was data and part where there was none (disagreement as
novelty: Pathak et al. 2019, arXiv:1906.04161; Sekar et al. 2020, arXiv:2005.05960), which makes
their variance a price for leaving what is known.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from goalsight.models.config import WorldModelConfig


class Ensemble(nn.Module):
    """Members that predict one block ahead; all of them in one batched product a layer."""

    scale: Tensor

    def __init__(
        self,
        config: WorldModelConfig,
        patches: int,
        dim: int,
        *,
        members: int = 4,
        width: int = 128,
    ) -> None:
        """Untrained members, each from its own beginning.

        Args:
            config: of the world model.
            patches: P; a grid is averaged over its patches.
            dim: D.
            members: how many.
            width: units of their two hidden layers.

        Raises:
            ValueError: for fewer than two members, or no units.
        """
        super().__init__()
        if members < 2 or width < 1:
            raise ValueError(
                f"members must be at least 2 and width 1, got {members} and {width}; one alone "
                "agrees with itself"
            )
        self.members = members
        sizes = [dim + config.frameskip * config.action_dim, width, width, dim]
        self.weights = nn.ParameterList(
            torch.randn(members, fan_in, fan_out) * (2 / fan_in) ** 0.5
            for fan_in, fan_out in pairwise(sizes)
        )
        self.biases = nn.ParameterList(torch.zeros(members, 1, size) for size in sizes[1:])
        self.register_buffer("scale", torch.ones(dim))

    def forward(self, z: Tensor, blocks: Tensor) -> Tensor:
        """Every member's guess of how a latent changes.

        Args:
            z: (n, P, D) latents, or (members, n, P, D) where each member gets its own.
            blocks: (n, K, A) the action block that runs, or (members, n, K, A).

        Returns:
            (members, n, D) changes of the latent averaged over patches, in units of `scale`.
        """
        x = torch.cat((z.mean(-2), blocks.flatten(-2)), dim=-1)
        x = x.expand(self.members, *x.shape[-2:])
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, nn.functional.gelu(x) if layer else x, weight)
        return x

    def disagreement(self, z: Tensor, blocks: Tensor) -> Tensor:
        """Variance of the members' guesses (*B), as a share of how much latents change in a block.

        Args:
            z: (*B, P, D) latents, encoded or imagined.
            blocks: (*B, K, A) the block that runs at each.
        """
        guesses = self(z.flatten(0, -3), blocks.flatten(0, -3))
        variance: Tensor = guesses.float().var(0).mean(-1)
        return variance.reshape(z.shape[:-2])
