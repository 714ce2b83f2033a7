"""Regularisers of second moments: VICReg's two terms and Barlow Twins.

Taken time step by time step, since the frames of one window are not independent. Every token of a
grid (P > 1) is a row of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from goalsight.ranks import gather_batch
from goalsight.registry import register

EPSILON = 1e-4
"""Added to variances before a root is taken, as in VICReg: the root has no slope at zero."""


@register("loss", "vicreg")
def vicreg_terms(
    z: Tensor,
    _predicted: Tensor,
    config: Any,  # noqa: ANN401  (as `AntiCollapseLoss` says)
    _generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Variance and covariance of VICReg; see `goalsight.losses.AntiCollapseLoss`."""
    if not (config.variance > 0 or config.covariance > 0):
        return {}
    # Both are cheap once the batch is gathered, and each explains the other.
    return {
        "variance": _over_time(variance_hinge, z),
        "covariance": _over_time(covariance_penalty, z),
    }


@register("loss", "barlow")
def barlow_terms(
    z: Tensor,
    predicted: Tensor,
    config: Any,  # noqa: ANN401  (as `AntiCollapseLoss` says)
    _generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Barlow Twins of predictions and targets; see `goalsight.losses.AntiCollapseLoss`."""
    if not config.barlow > 0:
        return {}
    off_diagonal = config.barlow_off_diagonal
    return {
        "barlow": _over_time(lambda x, y: barlow_twins(x, y, off_diagonal), predicted, z[:, 1:])
    }


def variance_hinge(z: Tensor, least: float = 1.0) -> Tensor:
    """How much the dimensions of a batch vary less than they should.

    The variance term of VICReg (Bardes, Ponce and LeCun 2022, arXiv:2105.04906).

    Args:
        z: (B, D) latents; the statistic is over B.
        least: standard deviation from which on a dimension costs nothing.

    Returns:
        () mean over the dimensions of max(0, least - std), in [0, least].

    Raises:
        ValueError: if `z` is not (B, D) with at least two rows.

    >>> variance_hinge(torch.ones(8, 4)).item() > 0.98
    True
    """
    _check(z)
    std = (z.float().var(0) + EPSILON).sqrt()
    return functional.relu(least - std).mean()


def covariance_penalty(z: Tensor) -> Tensor:
    """How much the dimensions of a batch say the same.

    The covariance term of VICReg (arXiv:2105.04906).

    Args:
        z: (B, D) latents; the statistic is over B.

    Returns:
        () sum of the squared off-diagonal covariances over D, >= 0.

    Raises:
        ValueError: if `z` is not (B, D) with at least two rows.
    """
    _check(z)
    centred = z.float() - z.float().mean(0)
    covariance = centred.T @ centred / (len(z) - 1)
    return _off_diagonal(covariance).square().sum() / z.shape[1]


def barlow_twins(one: Tensor, other: Tensor, off_diagonal: float = 5e-3) -> Tensor:
    """How far the cross-correlation of two views of a batch is from the identity.

    Barlow Twins (Zbontar et al. 2021, arXiv:2103.03230), divided by D so that its weight does
    not depend on the width.

    Args:
        one: (B, D) latents, here predictions.
        other: (B, D) latents of the same rows, here what was predicted.
        off_diagonal: weight of the redundancy between dimensions against the agreement of each
            with itself; 0.005 is the paper's for D = 8192.

    Returns:
        () loss >= 0; 0 for equal views of uncorrelated dimensions.

    Raises:
        ValueError: if the views are not both (B, D) with at least two rows.
    """
    _check(one)
    if one.shape != other.shape:
        raise ValueError(
            f"two views must have one shape, got {tuple(one.shape)} and {tuple(other.shape)}"
        )
    correlation = _standardise(one).T @ _standardise(other) / len(one)
    agreement = (1.0 - correlation.diagonal()).square().sum()
    redundancy = _off_diagonal(correlation).square().sum()
    loss: Tensor = (agreement + off_diagonal * redundancy) / one.shape[1]
    return loss


def _over_time(statistic: Callable[..., Tensor], *latents: Tensor) -> Tensor:
    """Mean over time of a statistic of rows, each (B, T, P, D) seen as T times (B * P, D)."""
    steps = [rearrange(gather_batch(z.float()), "b t p d -> t (b p) d") for z in latents]
    values = [statistic(*rows) for rows in zip(*steps, strict=True)]
    return torch.stack(values).mean()


def _standardise(z: Tensor) -> Tensor:
    centred = z.float() - z.float().mean(0)
    return centred / (centred.square().mean(0) + EPSILON).sqrt()


def _off_diagonal(square: Tensor) -> Tensor:
    return square - torch.diag(square.diagonal())


def _check(z: Tensor) -> None:
    if z.ndim != 2 or len(z) < 2:
        raise ValueError(f"z must be (B, D) with B >= 2, got {tuple(z.shape)}")
