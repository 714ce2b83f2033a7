"""The action-conditioned transformer that predicts the tokens of the next frame."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from goalsight.models.config import Conditioning, Size
from goalsight.models.predictor import Predictor
from goalsight.models.vit import attend

HEAD = 32
"""Dimensions of an attention head."""


@dataclass(frozen=True, kw_only=True)
class TransformerWidths:
    """What a size stands for in the transformer."""

    width: int
    """Dimensions of a token inside, a multiple of `HEAD`."""
    depth: int
    """Blocks."""
    mlp: int = 4
    """Units of a block's perceptron, as a multiple of `width`."""


TRANSFORMER_SIZES: dict[Size, TransformerWidths] = {
    "tiny": TransformerWidths(width=96, depth=3, mlp=2),
    "small": TransformerWidths(width=192, depth=6),
    "base": TransformerWidths(width=512, depth=12),
}
"""Parameters: 0.3M, 2.8M and 38M; V-JEPA 2-AC has 1024 wide, 24 deep."""


class TransformerPredictor(Predictor):
    """Block-causal transformer over [action, proprio, patches] of each frame (V-JEPA 2-AC).

    After Assran et al. 2025 (arXiv:2506.09985, section 3.1): every token sees all tokens of its own
    and of earlier frames; what a patch token of frame t becomes is the patch of frame t + 1, what
    the proprio token becomes the proprio. Positions are rotary over time, row and column. Here
    the outputs are residual and start at zero: an untrained model predicts that nothing moves.

    `tokens` gives action and proprio a token each; `adaln` lets them scale, shift and gate every
    layer instead (DiT, arXiv:2212.09748), which JEPA-WMs (arXiv:2512.24497) found to plan better.

    It looks back `context` frames exactly: longer histories are cut into windows, so that what is
    predicted in training is what a rollout that keeps the last frames predicts.
    """

    def __init__(
        self,
        patches: int,
        dim: int,
        action_values: int,
        widths: TransformerWidths,
        *,
        context: int = 1,
        proprio_dim: int = 0,
        conditioning: Conditioning = "tokens",
    ) -> None:
        """Build the layers.

        Args:
            patches: P, tokens of a frame, a square grid.
            dim: D, dimensions of a token of the encoder.
            action_values: K * A, numbers in an action block.
            widths: of the layers.
            context: frames to look back, the present one included.
            proprio_dim: Q, numbers of proprio; 0 for none.
            conditioning: how actions and proprio come in.

        Raises:
            ValueError: if the patches are no square grid.
        """
        super().__init__()
        if isqrt(patches) ** 2 != patches:
            raise ValueError(f"the transformer needs a square grid of patches, got {patches}")
        width = widths.width
        self.context, self._tokens = context, conditioning == "tokens"
        self.from_latent = nn.Linear(dim, width)
        self.from_action = nn.Linear(action_values, width)
        self.from_proprio = nn.Linear(proprio_dim, width) if proprio_dim else None
        self.blocks = nn.ModuleList(
            Block(width, widths.mlp * width, conditioned=not self._tokens)
            for _ in range(widths.depth)
        )
        self.norm = nn.LayerNorm(width)
        self.to_latent = _zero(nn.Linear(width, dim))
        self.to_proprio = _zero(nn.Linear(width, proprio_dim)) if proprio_dim else None
        self._extra = (1 + bool(proprio_dim)) if self._tokens else 0
        positions = _positions(context, self._extra, isqrt(patches))
        rotations = _rotations(positions, HEAD)
        self.register_buffer("_cos", rotations.cos(), persistent=False)
        self.register_buffer("_sin", rotations.sin(), persistent=False)
        frame = positions[:, 0]
        self.register_buffer("_sees", frame[:, None] >= frame, persistent=False)

    _cos: Tensor
    _sin: Tensor
    _sees: Tensor

    def forward(
        self, z: Tensor, actions: Tensor, proprio: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """See `Predictor.forward`."""
        batch, frames = z.shape[:-3], z.shape[-3]
        inputs = [z.flatten(0, -4), actions.flatten(-2).flatten(0, -3)]
        if self.from_proprio is not None:
            assert proprio is not None
            inputs.append(proprio.flatten(0, -3))
        windows = frames - self.context + 1
        if windows > 1:
            inputs = [_windows(x, self.context) for x in inputs]
        predicted = self._predict(*inputs)
        z_next, proprio_next = (
            None if x is None else (_stitch(x, windows) if windows > 1 else x) for x in predicted
        )
        assert z_next is not None
        return z_next.reshape(z.shape), (
            None if proprio_next is None else proprio_next.reshape(*batch, frames, -1)
        )

    def _predict(
        self, z: Tensor, actions: Tensor, proprio: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """One step from each of at most `context` frames.

        Args:
            z: (N, T, P, D) latents.
            actions: (N, T, K * A) blocks.
            proprio: (N, T, Q) standardised proprio, or None.

        Returns:
            (N, T, P, D) latents and (N, T, Q) proprio one block later.
        """
        robot = [self.from_action(actions)]
        if self.from_proprio is not None:
            robot.append(self.from_proprio(proprio))
        x, condition = self.from_latent(z), None
        if self._tokens:
            x = torch.cat((torch.stack(robot, dim=2).to(x.dtype), x), dim=2)
        else:
            condition = F.silu(torch.stack(robot).sum(0))[:, :, None]
        length = x.shape[1] * x.shape[2]
        # Tokens of a single frame all see each other: no mask, which lets attention run fused.
        sees = None if x.shape[1] == 1 else self._sees[:length, :length]
        for block in self.blocks:
            x = block(x, self._cos[:length], self._sin[:length], sees, condition)
        x = self.norm(x)
        z_next = z + self.to_latent(x[:, :, self._extra :]).to(z.dtype)
        if self.to_proprio is None or proprio is None:
            return z_next, None
        summary = x[:, :, 1] if self._tokens else x.mean(2)
        return z_next, proprio + self.to_proprio(summary).to(proprio.dtype)


class Block(nn.Module):
    """A pre-norm transformer block over the tokens of some frames, optionally conditioned."""

    def __init__(self, width: int, hidden: int, *, conditioned: bool) -> None:
        """Build attention and perceptron.

        Args:
            width: dimensions of a token.
            hidden: units of the perceptron.
            conditioned: whether a condition shifts, scales and gates both (AdaLN-zero).
        """
        super().__init__()
        self.norm1 = nn.LayerNorm(width, elementwise_affine=not conditioned)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=not conditioned)
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.modulate = _zero(nn.Linear(width, 6 * width)) if conditioned else None

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, sees: Tensor | None, condition: Tensor | None
    ) -> Tensor:
        """Mix tokens.

        Args:
            x: (N, T, S, W) tokens of T frames.
            cos: (T * S, pairs) of the rotary angles.
            sin: likewise.
            sees: (T * S, T * S) whether the token of a row sees that of a column; None: all.
            condition: (N, T, 1, W) of each frame, for conditioned blocks.

        Returns:
            (N, T, S, W) tokens.
        """
        if self.modulate is None:
            x = x + self._attend(self.norm1(x), cos, sin, sees)
            out: Tensor = x + self.mlp(self.norm2(x))
            return out
        modulation: Tensor = self.modulate(condition)
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation.chunk(6, dim=-1)
        x = x + gate1 * self._attend(self.norm1(x) * (1 + scale1) + shift1, cos, sin, sees)
        change: Tensor = self.mlp(self.norm2(x) * (1 + scale2) + shift2)
        return x + gate2 * change

    def _attend(self, x: Tensor, cos: Tensor, sin: Tensor, sees: Tensor | None) -> Tensor:
        q, k, v = rearrange(self.qkv(x), "n t s (i h d) -> i n h (t s) d", i=3, d=HEAD).unbind(0)
        mixed = attend(rotate(q, cos, sin), rotate(k, cos, sin), v, sees)
        out: Tensor = self.project(rearrange(mixed, "n h (t s) d -> n t s (h d)", t=x.shape[1]))
        return out


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions (RoFormer, arXiv:2104.09864): turn pairs of dimensions by angles.

    The product of two rotated vectors depends on the difference of their positions alone.

    Args:
        x: (..., L, d) queries or keys.
        cos: (L, pairs) of the angles, 2 * pairs <= d; dimensions beyond stay as they are.
        sin: likewise.

    Returns:
        (..., L, d) of the same dtype.
    """
    pairs = cos.shape[-1]
    a, b, rest = x[..., :pairs], x[..., pairs : 2 * pairs], x[..., 2 * pairs :]
    return torch.cat((a * cos - b * sin, a * sin + b * cos, rest), dim=-1).to(x.dtype)


def _positions(frames: int, extra: int, side: int) -> Tensor:
    """(frames * (extra + side^2), 3) frame, row and column of every token.

    Action and proprio are nowhere in the picture: they turn with time alone, as in V-JEPA 2-AC.
    """
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    patches = torch.stack((rows.flatten(), columns.flatten()), dim=-1)
    one = torch.cat((torch.zeros(extra, 2, dtype=patches.dtype), patches))
    times = torch.arange(frames).repeat_interleave(len(one))
    return torch.cat((times[:, None], one.repeat(frames, 1)), dim=-1)


def _rotations(positions: Tensor, dim: int) -> Tensor:
    """(L, 3) positions to (L, pairs) angles [rad]; a third of the pairs for each axis."""
    each = dim // 6
    frequencies = 10000.0 ** (-torch.arange(each) / each)
    return (positions[..., None] * frequencies).flatten(1)


def _windows(x: Tensor, length: int) -> Tensor:
    """(N, T, ...) to (N * W, length, ...): each of the W = T - length + 1 windows."""
    return x.unfold(1, length, 1).movedim(-1, 2).flatten(0, 1)


def _stitch(x: Tensor, windows: int) -> Tensor:
    """(N * W, length, ...) of `_windows` to (N, T, ...): each frame from its fullest history."""
    x = x.reshape(-1, windows, *x.shape[1:])
    return torch.cat((x[:, 0, :-1], x[:, :, -1]), dim=1)


def _zero(layer: nn.Linear) -> nn.Linear:
    """A layer that puts out zeros until it has learned."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
