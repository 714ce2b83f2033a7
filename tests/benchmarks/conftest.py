"""Benchmarks set PyTorch's threads for their process, which in tests is everybody's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def keep_threads() -> Iterator[None]:
    """As many threads after a test as before it."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
