"""A distribution over action blocks: Gaussians for the arm, two values for the gripper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True)
class BlockMixture:
    """A mixture of M diagonal Gaussians over a block of K actions, and a gripper held for it.

    F axes are free, the gripper, if there is one, is one of two values for the whole block,
    independent of the mixture: A = F or F + 1.
    """

    logits: Tensor
    """(*B, M) log-probability of each component."""
    mean: Tensor
    """(*B, M, K, F) in [-1, 1]."""
    std: Tensor
    """(*B, M, K, F) standard deviations, in action units."""
    gripper: int | None = None
    """Axis of the gripper; None without one."""
    closing: Tensor | None = None
    """(*B,) log-odds of the gripper's upper value."""
    values: tuple[float, float] = (-1.0, 1.0)
    """Lower and upper value of the gripper."""

    def dominant(self) -> Tensor:
        """Blocks (*B, K, A): the mean of the likeliest component, the likelier gripper value.

        Executing the mean of the whole mixture would do neither of two things well.
        """
        free = self._pick(self.mean, self.logits.argmax(dim=-1))
        return self._whole(free, None if self.closing is None else self.closing > 0)

    def sample(self, generators: Sequence[torch.Generator]) -> Tensor:
        """Blocks (B, ..., K, A) in [-1, 1], row i of the first axis from the i-th stream.

        Args:
            generators: one a row, on the device of the mixture; a row's blocks depend on its own
                stream alone.

        Raises:
            ValueError: if there is not one stream a row.
        """
        if len(generators) != len(self.logits):
            raise ValueError(f"one stream a row: got {len(generators)} for {len(self.logits)} rows")
        level, noise = self.logits.new_empty(*self.logits.shape[:-1], 2), self._free_noise()
        for row, generator in enumerate(generators):
            level[row].uniform_(generator=generator)
            noise[row].normal_(generator=generator)
        passed = level[..., :1] > self.logits.exp().cumsum(dim=-1)[..., :-1]
        which = passed.sum(dim=-1)
        free = self._pick(self.mean, which) + noise * self._pick(self.std, which)
        closed = None if self.closing is None else level[..., 1] < self.closing.sigmoid()
        return self._whole(free.clamp(-1, 1), closed)

    def log_prob(self, blocks: Tensor) -> Tensor:
        """Log-likelihood (*B,) of blocks (*B, K, A): a density over the free axes.

        The gripper counts as the value that its mean over the block is nearest to. Nothing is
        made of actions ending at -1 and 1: samples are clipped there, their density is not.

        Raises:
            ValueError: if the blocks have another shape than the mixture's.
        """
        free, held = self._parts(blocks)
        off = (free[..., None, :, :] - self.mean) / self.std
        density = -0.5 * off.square() - self.std.log() - 0.5 * math.log(2 * math.pi)
        total = torch.logsumexp(self.logits + density.sum(dim=(-2, -1)), dim=-1)
        if self.closing is None or held is None:
            return total
        upper = held > sum(self.values) / 2
        return total + F.logsigmoid(torch.where(upper, self.closing, -self.closing))

    def _parts(self, blocks: Tensor) -> tuple[Tensor, Tensor | None]:
        """Free axes (*B, K, F) and the gripper's mean (*B,)."""
        steps, free = self.mean.shape[-2:]
        width = free + (self.gripper is not None)
        if blocks.shape[-2:] != (steps, width):
            raise ValueError(f"blocks must be (..., {steps}, {width}), got {tuple(blocks.shape)}")
        if self.gripper is None:
            return blocks, None
        around = blocks[..., : self.gripper], blocks[..., self.gripper + 1 :]
        return torch.cat(around, dim=-1), blocks[..., self.gripper].mean(dim=-1)

    def _whole(self, free: Tensor, upper: Tensor | None) -> Tensor:
        """Blocks (*B, K, A) of free axes (*B, K, F) and which gripper value (*B,)."""
        if self.gripper is None or upper is None:
            return free
        low, high = self.values
        held = torch.where(upper, high, low).to(free)[..., None, None]
        held = held.expand(*free.shape[:-1], 1)
        return torch.cat([free[..., : self.gripper], held, free[..., self.gripper :]], dim=-1)

    def _pick(self, values: Tensor, which: Tensor) -> Tensor:
        """(*B, K, F) of a component's values (*B, M, K, F), by its index (*B,)."""
        index = which[..., None, None, None].expand(*which.shape, 1, *values.shape[-2:])
        return values.gather(-3, index)[..., 0, :, :]

    def _free_noise(self) -> Tensor:
        return self.mean.new_empty(*self.mean.shape[:-3], *self.mean.shape[-2:])
