"""Is the representation collapsing? Two numbers that say so before the success rate does."""

from __future__ import annotations

import torch
from torch import Tensor


def effective_rank(z: Tensor) -> Tensor:
    """exp(entropy of the normalised singular values): how many dimensions a batch really uses.

    Roy and Vetterli 2007; RankMe (Garrido et al. 2023, arXiv:2210.02885). 1 for a batch on a
    line, D for an isotropic one. The prediction loss alone looks best when this is near 1.

    Args:
        z: (B, D) latents.

    Returns:
        () in [1, min(B, D)].

    >>> line = torch.arange(8.0)[:, None] * torch.ones(1, 4)
    >>> round(effective_rank(line).item(), 2)
    1.0
    """
    centred = z.float() - z.float().mean(0)
    return rank_of_spectrum(torch.linalg.svdvals(centred))


def rank_of_spectrum(singular: Tensor) -> Tensor:
    """`effective_rank` where the singular values of the centred batch, (R,), are known already."""
    share = singular / singular.sum().clamp_min(1e-12)
    entropy = -(share * share.clamp_min(1e-12).log()).sum()
    rank: Tensor = entropy.exp()
    return rank


def smallest_std(z: Tensor) -> Tensor:
    """Standard deviation of the least used latent dimension over a batch (B, D)."""
    return z.float().std(0).min()
