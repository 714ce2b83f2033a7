"""When a batch may stop early, known without waiting for the device."""

from __future__ import annotations

import torch
from torch import Tensor

from goalsight_planners.plan import Stop


class Finished:
    """Tells whether every problem of a batch is done.

    A problem that is done is frozen on the device, so stopping never changes a plan: it only
    saves evaluations. That is what lets the answer come late. On a CPU it is read at once. On
    CUDA asking would make the host wait for the whole iteration; instead the flag is copied to
    pinned memory behind the work already queued, and looked at an iteration or more later, when
    an event says that it has arrived.
    """

    def __init__(self, device: torch.device) -> None:
        """Watch the problems of one search."""
        self._cuda = device.type == "cuda"
        self._event: torch.cuda.Event | None = None
        self._flag = torch.zeros((), dtype=torch.bool, pin_memory=self._cuda)

    def __call__(self, stopped: Tensor) -> bool:
        """Whether all of (B,) problems are known to be done by now."""
        if not self._cuda:
            return bool(stopped.all())
        if self._event is not None:
            if not self._event.query():  # type: ignore[no-untyped-call]
                return False
            if bool(self._flag):
                return True
        self._flag.copy_(stopped.all(), non_blocking=True)
        self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._event.record()
        return False


def time_is_up(stop: Stop | None, iteration: int) -> bool:
    """Whether the caller wants the search to end before this iteration (0 is the first)."""
    return stop is not None and iteration > 0 and stop()


def freeze(stopped: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """`old` for the problems that are done (B,), `new` (B, ...) for the others."""
    return torch.where(stopped.view(-1, *[1] * (new.ndim - 1)), old, new)
