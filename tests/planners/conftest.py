"""Every planner by name, with a search small enough for a test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import pytest

from benchmarks.planners import PLANNERS
from goalsight_planners import SearchConfig

needs_cmaes = pytest.mark.skipif(find_spec("cmaes") is None, reason="needs the package cmaes")
SMALL: dict[str, dict[str, Any]] = {
    "adam": {"samples": 4, "iterations": 8, "elites": 2},
    "cma_es": {"samples": 10, "iterations": 6, "elites": 4},
    "icem": {"samples": 32, "elites": 6, "keep_elites": 2},
    "cem": {"samples": 32, "elites": 6, "keep_elites": 2, "momentum": 0.1},
}


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(name, marks=needs_cmaes) if name == "cma_es" else name for name in PLANNERS
    ],
)
def name(request: pytest.FixtureRequest) -> str:
    """A planner's name; a test that takes it runs for each of them."""
    chosen: str = request.param
    return chosen


@pytest.fixture(scope="session")
def small() -> Callable[..., SearchConfig]:
    """A planner's config for a quick search, with fields changed."""

    def make(name: str, /, **changes: Any) -> SearchConfig:
        fields = SMALL.get(name, {"samples": 32, "elites": 6, "iterations": 4})
        return replace(PLANNERS[name].config(**fields), **changes)

    return make
