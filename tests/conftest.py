"""What all tests share: random numbers that are the same every time, and no hurry."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, settings

# No deadline and no check that examples are made quickly: both depend on the machine.
settings.register_profile(
    "goalsight", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("goalsight")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Begin at the same random numbers, whichever test ran before in this process."""
    torch.manual_seed(0)
