"""What all tests share: random numbers that are the same every time, and no deadline."""

from __future__ import annotations

import pytest
import torch
from hypothesis import settings

settings.register_profile("goalsight", deadline=None, derandomize=True)
settings.load_profile("goalsight")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Begin at the same random numbers, whichever test ran before in this process."""
    torch.manual_seed(0)
