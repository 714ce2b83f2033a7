"""Time that tests drive, and as many threads after a test as before it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from tests.clock import Clock


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What is timed takes 10 ms, however much is done in it, unless a test says otherwise."""
    clock = Clock(tick=0.01)
    monkeypatch.setattr("benchmarks.timing.time", clock)
    return clock


@pytest.fixture(autouse=True)
def keep_threads() -> Iterator[None]:
    """A benchmark sets PyTorch's threads for its process, which in tests is everybody's."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
