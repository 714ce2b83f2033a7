"""Statistics over the batch of all processes of a run, differentiable.

Every process ("rank") of a data-parallel run sees its own part of the batch. Trainers average the
gradients of all ranks, so the loss of a run is the mean of the ranks' losses; the backward passes
here are those of that mean. With one process everything here does nothing. The parts of a batch
must be equally large.
"""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def rank_count() -> int:
    """Processes that train together; 1 if there is no process group."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_world_size()
    return 1


def gather_batch(x: Tensor) -> Tensor:
    """The batch of all ranks, the same on each of them.

    Args:
        x: (B, ...) this rank's part; B and the other axes must be equal on all ranks.

    Returns:
        (R * B, ...) the parts in the order of the R ranks; gradients flow back to each of them.
    """
    if rank_count() == 1:
        return x
    gathered: Tensor = _Gather.apply(x)  # type: ignore[no-untyped-call]
    return gathered


def sum_over_ranks(x: Tensor) -> Tensor:
    """Sum of a tensor over all ranks, the same on each of them; gradients flow to all."""
    if rank_count() == 1:
        return x
    total: Tensor = _Sum.apply(x)  # type: ignore[no-untyped-call]
    return total


class _Gather(torch.autograd.Function):
    """PyTorch's own differentiable gather needs an all-to-all, which gloo does not have."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        """(B, ...) to (R * B, ...)."""
        ctx.rows = len(x)  # type: ignore[attr-defined]
        parts = [torch.empty_like(x) for _ in range(rank_count())]
        distributed.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> Tensor:
        """(R * B, ...) gradients of this rank's loss to (B, ...), of all ranks' losses."""
        rows: int = ctx.rows  # type: ignore[attr-defined]
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)  # every rank's loss depends on this rank's part
        return total.narrow(0, distributed.get_rank() * rows, rows)


class _Sum(torch.autograd.Function):
    """All-reduce, and all-reduce of the gradients."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        """Sum over ranks."""
        del ctx
        total = x.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> Tensor:
        """Sum of the gradients of all ranks' losses."""
        del ctx
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total
