"""Transformer blocks with 3-D rotary positions, arithmetic for arithmetic those of V-JEPA 2.

Assran et al. 2025, arXiv:2506.09985; the reference in code is `VJEPA2Model` of transformers, and
`goalsight.models.hub` copies its weights in by name.
"""

from __future__ import annotations

from math import sqrt

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

Rotary = tuple[Tensor, Tensor]
"""Cosine and sine of every token's angles, (*B, N, D / heads) each."""
BASE = 10000.0
"""Ratio of the slowest to the fastest rotation."""


def grid_positions(grid: tuple[int, int, int], device: torch.device | None = None) -> Tensor:
    """Where each token of a video is.

    Args:
        grid: tubelets in time, rows and columns of patches.
        device: of the result.

    Returns:
        (N, 3) time, row and column of token n, counted row by row, picture by picture.

    >>> grid_positions((2, 1, 2)).tolist()
    [[0, 0, 0], [0, 0, 1], [1, 0, 0], [1, 0, 1]]
    """
    axes = [torch.arange(length, device=device) for length in grid]
    return torch.cartesian_prod(*axes).reshape(-1, 3)


def rotary(positions: Tensor, head_dim: int) -> Rotary:
    """Angles by which queries and keys are rotated: a third of a head for each axis.

    What is left over of a head after three even parts is not rotated. Neighbouring channels form
    a pair, while the angles of a part are laid out as two copies one after the other, so the two
    channels of a pair turn by different angles. That is how the released V-JEPA 2 encoders were
    trained, so it is kept.

    Args:
        positions: (*B, N, 3) integers.
        head_dim: channels of an attention head, even and at least 6.

    Returns:
        Cosine and sine, (*B, N, head_dim) float32.

    Raises:
        ValueError: if `head_dim` is odd or too small for three axes.
    """
    if head_dim % 2 or head_dim < 6:
        raise ValueError(
            f"an attention head needs an even number of at least 6 channels, got {head_dim}; "
            "choose another width or number of heads"
        )
    part = 2 * (head_dim // 3 // 2)
    order = torch.arange(part // 2, dtype=torch.float32, device=positions.device)
    speeds = BASE ** -(order / (part / 2))
    angles = positions[..., None].float() * speeds
    angles = torch.cat((angles, angles), dim=-1).flatten(-2)
    angles = F.pad(angles, (0, head_dim - 3 * part))
    return angles.cos(), angles.sin()


def rotate(x: Tensor, by: Rotary) -> Tensor:
    """Turn every pair of channels by its angles.

    Args:
        x: (*B, heads, N, head_dim) queries or keys.
        by: of shape (*B, N, head_dim), or (N, head_dim) for all alike.
    """
    cos, sin = (table.to(x.dtype).unsqueeze(-3) for table in by)
    left, right = rearrange(x, "... (pair two) -> two ... pair", two=2)
    turned = torch.stack((-right, left), dim=-1).flatten(-2)
    return x * cos + turned * sin


def attend(query: Tensor, key: Tensor, value: Tensor, sees: Tensor | None = None) -> Tensor:
    """Scaled dot-product attention of (B, heads, N, head_dim) tokens.

    `sees`, (N, N) bool, says whether the token of a row sees that of a column; None: all see all.
    """
    if query.device.type != "cpu" or query.dtype == torch.float32:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=sees)
    # The fused backward pass is 3-14 times slower in bfloat16 than in float32 on processors.
    with torch.autocast("cpu", enabled=False):
        seen = F.scaled_dot_product_attention(
            query.float(), key.float(), value.float(), attn_mask=sees
        )
    return seen.to(query.dtype)


class Attention(nn.Module):
    """Self-attention over all tokens, positions rotated into queries and keys."""

    def __init__(self, width: int, heads: int) -> None:
        """Build the layers.

        Args:
            width: channels of a token.
            heads: of the attention.

        Raises:
            ValueError: if `width` is not a multiple of `heads`.
        """
        super().__init__()
        if width % heads:
            raise ValueError(f"width must be a multiple of heads, got {width} and {heads}")
        self.heads = heads
        self.query, self.key, self.value, self.proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor, by: Rotary) -> Tensor:
        """Let tokens (B, N, width) look at each other; same shape."""
        query, key, value = (
            rearrange(layer(x), "b n (h d) -> b h n d", h=self.heads)
            for layer in (self.query, self.key, self.value)
        )
        seen = attend(rotate(query, by), rotate(key, by), value)
        out: Tensor = self.proj(rearrange(seen, "b h n d -> b n (h d)"))
        return out


class Block(nn.Module):
    """Attention and a two-layer perceptron, each behind a layer norm and added to its input."""

    def __init__(self, width: int, heads: int, hidden: int, eps: float) -> None:
        """Build the layers.

        Args:
            width: channels of a token.
            heads: of the attention.
            hidden: units of the perceptron.
            eps: of the layer norms.
        """
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=eps), nn.LayerNorm(width, eps=eps)
        self.attention = Attention(width, heads)
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor, by: Rotary) -> Tensor:
        """(B, N, width) tokens and their angles to tokens of the same shape."""
        x = x + self.attention(self.norm1(x), by)
        out: Tensor = x + self.fc2(F.gelu(self.fc1(self.norm2(x))))
        return out


def initialise(blocks: nn.ModuleList, *others: nn.Module, std: float = 0.02) -> None:
    """Truncated normal weights; what block n adds to the stream starts sqrt(2 n) smaller.

    Args:
        blocks: of one transformer.
        others: modules around it, whose linear layers are drawn too.
        std: standard deviation of the weights.
    """
    for module in (*blocks, *others):
        for layer in module.modules():
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=std)
                nn.init.zeros_(layer.bias)
    for number, block in enumerate(blocks, start=1):
        assert isinstance(block, Block)
        for last in (block.attention.proj, block.fc2):
            last.weight.data.div_(sqrt(2.0 * number))
