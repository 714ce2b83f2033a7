"""Energies: how far, in latent space, a plan ends from the goal."""

from __future__ import annotations

import torch
from einops import reduce
from torch import Tensor


def goal_energy(predicted: Tensor, goal: Tensor) -> Tensor:
    """Squared latent distance of every predicted frame to the goal.

    Args:
        predicted: (*B, N, H, P, D) latents: N candidate plans, H future frames, P patches.
        goal: (*B, P, D) latent of the goal frame, from the same encoder.

    Returns:
        (*B, N, H) mean squared error over patches and channels, >= 0.

    Raises:
        ValueError: if `predicted` and `goal` differ in batch, P or D.

    >>> goal_energy(torch.zeros(2, 3, 4, 8), torch.ones(4, 8))[:, -1].tolist()
    [1.0, 1.0]
    """
    if predicted.shape[:-4] != goal.shape[:-2] or predicted.shape[-2:] != goal.shape[-2:]:
        raise ValueError(
            f"predicted and goal must share batch, patches and dim, got {tuple(predicted.shape)} "
            f"and {tuple(goal.shape)}; encode both with one encoder at one image size"
        )
    difference = predicted - goal[..., None, None, :, :]
    return reduce(difference.square(), "... p d -> ...", "mean")


def arrival_cost(energy: Tensor, delay: float, running: float) -> Tensor:
    """Cost of plans that should arrive and stay: the best moment, the sooner the better.

    Scoring only the last frame makes a planner that replans procrastinate: the goal is always
    H blocks away. Scoring the sum pulls the arm straight at the goal pose and never lets it
    go round the object first. So a plan is worth its best frame, where each block of delay costs
    something, plus a little for what it passes through.

    Args:
        energy: (*B, N, H) energy after each block.
        delay: what one block of delay costs, in units of energy.
        running: weight of the mean energy along the plan.

    Returns:
        (*B, N) costs.

    >>> arrival_cost(torch.tensor([[4.0, 0.0, 9.0], [4.0, 4.0, 0.0]]), 1.0, 0.0).tolist()
    [1.0, 2.0]
    """
    steps = torch.arange(energy.shape[-1], device=energy.device)
    return (energy + delay * steps).amin(-1) + running * energy.mean(-1)
