"""InfoNCE: a prediction must be nearer to what came than to anything else in the batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


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
