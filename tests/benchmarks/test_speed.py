"""Each program runs and stands beside its floor; the numbers themselves are for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning import Callback
from tests.clock import Clock

from benchmarks.collect import collect
from benchmarks.reading import measure_reading, reading, synthetic_dataset
from benchmarks.tasks import VIEWS, measure_tasks
from benchmarks.timing import in_one_line, run
from benchmarks.training import measure_training, training
from goalsight.clip import Clip
from goalsight.data import Dataset, Windows
from goalsight.errors import UserError
from goalsight.models import WorldModelConfig
from goalsight.training.data import WindowsConfig
from goalsight.training.objective import ObjectiveConfig
from goalsight.training.run import TrainConfig, prepare


def test_a_step_of_collection_is_reported_beside_its_floor(
    capsys: pytest.CaptureFixture[str],
) -> None:
    argv = ["--episodes", "1", "--size", "32", "--video", "none", "--rounds", "2", "--json"]
    assert run(collect, argv) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["what"] == "one control step of collection: Goalsight/Push-v0, play, 32 px, none"
    assert report["turns"] == 2
    assert report["floor_milliseconds"] == report["floor_least"] == pytest.approx(10 / 200)
    assert report["ratio"] == report["milliseconds"] / report["floor_milliseconds"]


def test_every_task_is_measured_in_every_view(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.tasks.known_environments", lambda: ["Goalsight/Reach-v0"])
    (views,) = measure_tasks(size=16, steps=5, rounds=2).values()
    assert list(views) == list(VIEWS)
    for view in views.values():  # 10 ms for 5 control steps
        assert (view.milliseconds, view.floor_milliseconds) == pytest.approx((2, 2))
    with pytest.raises(UserError, match="size in \\[16, 1024\\], got 5 and 8"):
        measure_tasks(size=8, steps=5)


def test_reading_is_measured_beside_copying(tmp_path: Path) -> None:
    dataset = synthetic_dataset(tmp_path / "d", size=40, episodes=2, length=30)
    found = measure_reading(dataset, clips=8, batch=4, rounds=1)
    assert list(found) == ["decord", "pyav", "cache"]
    took = [one.milliseconds for one in found.values()]
    assert took == pytest.approx([10 / 24, 10 / 24, 10 / 8])  # 24 clips out of a video, 8 elsewhere
    assert found["cache"].ratio == pytest.approx(1)


def test_reading_that_cannot_be_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["--clips", "0"], ["--size", "8"], ["--rounds", "0", "--size", "16"]):
        assert run(reading, argv) == 2
        assert capsys.readouterr().err.startswith("python -m benchmarks.reading: error: ")


LOAD_S, STEP_S = 0.06, 0.02
"""What a batch and a step take by the tests' clock [s]."""


class Takes(Callback):
    """A step takes `STEP_S`."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_batch_start(self, *_: Any) -> None:
        self.clock.sleep(STEP_S)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return synthetic_dataset(tmp_path_factory.mktemp("d") / "d", size=32, episodes=4, length=30)


def test_a_slow_loader_shows_in_the_step_and_not_in_its_floor(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock by which a batch takes `LOAD_S` to load, and nothing but it and a step any."""
    clock, load = Clock(), Windows.__getitems__

    def slow(windows: Windows, indices: Sequence[int]) -> Clip:
        clock.sleep(LOAD_S)
        return load(windows, indices)

    monkeypatch.setattr(Windows, "__getitems__", slow)
    monkeypatch.setattr("benchmarks.training.time", clock)
    config = TrainConfig(
        model=WorldModelConfig(image_size=32, action_dim=1, frameskip=2),
        objective=ObjectiveConfig(anti_collapse="none"),
        windows=WindowsConfig(batch=4, validation=0.25),
    )
    trainer = {"accelerator": "cpu", "precision": "32-true", "callbacks": [Takes(clock)]}
    found = measure_training(
        lambda timer: prepare(dataset, config, timer), steps=5, rounds=2, trainer=trainer
    )
    assert found.milliseconds == found.least == pytest.approx(1e3 * (LOAD_S + STEP_S))
    assert found.floor_milliseconds == found.floor_least == pytest.approx(1e3 * STEP_S)
    assert found.what == "a training step of 4 windows with its loader, cpu"


def test_training_takes_the_arguments_of_train_and_keeps_nothing(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    argv = [
        "--config",
        "tiny",
        "--data",
        str(dataset.path),
        "--windows.batch",
        "4",
        "--model.frameskip",
        "2",
        "--trainer.accelerator",
        "cpu",
        "--steps",
        "2",
        "--rounds",
        "1",
        "--threads",
        "1",
    ]
    training([*argv, "--json"])
    assert json.loads(capsys.readouterr().out)["ratio"] > 0
    assert list(tmp_path.iterdir()) == []
    assert in_one_line("me", lambda: training([*argv, "--steps", "0"])) == 2
    assert capsys.readouterr().err.startswith("me: error: --steps must be at least 1, got 0")
