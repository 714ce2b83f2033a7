"""The actor: from where it is and where it is to be, one action block; behaviour, not search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from goalsight.models.config import WorldModelConfig

Tokens = Literal["flat", "mean"]


class Actor(nn.Module):
    """Goal-conditioned behaviour: a mixture over action blocks, given latent, goal and time left.

    A perceptron on (z, z_goal, z_goal - z), as in INTACT (arXiv:2607.26056) and GC-IDM
    (arXiv:2605.08732), with a mixture head, since what people and scripts do from one picture to
    another has modes whose mean is none of them, and the time that is left as an input, since far
    goals seen without it average to standing still.
    """

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(
        self,
        config: WorldModelConfig,
        patches: int,
        dim: int,
        *,
        width: int = 512,
        depth: int = 3,
        components: int = 4,
        furthest: int = 110,
        gripper: int | None = None,
        values: tuple[float, float] = (-1.0, 1.0),
        tokens: Tokens = "flat",
        least_std: float = 0.05,
        std: float = 0.0,
        clock: bool = True,
    ) -> None:
        """Build an untrained actor.

        Args:
            config: of the world model; says how long a block and how wide an action is.
            patches: P, tokens of a frame.
            dim: D, dimensions of a token.
            width: units of its layers.
            depth: hidden layers.
            components: Gaussians of the mixture.
            furthest: time to the goal it was trained up to [control steps].
            gripper: axis that is one of two values, held for a block; None for no such axis.
            values: of that axis, ascending.
            tokens: whether it sees all tokens of a grid one after another, or their mean.
            least_std: floor on the spread of a Gaussian, in action units.
            std: spread of every Gaussian, in action units, in place of one that is learnt; with one
                component, likelihood is then least squares. 0 learns it.
            clock: whether it is told the time that is left.

        Raises:
            ValueError: if a number is out of its range.
        """
        super().__init__()
        _check_sizes(width=width, depth=depth, components=components)
        _check_fit(config, furthest, gripper)
        if not 0 <= std < math.inf:
            raise ValueError(f"std of an actor must be >= 0, got {std}")
        if tokens not in get_args(Tokens):
            raise ValueError(f"tokens must be flat or mean, got {tokens!r}")
        self.steps, self.action_dim = config.frameskip, config.action_dim
        self.furthest, self.gripper, self.tokens = furthest, gripper, tokens
        self.values = (float(values[0]), float(values[1]))
        self.least_std, self.std, self.clock = least_std, std, clock
        self.free_axes = [axis for axis in range(self.action_dim) if axis != gripper]
        self.components = components
        seen = patches * dim if tokens == "flat" else dim
        self.register_buffer("latent_mean", torch.zeros(seen))
        self.register_buffer("latent_std", torch.ones(seen))
        sizes = [3 * seen + 2 * clock, *[width] * depth]
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), nn.LayerNorm(after), nn.GELU()]
        self.body = nn.Sequential(*layers)
        self.numbers = self.steps * len(self.free_axes)
        self._parts = [components, components * self.numbers, gripper is not None]
        if not std:
            self._parts.insert(2, components * self.numbers)
        self.out = nn.Linear(width, sum(self._parts))

    def distribution(self, z: Tensor, z_goal: Tensor, time: Tensor) -> BlockMixture:
        """What is done here by one who is to be there in that time.

        Args:
            z: (*B, P, D) latents.
            z_goal: (*B, P, D) latents of the goal, or of a shape that expands to it.
            time: (*B,) or () control steps left; what was never trained counts as what was.

        Returns:
            Mixtures of batch shape (*B).
        """
        here = self._seen(z)
        there = self._seen(z_goal).expand_as(here)
        known = [here, there, there - here]
        if self.clock:
            left = time.to(here).clamp(1, self.furthest).expand(here.shape[:-1])
            passed = left / self.furthest, left.log() / math.log(self.furthest)
            known.append(torch.stack(passed, dim=-1))
        out = self.out(self.body(torch.cat(known, dim=-1))).float()
        logits, mean, *log_std, odds = out.split(self._parts, dim=-1)
        shape = (*out.shape[:-1], self.components, self.steps, len(self.free_axes))
        return BlockMixture(
            logits=logits.log_softmax(dim=-1),
            mean=mean.reshape(shape).tanh(),
            std=self._spread(log_std[0].reshape(shape))
            if log_std
            else mean.new_full(shape, self.std),
            gripper=self.gripper,
            closing=odds[..., 0] if self.gripper is not None else None,
            values=self.values,
        )

    def act(self, z: Tensor, z_goal: Tensor, time: Tensor) -> Tensor:
        """The dominant mode: blocks (*B, K, A) in [-1, 1]; arguments of `distribution`."""
        return self.distribution(z, z_goal, time).dominant()

    def log_prob(self, z: Tensor, z_goal: Tensor, time: Tensor, blocks: Tensor) -> Tensor:
        """(*B,) log-likelihood of blocks (*B, K, A); see `BlockMixture.log_prob`."""
        return self.distribution(z, z_goal, time).log_prob(blocks)

    def remember_spread(self, mean: Tensor, std: Tensor) -> None:
        """Take in mean and standard deviation (P, D) of the training data's latents."""
        for mine, given in ((self.latent_mean, mean), (self.latent_std, std)):
            mine.copy_(given.flatten() if self.tokens == "flat" else given.mean(0))
        self.latent_std.clamp_(min=1e-3)

    def _spread(self, log_std: Tensor) -> Tensor:
        # A softplus that begins near the spread of ordinary actions.
        return nn.functional.softplus(log_std) * 0.5 + self.least_std

    def _seen(self, z: Tensor) -> Tensor:
        flat = z.flatten(-2) if self.tokens == "flat" else z.mean(-2)
        return (flat - self.latent_mean) / self.latent_std


def _check_sizes(**sizes: int) -> None:
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{name} of an actor must be at least 1, got {value}")


def _check_fit(config: WorldModelConfig, furthest: int, gripper: int | None) -> None:
    """Refuse an actor that does not fit the robot."""
    if furthest < max(2, config.frameskip):
        raise ValueError(
            f"furthest must be at least one block of {config.frameskip} control steps and 2, got "
            f"{furthest}"
        )
    if gripper is not None and not 0 <= gripper < config.action_dim:
        raise ValueError(f"gripper axis {gripper} is not among {config.action_dim} action axes")
    if gripper is not None and config.action_dim == 1:
        raise ValueError("an actor needs an action axis besides the gripper")


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
