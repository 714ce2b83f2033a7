"""`examples/real_time.py`: what is due is done, what is late is counted."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.clock import Clock

from goalsight.checkpoint import save_checkpoint
from goalsight.models import WorldModel, WorldModelConfig

PROGRAM = Path(__file__).parents[2] / "examples" / "real_time.py"
SEEN: dict[str, NDArray[Any]] = {"pixels": np.zeros(1), "observation": np.zeros(1)}


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("real_time", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["real_time"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


class FakeClock:
    """Time that passes only where somebody says so."""

    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    def wait_until(self, moment: float) -> None:
        self.time = max(self.time, moment)


class Thinker:
    """Takes a while for each action."""

    def __init__(self, clock: FakeClock, seconds: list[float]) -> None:
        self.clock, self.seconds = clock, list(seconds)
        self.asked_at: list[float] = []
        self.deadlines: list[float | None] = []

    def act(self, pixels: Any, proprio: Any, *, deadline: float | None = None) -> NDArray[Any]:
        self.asked_at.append(round(self.clock.time - 100.0, 6))
        self.deadlines.append(deadline)
        self.clock.time += self.seconds.pop(0)
        return np.zeros(4, np.float32)


class Still:
    """An environment where a step takes 10 ms."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock

    def step(self, action: NDArray[Any]) -> tuple[Any, ...]:
        self.clock.time += 0.01
        return SEEN, 0.0, False, False, {"distance": 0.25}


def drive(example: ModuleType, seconds: list[float]) -> tuple[Any, Thinker]:
    clock = FakeClock()
    thinker = Thinker(clock, seconds)
    done = example.drive(
        thinker, Still(clock), SEEN, steps=len(seconds), period=0.1, deadline=0.08, clock=clock
    )
    return done, thinker


def test_every_step_waits_for_its_moment_and_none_is_missed(example: ModuleType) -> None:
    done, thinker = drive(example, [0.08, 0.0, 0.03])
    assert thinker.asked_at == [0.0, 0.1, 0.2]
    assert thinker.deadlines == [0.08] * 3
    assert (done.steps, done.missed, done.distance_m) == (3, 0, 0.25)
    assert done.busiest_s == pytest.approx(0.09)


def test_a_late_step_is_counted_and_the_clock_does_not_wait_for_it(example: ModuleType) -> None:
    """250 ms make the step itself late, and the next, whose moment passed meanwhile."""
    done, thinker = drive(example, [0.25, 0.0, 0.0, 0.0])
    assert thinker.asked_at == [0.0, 0.26, 0.27, 0.3]
    assert done.missed == 2
    assert done.busiest_s == pytest.approx(0.26)


def test_it_runs_with_a_checkpoint_and_shows_the_histogram(
    example: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a clock that only waiting moves on, so that a busy machine misses nothing either."""
    monkeypatch.setattr(example, "time", Clock())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = WorldModel(WorldModelConfig(image_size=32)).eval()
    save_checkpoint(tmp_path / "checkpoint", model, {})
    threads = torch.get_num_threads()
    argv = ["--checkpoint", str(tmp_path), "--steps", "6", "--hz", "2", "--deadline-ms", "400"]
    try:
        assert (
            example.main(
                [*argv, "--settings", "planner.samples=8,planner.elites=2,planner.iterations=2"]
            )
            == 0
        )
    finally:
        torch.set_num_threads(threads)
    shown = capsys.readouterr().out
    assert "6 control steps at 2 Hz" in shown
    assert "0 missed" in shown
    assert "2 decisions of at most 400 ms" in shown
    assert "█" in shown


def test_no_checkpoint_is_one_line(example: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert example.main(["--checkpoint", "nowhere"]) == 2
    assert "no checkpoint 'nowhere'" in capsys.readouterr().err
