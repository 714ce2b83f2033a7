"""The action-conditioned transformer that predicts the tokens of the next frame."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from math import isqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from goalsight.models.causal_block import Angles, Block, positions, rotations, turning, zero
from goalsight.models.config import Conditioning, Size, WorldModelConfig
from goalsight.models.predictor import Predictor, action_values
from goalsight.models.rollout import Imagination
from goalsight.models.window import WindowImagination
from goalsight.registry import register


@dataclass(frozen=True, kw_only=True)
class TransformerWidths:
    """What a size stands for in the transformer."""

    width: int
    """Dimensions of a token inside; without `heads` a multiple of `head`."""
    depth: int
    """Blocks."""
    mlp: int = 4
    """Units of a block's perceptron, as a multiple of `width`."""
    hidden: int | None = None
    """Units of a block's perceptron where they are no multiple of `width`; None: `mlp` says."""
    head: int = 32
    """Dimensions of an attention head, at least 6."""
    heads: int | None = None
    """Heads of the attention; None: as many as fit into `width`."""

    def __post_init__(self) -> None:
        """Raises ValueError where a field is out of its range."""
        if self.heads is None and self.width % self.head:
            raise ValueError(
                f"width must be a multiple of head, got {self.width} and {self.head}; "
                "or say how many heads"
            )
        if self.head < 6 or self.depth < 1 or (self.heads or 1) < 1:
            raise ValueError(
                f"head must be at least 6, depth and heads at least 1, got {self.head}, "
                f"{self.depth} and {self.heads}"
            )


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
            Block(
                width,
                widths.hidden or widths.mlp * width,
                heads=widths.heads or width // widths.head,
                head=widths.head,
                conditioned=not self._tokens,
            )
            for _ in range(widths.depth)
        )
        self.norm = nn.LayerNorm(width)
        self.to_latent = zero(nn.Linear(width, dim))
        self.to_proprio = zero(nn.Linear(width, proprio_dim)) if proprio_dim else None
        self._extra = (1 + bool(proprio_dim)) if self._tokens else 0
        self.unread = 1 if self._tokens else 0
        places = positions(context, self._extra, isqrt(patches))
        cos, sin = turning(rotations(places, widths.head), widths.head)
        self.register_buffer("_cos", cos, persistent=False)
        self.register_buffer("_sin", sin, persistent=False)
        frame = places[:, 0]
        self.register_buffer("_sees", frame[:, None] >= frame, persistent=False)

    _cos: Tensor
    _sin: Tensor
    _sees: Tensor
    unread: int
    """Tokens at the head of a frame that nothing is read from: the action's."""

    @property
    def layers(self) -> list[Block]:
        """The blocks in order."""
        return [block for block in self.blocks if isinstance(block, Block)]

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
        x, condition = self.embed(z, actions, proprio)
        angles, sees = self.geometry(0, x.shape[1])
        for block in self.layers:
            x = block(x, angles, sees, condition)
        return self.read(x[:, :, self.unread :], z, proprio)

    def imagine(self, z: Tensor, past: Tensor | None, proprio: Tensor | None) -> Imagination:
        """See `Predictor.imagine`."""
        return WindowImagination(self, z, past, proprio)

    def embed(
        self, z: Tensor, actions: Tensor, proprio: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Tokens of frames before the first block; arguments as `_predict`'s.

        Returns:
            (N, T, S, W) tokens, and the (N, T, 1, W) condition of each frame or None.
        """
        return self.embed_with(z, self.from_action(actions), proprio)

    def embed_with(
        self, z: Tensor, action: Tensor, proprio: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """As `embed`, with actions (N, T, W) that are embedded already."""
        robot = [action]
        if self.from_proprio is not None:
            robot.append(self.from_proprio(proprio))
        x = self.from_latent(z)
        if not self._tokens:
            return x, F.silu(torch.stack(robot).sum(0))[:, :, None]
        return torch.cat((torch.stack(robot, dim=2).to(x.dtype), x), dim=2), None

    def geometry(self, before: int, frames: int) -> tuple[Angles, Tensor | None]:
        """Where the tokens of frames `before` to `before + frames` of a window are.

        Returns:
            Their rotary angles, and (own tokens, tokens so far) which sees which; None where all
            see all, which lets attention run fused.
        """
        tokens = len(self._cos) // self.context
        own = slice(before * tokens, (before + frames) * tokens)
        sees = None if frames == 1 else self._sees[own, : own.stop]
        return (self._cos[own], self._sin[own]), sees

    def read(self, x: Tensor, z: Tensor, proprio: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """What tokens say of the next frame.

        Args:
            x: (N, T, S - unread, W) tokens behind the last block.
            z: (N, T, P, D) latents of their own frames.
            proprio: (N, T, Q) standardised proprio, or None.
        """
        x = self.norm(x)
        z_next = z + self.to_latent(x[:, :, x.shape[2] - z.shape[2] :]).to(z.dtype)
        if self.to_proprio is None or proprio is None:
            return z_next, None
        summary = x[:, :, 0] if self._tokens else x.mean(2)
        return z_next, proprio + self.to_proprio(summary).to(proprio.dtype)


def _windows(x: Tensor, length: int) -> Tensor:
    """(N, T, ...) to (N * W, length, ...): each of the W = T - length + 1 windows."""
    return x.unfold(1, length, 1).movedim(-1, 2).flatten(0, 1)


def _stitch(x: Tensor, windows: int) -> Tensor:
    """(N * W, length, ...) of `_windows` to (N, T, ...): each frame from its fullest history."""
    x = x.reshape(-1, windows, *x.shape[1:])
    return torch.cat((x[:, 0, :-1], x[:, :, -1]), dim=1)


@register("predictor", "transformer")
def build_transformer(config: WorldModelConfig, patches: int, dim: int) -> Predictor:
    """Predictor `transformer` of a config."""
    return TransformerPredictor(
        patches,
        dim,
        action_values(config),
        _transformer_widths(config),
        context=config.context,
        proprio_dim=config.proprio_dim,
        conditioning=config.conditioning,
    )


def _transformer_widths(config: WorldModelConfig) -> TransformerWidths:
    """The size's, with the options of the config in their place.

    Raises:
        ValueError: if there is no such option, lists those that exist; or if they do not fit.
    """
    known = [field.name for field in fields(TransformerWidths)]
    if unknown := [name for name in config.predictor_options if name not in known]:
        raise ValueError(f"no predictor option {unknown[0]!r}; there are: {', '.join(known)}")
    return replace(TRANSFORMER_SIZES[config.size], **config.predictor_options)
