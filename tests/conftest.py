"""What all tests share: random numbers that are the same every time, and no hurry."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

# No deadline and no check that examples are made quickly: both depend on the machine.
settings.register_profile(
    "goalsight", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("goalsight")


NUMERICS = (
    "planners",
    "models",
    "memory",
    "training",
    "test_agent",
    "test_energies",
    "test_macro",
    "data/test_cache",
    "diagnostics/test_decode",
    "diagnostics/test_measures",
    "diagnostics/test_probe",
    "diagnostics/test_surprise",
    "benchmark/test_oracle",
)
"""Beginnings of the paths of tests whose numbers a processor's instruction set could change."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them for `make test-isa`."""
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).as_posix().startswith(NUMERICS):
            item.add_marker(pytest.mark.numerics)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Begin at the same random numbers, whichever test ran before in this process."""
    torch.manual_seed(0)
