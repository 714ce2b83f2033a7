"""What keeps latents apart: the terms of each `anti_collapse`, over the batch of all ranks.

Statistics are taken time step by time step, since the frames of one window are not independent.
Every token of a grid (P > 1) is a row of its own; InfoNCE alone compares whole frames.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from einops import rearrange
from torch import Tensor

from goalsight.losses import barlow_twins, covariance_penalty, info_nce, sigreg, variance_hinge
from goalsight.ranks import gather_batch
from goalsight.training.config import ObjectiveConfig


def anti_collapse_terms(
    z: Tensor,
    predicted: Tensor,
    config: ObjectiveConfig,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """The terms that need nothing but latents, by the name of their weight.

    Args:
        z: (B, T, P, D) encoded frames.
        predicted: (B, T-1, P, D) predictions of frames 1 to T-1, each from the frame before.
        config: which, and with which parameters.
        generator: source of SIGReg's directions, equally seeded on all ranks.

    Returns:
        () tensors without their weights; none for `ema`, `dino` and `none`.
    """
    terms: dict[str, Tensor] = {}
    # Lower precision would be as coarse as the deviations that the statistics measure.
    with torch.autocast(z.device.type, enabled=False):
        match config.anti_collapse:
            case "sigreg" if config.sigreg > 0:
                terms["sigreg"] = _over_time(
                    lambda x: sigreg(x, config.sigreg_directions, config.sigreg_knots, generator), z
                )
            case "vicreg" if config.variance > 0 or config.covariance > 0:
                # Both are cheap once the batch is gathered, and each explains the other.
                terms["variance"] = _over_time(variance_hinge, z)
                terms["covariance"] = _over_time(covariance_penalty, z)
            case "barlow" if config.barlow > 0:
                terms["barlow"] = _over_time(
                    lambda x, y: barlow_twins(x, y, config.barlow_off_diagonal), predicted, z[:, 1:]
                )
            case "infonce" if config.infonce > 0:
                rows = [
                    rearrange(gather_batch(latents.float()), "b t p d -> (b t) (p d)")
                    for latents in (predicted, z[:, 1:])
                ]
                terms["infonce"] = info_nce(rows[0], rows[1], config.infonce_temperature)
            case _:
                pass
    return terms


def _over_time(statistic: Callable[..., Tensor], *latents: Tensor) -> Tensor:
    """Mean over time of a statistic of rows, each (B, T, P, D) seen as T times (B * P, D)."""
    steps = [rearrange(gather_batch(z.float()), "b t p d -> t (b p) d") for z in latents]
    values = [statistic(*rows) for rows in zip(*steps, strict=True)]
    return torch.stack(values).mean()
