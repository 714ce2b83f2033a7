"""A clock that a test drives, so that what it says about time holds on any machine."""

from __future__ import annotations


class Clock:
    """Time that passes only where the test says so, and a stand-in for the module `time`.

    Give it as a `clock` argument, or put it in a module's place of `time`:
    `monkeypatch.setattr("goalsight.training.data.time", clock)`.
    """

    def __init__(self, *, tick: float = 0.0) -> None:
        """Begin at 100 s; every look at the clock makes it `tick` later [s]."""
        self.now, self.tick = 100.0, tick

    def __call__(self) -> float:
        """The present moment [s]."""
        moment = self.now
        self.now += self.tick
        return moment

    perf_counter = monotonic = process_time = __call__

    def sleep(self, seconds: float) -> None:
        """Let time pass [s]."""
        self.now += seconds
