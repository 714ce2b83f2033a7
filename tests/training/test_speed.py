"""`goalsight perf train`: what is measured is what it says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import Timer
from tests.clock import Clock

from goalsight.cli.main import main
from goalsight.clip import Clip
from goalsight.data import Dataset, Windows
from goalsight.models import WorldModelConfig
from goalsight.training.data import WindowData, WindowsConfig
from goalsight.training.module import TrainingModule
from goalsight.training.objective import ObjectiveConfig
from goalsight.training.run import TrainConfig, prepare
from goalsight.training.speed import TrainingSpeed, matmul_rate, measure_training

MODEL = WorldModelConfig(image_size=32, action_dim=2, frameskip=2)
CPU = {"accelerator": "cpu", "precision": "32-true"}
LOAD_S, STEP_S = 0.06, 0.02
"""What a batch and a step take by the tests' clock [s]."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time by which a disk takes `LOAD_S` for a batch of windows, and nothing else any.

    A matrix product, which would take none either, is given its rate.
    """
    clock = Clock()
    load = Windows.__getitems__

    def slow(windows: Windows, indices: Sequence[int]) -> Clip:
        clock.sleep(LOAD_S)
        return load(windows, indices)

    monkeypatch.setattr(Windows, "__getitems__", slow)
    monkeypatch.setattr("goalsight.training.data.time", clock)
    monkeypatch.setattr("goalsight.training.speed.matmul_rate", lambda *_: 1e9)
    return clock


def config(batch: int = 4) -> TrainConfig:
    return TrainConfig(
        model=MODEL,
        objective=ObjectiveConfig(anti_collapse="none"),
        windows=WindowsConfig(batch=batch, validation=0.25),
    )


class Takes(Callback):
    """A step takes `STEP_S`."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_batch_start(self, *_: Any) -> None:
        self.clock.sleep(STEP_S)


def measured(dataset: Dataset, clock: Clock, *, batch: int = 4) -> TrainingSpeed:
    trainer = {**CPU, "callbacks": [Takes(clock)]}

    def make(timer: Timer) -> tuple[WindowData, TrainingModule]:
        return prepare(dataset, config(batch), timer)

    return measure_training(make, steps=5, trainer=trainer, clock=clock)


@pytest.fixture(autouse=True)
def keep_threads() -> Iterator[None]:
    """The command sets PyTorch's threads for its process, which here is everybody's."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_a_slow_loader_shows_as_waiting_and_not_in_the_step_alone(
    dataset: Dataset, clock: Clock
) -> None:
    speed = measured(dataset, clock)
    assert speed.loader_wait_share == pytest.approx(LOAD_S / (LOAD_S + STEP_S))
    assert speed.samples_per_s == pytest.approx(4 / (LOAD_S + STEP_S))
    assert speed.synthetic_samples_per_s == pytest.approx(4 / STEP_S)


def test_twice_the_batch_is_twice_the_work(dataset: Dataset, clock: Clock) -> None:
    one, two = measured(dataset, clock, batch=4), measured(dataset, clock, batch=8)
    assert (one.batch, two.batch) == (4, 8)
    assert two.step_flop == pytest.approx(2 * one.step_flop, rel=1e-6)
    per_window = one.step_flop / 4
    assert 1e7 < per_window < 1e9  # 4 pictures and 6 predictions, forth and back
    assert one.utilisation == pytest.approx(per_window * one.samples_per_s / 1e9, rel=1e-6)


def test_a_matrix_product_has_a_rate() -> None:
    """1024 rows by 1024 columns, each sum of 1024 products, in a quarter of a second."""
    rate = matmul_rate(torch.device("cpu"), torch.float32, Clock(tick=0.25))
    assert rate == 2 * 1024**3 / 0.25


def test_the_command_takes_the_arguments_of_train_and_keeps_nothing(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    argv = [
        "perf", "train", "--config", "tiny", "--data", str(dataset.path.resolve()),
        "--windows.batch", "4", "--model.frameskip", "2", "--trainer.accelerator", "cpu",
        "--steps", "2", "--threads", "1",
    ]  # fmt: skip
    assert main([*argv, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["batch"] == 4
    assert report["threads"] == 1
    assert report["utilisation"] > 0
    assert list(tmp_path.iterdir()) == []
    assert main(argv) == 0
    assert "windows/s  with the loader" in capsys.readouterr().out


def test_no_steps_are_refused(dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["perf", "train", "--data", str(dataset.path), "--steps", "0"]) == 2
    assert "--steps must be at least 1" in capsys.readouterr().err
