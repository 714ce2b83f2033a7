"""Energies and costs: how far in latent space plans lead from the goal, and what else they cost.

Pure functions that compose: a distance for every imagined frame, an aggregate over the horizon,
penalties on the actions.
"""

from __future__ import annotations

from math import sqrt
from typing import Literal

import torch
from einops import reduce
from torch import Tensor
from torch.nn import functional

Energy = Literal["l2", "l1", "cosine"]
"""Distances between a predicted latent and the goal's."""
Aggregate = Literal["arrival", "final", "sum", "prefix"]
"""What of a plan's energies counts, see `aggregate_energy`."""


def goal_energy(predicted: Tensor, goal: Tensor, kind: Energy = "l2") -> Tensor:
    """Latent distance of every predicted frame to the goal.

    `l2` is the mean square over channels, `l1` the mean absolute error of V-JEPA 2-AC (Assran et
    al. 2025, arXiv:2506.09985), `cosine` is 1 - cos(predicted, goal) of each patch.

    Args:
        predicted: (*B, N, H, P, D) latents: N candidate plans, H future frames, P patches.
        goal: (*B, P, D) latent of the goal frame, from the same encoder.
        kind: of distance.

    Returns:
        (*B, N, H) means over patches, >= 0; divide by `energy_unit`.

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
    there = goal[..., None, None, :, :]
    if kind == "cosine":
        by_patch = 1 - functional.cosine_similarity(predicted, there, dim=-1)
        return by_patch.clamp_min(0).mean(-1)  # rounding may pass the angle 0
    difference = predicted - there
    error = difference.square() if kind == "l2" else difference.abs()
    return reduce(error, "... p d -> ...", "mean")


def energy_unit(kind: Energy, latent_variance: float) -> float:
    """What an energy is divided by, so that its numbers mean the same to every encoder.

    Two latents of the data, drawn at random, are then about 2 apart in `l2`, 1.13 in `l1` (if
    Gaussian), 2 in `cosine` (if unrelated). For `cosine`, 1/2 makes it the `l2` energy between the
    two directions, both at the length of a typical latent.

    Args:
        kind: of distance.
        latent_variance: of the training data's latents, mean over patches and channels.

    >>> energy_unit("l2", 4.0), energy_unit("l1", 4.0), energy_unit("cosine", 4.0)
    (4.0, 2.0, 0.5)
    """
    return {"l2": latent_variance, "l1": sqrt(latent_variance), "cosine": 0.5}[kind]


def arrival_cost(energy: Tensor, time_penalty: float, path_weight: float) -> Tensor:
    """Cost of plans that should arrive and stay: the best moment, the sooner the better.

    Scoring only the last frame makes a planner that replans procrastinate: the goal is always
    H blocks away. Scoring the sum pulls the arm straight at the goal pose and never lets it
    go round the object first. So a plan is worth its best frame, where each block of delay costs
    something, plus a little for what it passes through.

    Args:
        energy: (*B, N, H) energy after each block.
        time_penalty: what one block of delay costs, in units of energy.
        path_weight: weight of the mean energy along the plan.

    Returns:
        (*B, N) costs.

    >>> arrival_cost(torch.tensor([[4.0, 0.0, 9.0], [4.0, 4.0, 0.0]]), 1.0, 0.0).tolist()
    [1.0, 2.0]
    """
    steps = torch.arange(energy.shape[-1], device=energy.device)
    return (energy + time_penalty * steps).amin(-1) + path_weight * energy.mean(-1)


def aggregate_energy(
    energy: Tensor, how: Aggregate, *, time_penalty: float, path_weight: float, executed: int
) -> Tensor:
    """One number a plan out of its energies.

    Args:
        energy: (*B, N, H) energy after each block.
        how: `arrival` is `arrival_cost`; `final` the last block's energy; `sum` over all blocks;
            `prefix` the sum over the blocks that will be executed before the next decision.
        time_penalty: for `arrival` alone.
        path_weight: for `arrival` alone.
        executed: blocks executed before the next decision, for `prefix` alone.

    Returns:
        (*B, N) costs.

    >>> energy = torch.tensor([[4.0, 1.0, 9.0]])
    >>> [
    ...     aggregate_energy(energy, how, time_penalty=0.5, path_weight=0.0, executed=2).item()
    ...     for how in ("arrival", "final", "sum", "prefix")
    ... ]
    [1.5, 9.0, 14.0, 5.0]
    """
    if how == "arrival":
        return arrival_cost(energy, time_penalty, path_weight)
    if how == "final":
        return energy[..., -1]
    return (energy if how == "sum" else energy[..., :executed]).sum(-1)


def action_penalty(plans: Tensor) -> Tensor:
    """Mean square of a plan's actions.

    Args:
        plans: (*B, N, H, K, A) actions in [-1, 1].

    Returns:
        (*B, N) in [0, 1].

    >>> action_penalty(torch.full((1, 2, 5, 4), 0.5))
    tensor([0.2500])
    """
    return reduce(plans.square(), "... h k a -> ...", "mean")


def smoothness_penalty(plans: Tensor, previous: Tensor | None = None) -> Tensor:
    """Mean square of the change from each control step's action to the next.

    Args:
        plans: (*B, N, H, K, A) actions in [-1, 1].
        previous: (*B, A) the action that runs before a plan's first; None at the start of an
            episode, when nothing precedes it.

    Returns:
        (*B, N) in [0, 4]; 0 for a plan of one action with nothing before it.

    >>> smoothness_penalty(torch.tensor([0.0, 0.0, 1.0]).reshape(1, 3, 1, 1)).tolist()
    [0.5]
    """
    actions = plans.flatten(-3, -2)
    if previous is not None:
        first = previous[..., None, None, :].expand(*actions.shape[:-2], 1, actions.shape[-1])
        actions = torch.cat((first, actions), dim=-2)
    if actions.shape[-2] < 2:
        return actions.new_zeros(actions.shape[:-2])
    return reduce(actions.diff(dim=-2).square(), "... t a -> ...", "mean")
