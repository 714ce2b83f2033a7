"""SIGReg: a batch whose random one-dimensional shadows are Gaussian cannot have collapsed."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def sigreg(
    z: Tensor,
    directions: int = 64,
    knots: int = 17,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Sketched isotropic Gaussian regularisation: how far a batch is from N(0, I).

    Along random directions the empirical characteristic function of the batch is compared with
    the Gaussian's (Epps-Pulley), LeJEPA (Balestriero and LeCun 2025, arXiv:2511.08544) as used
    by LeWM (arXiv:2603.19312). It keeps latents from collapsing without targets or negatives.

    Args:
        z: (B, D) latents; the statistic is over B.
        directions: random unit vectors, drawn afresh at each call.
        knots: points in [0, 3] at which the characteristic functions are compared.
        generator: source of the directions.

    Returns:
        () statistic >= 0, times B as in the literature so that it grows with the evidence.

    Raises:
        ValueError: if `z` is not (B, D) with at least two rows.
    """
    if z.ndim != 2 or len(z) < 2:
        raise ValueError(f"z must be (B, D) with B >= 2, got {tuple(z.shape)}")
    batch, dim = z.shape
    normals = torch.randn(dim, directions, generator=generator, device=z.device)
    projected = z.float() @ functional.normalize(normals, dim=0)
    t = torch.linspace(0.0, 3.0, knots, device=z.device)
    gaussian = torch.exp(-0.5 * t**2)
    angles = projected[..., None] * t
    error = (angles.cos().mean(0) - gaussian) ** 2 + angles.sin().mean(0) ** 2
    return batch * torch.trapezoid(error * gaussian, t).mean()
