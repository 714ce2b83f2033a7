"""What a planner returns, and how one plan starts the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Cost = Callable[[Tensor], Tensor]
"""Maps candidate plans (B, N, H, K, A) to costs (B, N); lower is better, NaN counts as infinite."""


@dataclass(frozen=True, kw_only=True)
class IterationStats:
    """How one iteration of a search went, one number a problem; still on the planner's device."""

    best_cost: Tensor
    """(B,) lowest cost found so far."""
    elite_cost: Tensor
    """(B,) mean cost of the elites."""
    spread: Tensor
    """(B,) standard deviation of the sampling distribution, averaged over the plan's entries."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The outcome of a search for B independent problems.

    B problems, H action blocks of horizon, K control steps in a block, A numbers an action.
    """

    actions: Tensor
    """(B, H, K, A) cheapest plan that was evaluated, inside the bounds."""
    mean: Tensor
    """(B, H, K, A) mean of the last sampling distribution (random shooting: of the elites)."""
    std: Tensor
    """(B, H, K, A) its standard deviation, in action units."""
    cost: Tensor
    """(B,) cost of `actions`; infinite where no candidate had a finite cost."""
    history: tuple[IterationStats, ...]
    """One entry an iteration."""
    evaluations: int
    """Candidate plans evaluated for each problem."""


def shift(plan: Plan, blocks: int = 1) -> Tensor:
    """Warm start for the next decision: the best plan moved on by the blocks that were executed.

    Args:
        plan: the plan that is being executed, `actions` of shape (B, H, K, A).
        blocks: blocks executed since it was made; H or more leave only its last block.

    Returns:
        (B, H, K, A): blocks `blocks` to H-1 of the plan, then its last block repeated.

    Raises:
        ValueError: if `blocks` is negative.
    """
    if blocks < 0:
        raise ValueError(f"blocks must be 0 or more, got {blocks}; a plan cannot be moved back")
    horizon = plan.actions.shape[1]
    index = torch.arange(horizon, device=plan.actions.device) + blocks
    return plan.actions[:, index.clamp(max=horizon - 1)]
