"""A small real manifest, and an environment whose distances are written down beforehand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from goalsight.benchmark.manifest import SCHEMA, Manifest, Pair, Recipe, generate_manifest
from goalsight.benchmark.results import SCHEMA as RESULTS_SCHEMA
from goalsight.benchmark.results import ManifestRef, Outcome, Results, compare, row_result

Array = NDArray[Any]
BUDGET = 8


class WrittenEnv:
    """Plays back distances; success is below 1 m. Only what `play_pair` touches."""

    def __init__(self, distances: Sequence[float], size: int = 4) -> None:
        self.distances, self.size, self.steps = distances, size, 0
        self.success_threshold = 1.0
        self.renders = 0
        self.unwrapped = self
        self.action_space = SimpleNamespace(shape=(4,))

    def reset(self, *, seed: int, options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        self.steps, self.options = 0, options
        return self._now()

    def step(self, action: object) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        observation, info = self._now()
        return observation, 0.0, False, False, info

    def render(self) -> Array:
        self.renders += 1
        return np.full((self.size, self.size, 3), self.steps, np.uint8)

    def goal_image(self) -> Array:
        return np.full((self.size, self.size, 3), 255, np.uint8)

    def solver_state(self) -> Array:
        return np.zeros(3)

    def _now(self) -> tuple[dict[str, Any], dict[str, Any]]:
        distance = self.distances[self.steps]
        pixels = np.full((self.size, self.size, 3), self.steps, np.uint8)
        observation = {"pixels": pixels, "observation": np.array([self.steps], np.float32)}
        return observation, {"distance": distance, "is_success": distance < 1.0}


def written_manifest(displacement: float) -> Manifest:
    return Manifest(
        name="written",
        schema=SCHEMA,
        env="Written-v0",
        tier="near",
        budget=BUDGET,
        frameskip=3,
        mujoco="4.0.0",
        threshold=1.0,
        min_displacement=1.0,
        pairs=(Pair(seed=1, episode=0, step=2, displacement=displacement),) * 2,
        start=np.array([[0.0, 1, 2], [3, 4, 5]]),
        goal=np.array([[6.0, 7, 8], [9, 10, 11]]),
    )


@pytest.fixture
def manifest() -> Manifest:
    """Two pairs of an environment that does not exist."""
    return written_manifest(2.0)


@pytest.fixture(scope="session")
def reach() -> Manifest:
    """Three real pairs, drawn like the shipped ones from seeds of their own."""
    return generate_manifest(
        Recipe(name="reach-test", env="Goalsight/Reach-v0", pairs=3, seed_base=3_000_000)
    )


@pytest.fixture(scope="session")
def written() -> Callable[[Sequence[float]], tuple[Any, Manifest]]:
    """Makes an environment with these distances, and a manifest that fits it."""
    return lambda distances: (WrittenEnv(distances), written_manifest(distances[0]))


def _results_of(sha256: str = "a" * 64, **rows: Sequence[int]) -> Results:
    """A run with these terminal successes, one number a pair."""
    played = [
        Outcome(
            row=row,
            pair=pair,
            terminal=bool(won),
            anytime=bool(won),
            distance_m=(1.0, 0.0),
            latency_ms=(),
            evaluations_per_decision=0,
        )
        for row, outcomes in rows.items()
        for pair, won in enumerate(outcomes)
    ]
    manifest = ManifestRef(
        name="written",
        sha256=sha256,
        env="Written-v0",
        tier="near",
        budget=1,
        threshold=1.0,
        control_dt=0.1,
    )
    return Results(
        schema=RESULTS_SCHEMA,
        goalsight="0",
        commit=None,
        command="",
        hardware="",
        device="cpu",
        agent=None,
        renderer="egl",
        mujoco="4",
        seed=0,
        manifest=manifest,
        checkpoint=None,
        rows=[row_result(row, [o for o in played if o.row == row]) for row in rows],
        mcnemar=compare(list(rows), played),
        pairs=played,
    )


@pytest.fixture(scope="session")
def results_of() -> Callable[..., Results]:
    """Makes the results of a run out of each row's terminal successes."""
    return _results_of
