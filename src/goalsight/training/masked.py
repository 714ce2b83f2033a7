"""V-JEPA's objective: from the visible tokens of a video predict the latents of the hidden ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from goalsight.masking import FAMILIES, Masks, context_weights, sample_masks
from goalsight.models.mask_predictor import MaskPredictor
from goalsight.models.video_encoder import VideoEncoder, take
from goalsight.ranks import rank_count


@dataclass(frozen=True, kw_only=True)
class MaskedObjectiveConfig:
    """V-JEPA 2 (arXiv:2506.09985); `context` and `levels` add what V-JEPA 2.1 does."""

    momentum: float = 0.99925
    """Share of the target encoder that a step keeps; smaller for short runs."""
    context: float = 0.0
    """Weight of predicting the visible tokens too, those near hidden ones most (V-JEPA 2.1)."""
    context_warmup_steps: int = 500
    """Steps over which that weight grows."""
    levels: int = 1
    """Depths of the encoder that are predicted, evenly spaced, the last included (V-JEPA 2.1)."""

    def __post_init__(self) -> None:
        if not 0 <= self.momentum <= 1:
            raise ValueError(f"momentum must be in [0, 1], got {self.momentum}")
        if self.context < 0 or self.context_warmup_steps < 0 or self.levels < 1:
            raise ValueError(
                "context and context_warmup_steps must not be negative, levels at least 1, got "
                f"{self.context}, {self.context_warmup_steps} and {self.levels}"
            )

    def after(self, depth: int) -> tuple[int, ...]:
        """Numbers of the blocks whose output is predicted.

        Raises:
            ValueError: if the encoder has fewer blocks than levels.

        >>> MaskedObjectiveConfig(levels=4).after(12)
        (3, 6, 9, 12)
        """
        if self.levels > depth:
            raise ValueError(
                f"levels must be at most {depth}, the encoder's depth, got {self.levels}"
            )
        return tuple(depth * number // self.levels for number in range(1, self.levels + 1))

    def context_weight(self, step: int) -> float:
        """The weight of predicting visible tokens at an optimiser step."""
        grown = (step + 1) / self.context_warmup_steps if self.context_warmup_steps else 1.0
        return self.context * min(1.0, grown)


def masked_losses(
    encoder: VideoEncoder,
    target_encoder: VideoEncoder,
    predictor: MaskPredictor,
    video: Tensor,
    config: MaskedObjectiveConfig,
    *,
    generator: torch.Generator,
    step: int = 0,
) -> dict[str, Tensor]:
    """Mean absolute error of the predicted latents, over both families of masks.

    Targets are the target encoder's latents of the whole video, without gradient, each level
    normalised by a layer norm without parameters: what cannot shrink cannot collapse by shrinking.

    Args:
        encoder: to train; sees the visible tokens.
        target_encoder: its moving average; sees all tokens.
        predictor: to train.
        video: (B, T, 3, H, W) uint8 RGB.
        config: what is predicted.
        generator: source of the masks, on the CPU, the same in all processes that train together.
        step: optimiser steps done.

    Returns:
        () tensors: `loss`, its part `prediction` on hidden tokens, and `context` on visible ones
        without its weight (0 where it is switched off).
    """
    after, grid = config.after(encoder.config.depth), encoder.config.grid(video.shape[1])
    with torch.no_grad():
        targets = _normalised(target_encoder.levels(video, after), len(after))
    hidden, visible = [], []
    for family, kind in enumerate(FAMILIES):
        drawn = sample_masks(len(video) * rank_count(), grid, kind, generator)
        weights = context_weights(drawn, grid) if config.context else None
        masks = _of_this_rank(drawn).to(video.device)
        seen = encoder.levels(video, after, masks.context)
        again, predicted = predictor(seen, masks.context, masks.target, grid, family)
        hidden.append((predicted.float() - take(targets, masks.target)).abs().mean())
        if weights is not None:
            error = (again.float() - take(targets, masks.context)).abs().mean(dim=-1)
            mine = weights[_rank_rows(len(weights))].to(video.device)
            visible.append((error * mine).mean())
    prediction = torch.stack(hidden).mean()
    context = torch.stack(visible).mean() if visible else torch.zeros_like(prediction)
    loss = prediction + config.context_weight(step) * context if visible else prediction
    return {"loss": loss, "prediction": prediction, "context": context}


@torch.no_grad()
def follow(slow: nn.Module, fast: nn.Module, momentum: float) -> None:
    """Move a moving average one step: slow = momentum * slow + (1 - momentum) * fast.

    Args:
        slow: the target encoder, changed in place.
        fast: the encoder, with the same parameters.
        momentum: share that is kept, in [0, 1].
    """
    torch._foreach_lerp_(list(slow.parameters()), list(fast.parameters()), 1.0 - momentum)


def _normalised(tokens: Tensor, levels: int) -> Tensor:
    """(B, P, levels * D) tokens, every level of every token with mean 0 and spread 1."""
    apart = rearrange(tokens.float(), "b p (level d) -> b p level d", level=levels)
    return F.layer_norm(apart, apart.shape[-1:]).flatten(-2)


def _rank_rows(batch: int) -> slice:
    """The part of a batch of all processes that this one has."""
    ranks = rank_count()
    rank = torch.distributed.get_rank() if ranks > 1 else 0
    return slice(batch // ranks * rank, batch // ranks * (rank + 1))


def _of_this_rank(masks: Masks) -> Masks:
    rows = _rank_rows(len(masks.context))
    return Masks(masks.context[rows], masks.target[rows])
