"""Random numbers: one stream a problem, white or coloured in time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from goalsight_planners.space import Space


def colour_matrix(steps: int, exponent: float) -> Tensor:
    """Mixing matrix that turns white noise over time into coloured noise.

    Power spectrum 1 / f^exponent (Timmer and Koenig 1995, as in iCEM, Pinneri et al. 2020,
    arXiv:2008.06389, section 3.1), the lowest frequency standing in for 0. They draw it by an
    inverse Fourier transform of as many steps, whose ends meet: the last action is like the first.
    Here the spectrum is that of a signal twice as long, and the Cholesky factor of its
    autocovariance gives the first half with no such wrap.

    Args:
        steps: T, steps in time.
        exponent: 0 is white, 1 pink, 2 red noise.

    Returns:
        (T, T) lower triangular float32 with rows of length 1: unit variance at every step.

    Raises:
        ValueError: if the exponent is not in [0, 4]; beyond that nothing but the mean moves.

    >>> colour_matrix(3, 0.0).equal(torch.eye(3))
    True
    """
    if not 0 <= exponent <= 4:
        raise ValueError(f"exponent must be in [0, 4], got {exponent}")
    if exponent == 0:
        return torch.eye(steps)
    frequency = torch.arange(steps + 1, dtype=torch.float64).clamp_min(1)
    covariance = torch.fft.irfft(frequency**-exponent, n=2 * steps)[:steps]
    lag = (torch.arange(steps)[:, None] - torch.arange(steps)).abs()
    factor: Tensor = torch.linalg.cholesky(covariance[lag] / covariance[0])
    return factor.float()


def streams(seeds: Sequence[int], device: torch.device | str = "cpu") -> list[torch.Generator]:
    """One random stream a problem, as every planner takes them.

    Args:
        seeds: one a problem; the same seed draws the same samples in any batch.
        device: where to plan.
    """
    return [torch.Generator(device).manual_seed(seed) for seed in seeds]


def white(space: Space, count: int, generators: Sequence[torch.Generator]) -> Tensor:
    """Standard normal numbers (B, N, H, S, A), each problem's from its own stream."""
    noise = space.low.new_empty(space.problems, count, *space.drawn)
    for row, generator in zip(noise, generators, strict=True):
        row.normal_(generator=generator)
    return noise


def uniform(space: Space, count: int, generators: Sequence[torch.Generator]) -> Tensor:
    """Numbers (B, N, H, S, A) uniform on [0, 1), each problem's from its own stream."""
    noise = space.low.new_empty(space.problems, count, *space.drawn)
    for row, generator in zip(noise, generators, strict=True):
        row.uniform_(generator=generator)
    return noise


def coloured(noise: Tensor, mixing: Tensor) -> Tensor:
    """Noise (B, N, H, S, A) made coloured over its H x S steps by a matrix (H x S, H x S).

    Problem by problem: a product of another size may round otherwise, and the samples of a
    problem must not depend on the batch it is in.
    """
    steps = noise.flatten(2, 3)
    mixed = torch.stack([torch.matmul(mixing, row) for row in steps])
    return mixed.view_as(noise)
