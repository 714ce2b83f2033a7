"""InfoNCE: a prediction must be nearer to what came than to anything else in the batch."""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from goalsight.ranks import gather_batch
from goalsight.registry import register


@register("loss", "infonce")
def infonce_terms(
    z: Tensor,
    predicted: Tensor,
    config: Any,  # noqa: ANN401  (as `AntiCollapseLoss` says)
    _generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """InfoNCE over whole frames of all time steps; see `goalsight.losses.AntiCollapseLoss`."""
    if not config.infonce > 0:
        return {}
    rows = [
        rearrange(gather_batch(latents.float()), "b t p d -> (b t) (p d)")
        for latents in (predicted, z[:, 1:])
    ]
    return {"infonce": info_nce(rows[0], rows[1], config.infonce_temperature)}


def info_nce(predicted: Tensor, target: Tensor, temperature: float = 0.1) -> Tensor:
    """Cross-entropy of picking the right target among all targets of a batch.

    Contrastive predictive coding (van den Oord, Li and Vinyals 2018, arXiv:1807.03748) with the
    cosine similarity of SimCLR (arXiv:2002.05709).

    Args:
        predicted: (N, D) predictions.
        target: (N, D); row i belongs to prediction i, all other rows are its negatives.
        temperature: divides the similarities; small ones ask for more.

    Returns:
        () loss >= 0; log N for latents that are all the same.

    Raises:
        ValueError: if the two are not (N, D) of one shape, or the temperature is not positive.

    >>> round(info_nce(torch.ones(8, 2), torch.ones(8, 2)).exp().item(), 3)
    8.0
    """
    if predicted.ndim != 2 or predicted.shape != target.shape:
        raise ValueError(
            f"predicted and target must both be (N, D), got {tuple(predicted.shape)} and "
            f"{tuple(target.shape)}"
        )
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    left = functional.normalize(predicted.float(), dim=-1)
    right = functional.normalize(target.float(), dim=-1)
    own = torch.arange(len(left), device=left.device)
    return functional.cross_entropy(left @ right.T / temperature, own)
