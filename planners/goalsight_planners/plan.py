"""What a planner is called with, what it returns, and how one plan starts the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Cost = Callable[[Tensor], Tensor]
"""Maps candidate plans (B, N, H, K, A) to costs (B, N); lower is better, NaN counts as infinite."""

Stop = Callable[[], bool]
"""Asked between two iterations of a search whether its time is up; the first always runs."""


@dataclass(frozen=True, kw_only=True)
class IterationStats:
    """How one iteration of a search went, one number a problem; still on the planner's device."""

    best_cost: Tensor
    """(B,) lowest cost found so far."""
    elite_cost: Tensor
    """(B,) mean cost of the elites (MPPI: weighted mean of all)."""
    spread: Tensor
    """(B,) how wide the search still is, in normalised action units (bounds at [-1, 1]): standard
    deviation averaged over a plan's numbers, for a discrete axis the probability of another value
    than the likeliest; for a planner that follows gradients the mean length of its last step."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The outcome of a search for B independent problems.

    B problems, H action blocks of horizon, K control steps in a block, A numbers an action.
    """

    actions: Tensor
    """(B, H, K, A) cheapest plan that was evaluated, inside bounds and limits."""
    mean: Tensor
    """(B, H, K, A) mean of the last sampling distribution (where there is none: of the elites),
    inside bounds and limits; of a discrete axis the likeliest value."""
    std: Tensor
    """(B, H, K, A) its standard deviation, in action units."""
    elites: Tensor
    """(B, E, H, K, A) cheapest plans of the last iteration and of those it kept, in order."""
    cost: Tensor
    """(B,) cost of `actions`; infinite where no candidate had a finite cost."""
    history: tuple[IterationStats, ...]
    """One entry an iteration; fewer where every problem of the batch was done early, or where
    the caller's time was up."""
    evaluations: int
    """Candidate plans evaluated for each problem; a gradient counts as three, since a backward
    pass costs about two forward ones (Kaplan et al. 2020, arXiv:2001.08361, section 2.1)."""


def stack_plans(plans: Sequence[Plan]) -> Plan:
    """The plans of problems that were searched one at a time, as the plan of all of them.

    Args:
        plans: at least one, of the same shapes. Where some searches ended earlier than others, the
            history is that of the iterations that all of them had.
    """
    tensors = {
        name: torch.cat([getattr(plan, name) for plan in plans])
        for name in ("actions", "mean", "std", "elites", "cost")
    }
    history = tuple(
        IterationStats(
            **{
                name: torch.cat([getattr(stats, name) for stats in step])
                for name in ("best_cost", "elite_cost", "spread")
            }
        )
        for step in zip(*(plan.history for plan in plans), strict=False)
    )
    return Plan(history=history, evaluations=max(plan.evaluations for plan in plans), **tensors)


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
    return _move_on(plan.actions, blocks)


def shift_steps(plan: Plan, steps: int) -> Tensor:
    """Warm start for a decision that comes in the middle of a block; K steps a block, as `shift`.

    Args:
        plan: the plan that is being executed, `actions` of shape (B, H, K, A).
        steps: control steps executed since it was made; H x K or more leave only its last block.

    Returns:
        (B, H, K, A): the actions from `steps` on, then the last block repeated as often as needed.

    Raises:
        ValueError: if `steps` is negative.
    """
    blocks, rest = divmod(steps, plan.actions.shape[2])
    moved = _move_on(plan.actions, blocks)
    if not rest:
        return moved
    follows = torch.cat([moved, moved[:, -1:]], dim=1).flatten(1, 2)
    return follows[:, rest : rest + moved.shape[1] * moved.shape[2]].view_as(moved)


def shift_elites(plan: Plan, blocks: int = 1, count: int = 6) -> Tensor:
    """Warm start that also carries elites over: iCEM's shifted elites.

    Pinneri et al. 2020 (arXiv:2008.06389), section 3.3; where they draw the last action anew,
    the last block is repeated.

    Args:
        plan: the plan that is being executed.
        blocks: blocks executed since it was made.
        count: elites to carry over besides the best plan; at most as many as there are.

    Returns:
        (B, 1 + count, H, K, A): the best plan, then the elites, moved on; every planner takes it
        as `init`, starts from the first and tries them all.

    Raises:
        ValueError: if `blocks` or `count` is negative.
    """
    if count < 0:
        raise ValueError(f"count must be 0 or more, got {count}")
    kept = torch.cat([plan.actions[:, None], plan.elites[:, :count]], dim=1)
    return _move_on(kept.flatten(0, 1), blocks).view_as(kept)


def _move_on(plans: Tensor, blocks: int) -> Tensor:
    if blocks < 0:
        raise ValueError(f"blocks must be 0 or more, got {blocks}; a plan cannot be moved back")
    horizon = plans.shape[1]
    index = torch.arange(horizon, device=plans.device) + blocks
    return plans[:, index.clamp(max=horizon - 1)]
