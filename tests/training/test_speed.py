"""`goalsight perf train`: what is measured is what it says."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.callbacks import Timer

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


class SlowWindows(Windows):
    """A disk that takes its time."""

    def __getitems__(self, indices: Sequence[int]) -> Clip:
        time.sleep(0.05)
        return super().__getitems__(indices)


def measured(dataset: Dataset, *, batch: int = 4, slow: bool = False) -> TrainingSpeed:
    config = TrainConfig(
        model=MODEL,
        objective=ObjectiveConfig(anti_collapse="none"),
        windows=WindowsConfig(batch=batch, validation=0.25),
    )

    def make(timer: Timer) -> tuple[WindowData, TrainingModule]:
        data, module = prepare(dataset, config, timer)
        if slow:
            data.training.__class__ = SlowWindows
        return data, module

    return measure_training(make, steps=5, trainer=CPU)


@pytest.fixture(autouse=True)
def keep_threads() -> Iterator[None]:
    """The command sets PyTorch's threads for its process, which here is everybody's."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_a_slow_loader_shows_as_waiting_and_not_in_the_step_alone(dataset: Dataset) -> None:
    speed = measured(dataset, slow=True)
    assert speed.loader_wait_share > 0.4
    assert speed.samples_per_s < 4 / 0.05
    assert speed.synthetic_samples_per_s > speed.samples_per_s


def test_twice_the_batch_is_twice_the_work(dataset: Dataset) -> None:
    one, two = measured(dataset, batch=4), measured(dataset, batch=8)
    assert (one.batch, two.batch) == (4, 8)
    assert two.step_flop == pytest.approx(2 * one.step_flop, rel=1e-6)
    per_window = one.step_flop / 4
    assert 1e7 < per_window < 1e9  # 4 pictures and 6 predictions, forth and back
    assert one.utilisation == pytest.approx(
        per_window * one.samples_per_s / one.matmul_flop_per_s, rel=1e-6
    )


def test_a_matrix_product_has_a_rate() -> None:
    assert 1e8 < matmul_rate(torch.device("cpu"), torch.float32) < 1e16


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
