"""Time: when a search must end, and how long decisions took."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

RESERVE_S = 0.001
"""Kept free behind the search for taking its plan [s]."""
EDGES_MS = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 75.0, 100.0, 150.0, 200.0, 500.0, 1000.0)
"""Upper edges of the histogram's bins [ms]; what is slower goes into one more."""


class Deadline:
    """Tells a search between two iterations whether another one would still end in time.

    It expects the next iteration to take as long as the longest so far. On CUDA it waits for the
    queued work first: without a deadline nothing does.
    """

    def __init__(
        self,
        seconds: float,
        began: float,
        device: torch.device,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Set it.

        Args:
            seconds: that the decision may take.
            began: when it began, by the clock.
            device: that does the search.
            clock: seconds from some moment on.

        Raises:
            ValueError: if there is no time at all.
        """
        if not seconds > 0:
            raise ValueError(f"deadline must be positive, got {seconds} s")
        self._end = began + seconds - RESERVE_S
        self._device, self._clock = device, clock
        self._last, self._longest = clock(), 0.0

    def __call__(self) -> bool:
        """Whether to end the search now."""
        if self._device.type == "cuda":
            torch.cuda.current_stream(self._device).synchronize()
        now = self._clock()
        self._longest = max(self._longest, now - self._last)
        self._last = now
        return now + self._longest > self._end


def deadline_in(
    seconds: float, began: float, device: torch.device, clock: Callable[[], float]
) -> Deadline | None:
    """A deadline so many seconds after a moment of the clock; 0 for none.

    Raises:
        ValueError: if it is before that moment.
    """
    return Deadline(seconds, began, device, clock) if seconds else None


@dataclass(frozen=True, kw_only=True)
class LatencySummary:
    """How long decisions took."""

    count: int
    """Decisions."""
    p50_ms: float
    """Median [ms]; 0 without decisions, like the others."""
    p95_ms: float
    """19 of 20 were no slower [ms]."""
    max_ms: float
    """The slowest [ms]."""
    late: int
    """Decisions that took longer than their deadline."""


class Latencies:
    """Latencies of decisions, kept in memory: adding one never waits for anything.

    >>> latencies = Latencies()
    >>> for milliseconds in (20, 30, 90):
    ...     latencies.add(milliseconds / 1e3, deadline=0.08)
    >>> latencies.summary().p50_ms, latencies.summary().late
    (30.0, 1)
    """

    def __init__(self, keep: int = 100_000) -> None:
        """Keep the last so many for the quantiles; counts and maximum are of all."""
        self._recent: deque[float] = deque(maxlen=keep)
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._recent.clear()
        self._counts = [0] * (len(EDGES_MS) + 1)
        self._max_ms, self._late = 0.0, 0

    def add(self, seconds: float, deadline: float = 0.0) -> None:
        """Take in how long a decision took [s], and what it was allowed [s]; 0 allows any."""
        milliseconds = 1e3 * seconds
        self._recent.append(milliseconds)
        self._counts[bisect_left(EDGES_MS, milliseconds)] += 1
        self._max_ms = max(self._max_ms, milliseconds)
        self._late += bool(deadline) and seconds > deadline

    def summary(self) -> LatencySummary:
        """Counts and quantiles so far."""
        known = list(self._recent) or [0.0]
        p50, p95 = np.percentile(known, [50, 95])
        return LatencySummary(
            count=sum(self._counts),
            p50_ms=round(float(p50), 3),
            p95_ms=round(float(p95), 3),
            max_ms=round(self._max_ms, 3),
            late=self._late,
        )

    def histogram(self) -> list[tuple[float, int]]:
        """Upper edge of each bin [ms], infinite for the last, and how many decisions it holds."""
        return list(zip((*EDGES_MS, float("inf")), self._counts, strict=True))

    def __str__(self) -> str:
        """The histogram as lines of text, from the first bin that holds something to the last."""
        bins = self.histogram()
        used = [number for number, (_, count) in enumerate(bins) if count]
        if not used:
            return "no decisions yet"
        most = max(self._counts)
        lines = []
        for number in range(used[0], used[-1] + 1):
            edge, count = bins[number]
            below = f"{bins[number - 1][0]:.0f}" if number else "0"
            label = f"{below} - {edge:.0f} ms" if edge < float("inf") else f"over {below} ms"
            lines.append(f"{label:>14} {count:6d} {'█' * -(-40 * count // most)}".rstrip())
        return "\n".join(lines)
