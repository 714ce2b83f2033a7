"""A transformer block over the tokens of some frames, in the parts that a rollout reuses."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from goalsight.models.vit import attend

Angles = tuple[Tensor, Tensor]
"""Tables (L, d) that turn the pairs of L tokens' heads, as `turning` makes them."""


class Block(nn.Module):
    """A pre-norm transformer block over the tokens of some frames, optionally conditioned."""

    def __init__(
        self, width: int, hidden: int, *, heads: int, head: int, conditioned: bool
    ) -> None:
        """Build attention and perceptron.

        Args:
            width: W, dimensions of a token.
            hidden: units of the perceptron.
            heads: of the attention.
            head: d, dimensions of a head; heads * head need not be W.
            conditioned: whether a condition shifts, scales and gates both (AdaLN-zero).
        """
        super().__init__()
        self._head, self._inner = head, heads * head
        self.norm1 = nn.LayerNorm(width, elementwise_affine=not conditioned)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=not conditioned)
        self.qkv, self.project = nn.Linear(width, 3 * self._inner), nn.Linear(self._inner, width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.modulate = zero(nn.Linear(width, 6 * width)) if conditioned else None

    def forward(
        self, x: Tensor, angles: Angles, sees: Tensor | None, condition: Tensor | None
    ) -> Tensor:
        """Mix tokens.

        Args:
            x: (N, T, S, W) tokens of T frames.
            angles: of the T * S tokens.
            sees: (T * S, T * S) whether the token of a row sees that of a column; None: all.
            condition: (N, T, 1, W) of each frame, for conditioned blocks.

        Returns:
            (N, T, S, W) tokens.
        """
        modulation = self.modulation(condition)
        query, key, value = self.heads_of(x, modulation)
        mixed = attend(self.turn(query, angles), self.turn(key, angles), value, sees)
        return self.close(x, mixed, modulation)

    def modulation(self, condition: Tensor | None) -> Tensor | None:
        """Shifts, scales and gates (..., 6 W) of conditions (..., W); None without any."""
        return None if self.modulate is None else self.modulate(condition)

    def heads_of(self, x: Tensor, modulation: Tensor | None) -> tuple[Tensor, ...]:
        """Queries, keys and values (N, heads, T * S, d), not rotated, of tokens (N, T, S, W)."""
        return self._split(self.qkv(self._open(x, modulation)))

    def keys_and_values(self, x: Tensor, modulation: Tensor | None) -> tuple[Tensor, ...]:
        """As `heads_of`, without the queries, for tokens that are only looked at."""
        weight, bias = self.qkv.weight[self._inner :], self.qkv.bias[self._inner :]
        return self._split(F.linear(self._open(x, modulation), weight, bias))

    def queries(self, x: Tensor, modulation: Tensor | None) -> Tensor:
        """As `heads_of`, the queries alone."""
        weight, bias = self.qkv.weight[: self._inner], self.qkv.bias[: self._inner]
        return self._split(F.linear(self._open(x, modulation), weight, bias))[0]

    def turn(self, x: Tensor, angles: Angles) -> Tensor:
        """Queries or keys (N, heads, L, d) with their positions rotated into them."""
        return rotate(x, angles, 3 * (self._head // 6))

    def close(self, x: Tensor, mixed: Tensor, modulation: Tensor | None) -> Tensor:
        """What follows the attention.

        Args:
            x: (N, T, S, W) tokens before the block.
            mixed: (N, heads, T * S, d) what they saw.
            modulation: (N, T, 1, 6 W) of their frames, for conditioned blocks.

        Returns:
            (N, T, S, W) tokens after the block.
        """
        joined = rearrange(mixed, "n h (t s) d -> n t s (h d)", t=x.shape[1])
        if modulation is None:
            x = x + self.project(joined)
            out: Tensor = x + self.mlp(self.norm2(x))
            return out
        _, _, gate1, shift2, scale2, gate2 = modulation.chunk(6, dim=-1)
        x = x + gate1 * self.project(joined)
        change: Tensor = self.mlp(self.norm2(x) * (1 + scale2) + shift2)
        return x + gate2 * change

    def _open(self, x: Tensor, modulation: Tensor | None) -> Tensor:
        """What the attention works on."""
        normed: Tensor = self.norm1(x)
        if modulation is None:
            return normed
        shift, scale = modulation.chunk(6, dim=-1)[:2]
        return normed * (1 + scale) + shift

    def _split(self, joined: Tensor) -> tuple[Tensor, ...]:
        """(N, T, S, parts * heads * d) into parts of (N, heads, T * S, d)."""
        parts = joined.shape[-1] // self._inner
        split = rearrange(joined, "n t s (i h d) -> i n h (t s) d", i=parts, d=self._head)
        return tuple(split.unbind(0))


def rotate(x: Tensor, angles: Angles, pairs: int) -> Tensor:
    """Rotary positions (RoFormer, arXiv:2104.09864): turn pairs of dimensions by angles.

    The product of two rotated vectors depends on the difference of their positions alone.

    Args:
        x: (..., L, d) queries or keys.
        angles: of `turning`.
        pairs: 2 * pairs <= d; dimensions beyond stay as they are.

    Returns:
        (..., L, d) of the same dtype.
    """
    cos, sin = (table.to(x.dtype) for table in angles)
    a, b, rest = x[..., :pairs], x[..., pairs : 2 * pairs], x[..., 2 * pairs :]
    return torch.addcmul(x * cos, torch.cat((b, a, rest), dim=-1), sin)


def turning(angles: Tensor, dim: int) -> Angles:
    """Tables (L, dim) for `rotate`, laid out so that it reads its tokens as few times as can be.

    Args:
        angles: (L, pairs) of the pairs (a, b) of a head, [rad].
        dim: d, dimensions of a head: all a, then all b, then what is not turned.
    """
    rest = angles.new_zeros(len(angles), dim - 2 * angles.shape[1])
    cos = torch.cat((angles.cos(), angles.cos(), rest + 1), dim=-1)
    return cos, torch.cat((-angles.sin(), angles.sin(), rest), dim=-1)


def positions(frames: int, extra: int, side: int) -> Tensor:
    """(frames * (extra + side^2), 3) frame, row and column of every token.

    Action and proprio are nowhere in the picture: they turn with time alone, as in V-JEPA 2-AC.
    """
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    patches = torch.stack((rows.flatten(), columns.flatten()), dim=-1)
    one = torch.cat((torch.zeros(extra, 2, dtype=patches.dtype), patches))
    times = torch.arange(frames).repeat_interleave(len(one))
    return torch.cat((times[:, None], one.repeat(frames, 1)), dim=-1)


def rotations(places: Tensor, dim: int) -> Tensor:
    """(L, 3) positions to (L, pairs) angles [rad]; a third of the pairs for each axis."""
    each = dim // 6
    frequencies = 10000.0 ** (-torch.arange(each) / each)
    return (places[..., None] * frequencies).flatten(1)


def zero(layer: nn.Linear) -> nn.Linear:
    """A layer that puts out zeros until it has learned."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
