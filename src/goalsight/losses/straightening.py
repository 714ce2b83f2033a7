"""Temporal straightening: recorded motion should be a straight line in latent space."""

from __future__ import annotations

from torch import Tensor


def curvature(z: Tensor, floor: float = 0.1) -> Tensor:
    """How much latent trajectories bend: 1 - cosine of consecutive velocities.

    The regulariser of temporal straightening for planning (arXiv:2603.12231), after the
    perceptual straightening of Henaff et al. 2019: where motion is straight, latent distance
    tells how far the goal is.

    Args:
        z: (*B, T, D) latents of consecutive frames, T >= 3.
        floor: length added in quadrature to both velocities: what moves much less than this
            stands still and gives no gradient that explodes.

    Returns:
        () mean in [0, 2]; near 0 for straight motion at any pace, 1 for a random walk and for
        what stands still.

    Raises:
        ValueError: if there are fewer than three frames.

    >>> import torch
    >>> line = 10.0 * torch.arange(5.0)[:, None] * torch.ones(1, 3)
    >>> round(curvature(line).item(), 3)
    0.0
    """
    if z.ndim < 2 or z.shape[-2] < 3:
        raise ValueError(f"a curve needs (*B, T, D) with T >= 3, got {tuple(z.shape)}")
    velocity = z.float().diff(dim=-2)
    length = (velocity.square().sum(-1) + floor**2).sqrt()
    before, after = velocity[..., :-1, :], velocity[..., 1:, :]
    cosine = (before * after).sum(-1) / (length[..., :-1] * length[..., 1:])
    return (1.0 - cosine).mean()
