"""A batch norm that sees the whole batch of a run of several processes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from goalsight.ranks import rank_count, sum_over_ranks


class BatchNorm(nn.BatchNorm1d):
    """`nn.BatchNorm1d` whose statistics are those of the batches of all ranks.

    With one process it is PyTorch's own. PyTorch's `SyncBatchNorm` does the same on GPUs and
    refuses a processor; this one runs wherever the process group does, gloo included.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (PyTorch's name)
        """(N, C) or (N, C, L) to the same shape; parts of a batch must be equally large."""
        if not self.training or rank_count() == 1:
            return super().forward(input)
        self._check_input_dim(input)
        axes = [axis for axis in range(input.ndim) if axis != 1]
        with torch.autocast(input.device.type, enabled=False):
            x = input.float()
            count = x.numel() // x.shape[1] * rank_count()
            mean = sum_over_ranks(x.sum(axes, keepdim=True)) / count
            # In two passes: the mean of squares minus the squared mean would cancel digits.
            centred = x - mean
            variance = sum_over_ranks(centred.square().sum(axes, keepdim=True)) / count
            out = centred * (variance + self.eps).rsqrt()
            if self.affine:
                shape = [-1 if axis == 1 else 1 for axis in range(x.ndim)]
                out = out * self.weight.view(shape) + self.bias.view(shape)
        self._follow(mean.detach().flatten(), variance.detach().flatten(), count)
        return out.to(input.dtype)

    def _follow(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics as PyTorch does, with the unbiased variance."""
        if not self.track_running_stats:
            return
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = self.momentum
        if share is None:  # PyTorch's way to ask for the plain average
            share = 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        unbiased = variance * (count / (count - 1))
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)
