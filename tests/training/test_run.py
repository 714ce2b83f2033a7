"""A run can be stopped anywhere and goes on as if nothing had happened."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback
from tests.clock import Clock

from goalsight.checkpoint import load_checkpoint
from goalsight.clip import Clip
from goalsight.data import Dataset, Windows
from goalsight.errors import DatasetError, OutputError, UserError
from goalsight.models import WorldModelConfig
from goalsight.training.data import ShuffledBatches, WindowsConfig
from goalsight.training.module import OptimiserConfig
from goalsight.training.run import TrainConfig, TrainSummary, train_model

MODEL = WorldModelConfig(image_size=32, action_dim=2, frameskip=2)
STEPS = 17
"""Epochs have 8 batches here, so this ends in the middle of one."""


def config(**changes: Any) -> TrainConfig:
    values: dict[str, Any] = {
        "model": MODEL,
        "windows": WindowsConfig(batch=8, validation=0.25),
        "optimiser": OptimiserConfig(warmup_steps=3),
    }
    return TrainConfig(**{**values, **changes})


def run(
    dataset: Dataset,
    out: Path,
    *callbacks: Callback,
    settings: dict[str, Any] | None = None,
    steps: int = STEPS,
    intervals: dict[str, int] | None = None,
    **changes: Any,
) -> TrainSummary:
    trainer = {
        "max_steps": steps,
        "accelerator": "cpu",
        "precision": "32-true",
        "log_every_n_steps": 2,
        "val_check_interval": 5,
        "logger": False,
        "enable_progress_bar": False,
        "callbacks": list(callbacks),
        **(intervals or {}),
    }
    return train_model(dataset, out, config(**changes), trainer=trainer, settings=settings)


class At(Callback):
    """Does something after a step."""

    def __init__(self, step: int, act: Callable[[Any], None]) -> None:
        self.step, self.act = step, act

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == self.step:
            self.act(trainer)


class Killed(BaseException):
    """Stands for kill -9: nothing of ours gets to run after it."""


def kill(_: Any) -> None:
    raise Killed


def ctrl_c(_: Any) -> None:
    signal.raise_signal(signal.SIGINT)


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(out / "checkpoint").model.state_dict()


@pytest.fixture(scope="module")
def in_one_go(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "whole"
    run(dataset, out)
    return out


def assert_same(one: Path, other: Path) -> None:
    """Bit for bit: same seed, same machine, same steps."""
    left, right = weights(one), weights(other)
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


@pytest.mark.parametrize("step", [1, 5, 8, 10, 16])
def test_killed_and_resumed_gives_the_same_weights_as_one_go(
    dataset: Dataset, in_one_go: Path, tmp_path: Path, step: int
) -> None:
    """In an epoch, at its end, and at a validation; the save was one step before the kill."""
    with pytest.raises(Killed):
        run(dataset, tmp_path / "run", At(step + 1, kill), save_every_s=0.0)
    assert load_checkpoint(tmp_path / "run" / "checkpoint").card["steps"] == step
    summary = run(dataset, tmp_path / "run")
    assert (summary.resumed_at, summary.steps, summary.interrupted) == (step, STEPS, False)
    assert_same(in_one_go, tmp_path / "run")


def test_ctrl_c_saves_at_once_and_the_same_call_goes_on_exactly(
    dataset: Dataset, in_one_go: Path, tmp_path: Path
) -> None:
    for step in (6, 12):
        summary = run(dataset, tmp_path / "run", At(step, ctrl_c))
        assert summary.interrupted
        assert summary.steps == step
        assert not load_checkpoint(summary.checkpoint).card["finished"]
    assert run(dataset, tmp_path / "run").resumed_at == 12
    assert_same(in_one_go, tmp_path / "run")


def test_sigterm_is_taken_as_ctrl_c(dataset: Dataset, tmp_path: Path) -> None:
    stop = At(4, lambda _: signal.raise_signal(signal.SIGTERM))
    assert run(dataset, tmp_path / "run", stop).interrupted
    assert load_checkpoint(tmp_path / "run" / "checkpoint").card["steps"] == 4


def test_the_same_seed_gives_the_same_run_and_another_seed_another(
    dataset: Dataset, in_one_go: Path, tmp_path: Path
) -> None:
    run(dataset, tmp_path / "same")
    assert_same(in_one_go, tmp_path / "same")
    run(dataset, tmp_path / "other", seed=1, steps=2)
    left, right = weights(tmp_path / "other"), weights(in_one_go)
    assert any(not torch.equal(left[name], right[name]) for name in left)


def test_the_card_says_where_the_model_comes_from(dataset: Dataset, in_one_go: Path) -> None:
    card = load_checkpoint(in_one_go / "checkpoint").card
    assert card["dataset"]["fingerprint"] == dataset.fingerprint()
    assert card["dataset"]["env"] == "fake_env:Fake/Square-v0"
    assert (card["action_names"], card["proprio_names"]) == (["dx", "dy"], ["x", "y", "speed"])
    assert (card["labels_used"], card["steps"], card["finished"]) == ([], STEPS, True)
    assert len(card["statistics"]["action"]["std"]) == 2
    metrics = card["metrics"]
    assert {"train/loss", "train/sigreg", "validation/prediction"} <= set(metrics)
    assert metrics["collapse/effective_rank"] >= 1
    assert {"speed/samples_per_s", "speed/loader_wait_share"} <= set(metrics)
    assert metrics["train/lr"] < 0.05 * OptimiserConfig().lr  # annealed


def test_lightnings_state_loads_without_unpickling(in_one_go: Path) -> None:
    state = torch.load(in_one_go / "last.ckpt", weights_only=True)
    assert state["hyper_parameters"]["model"]["size"] == "tiny"


def poison(trainer: Any) -> None:
    with torch.no_grad():
        next(trainer.lightning_module.parameters()).fill_(torch.nan)


def test_a_loss_that_is_no_number_stops_and_names_the_last_good_checkpoint(
    dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"not a number at step 8 .*; nothing was saved yet"):
        run(dataset, tmp_path / "early", At(7, poison))
    out = tmp_path / "run"
    run(dataset, out, At(3, ctrl_c))
    with pytest.raises(UserError, match=r"not a number at step 8 .*good checkpoint is .*run/check"):
        run(dataset, out, At(7, poison))
    assert load_checkpoint(out / "checkpoint").card["steps"] == 3
    with pytest.raises(UserError, match="weights are not numbers at step 7"):
        run(dataset, out, At(7, poison), save_every_s=0.0)
    assert load_checkpoint(out / "checkpoint").card["steps"] == 6


class Takes(Callback):
    """A step takes a quarter of a second of a test's clock."""

    def __init__(self, clock: Clock, validation_s: float = 0.0) -> None:
        self.clock, self.validation_s = clock, validation_s

    def on_train_batch_start(self, *_: Any) -> None:
        self.clock.sleep(0.25)

    def on_validation_batch_end(self, *_: Any) -> None:
        self.clock.sleep(self.validation_s)


def test_a_run_logs_windows_a_second_and_waiting_without_what_validation_takes(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch of 8 windows takes three quarters of a second to load, a step one quarter."""
    clock, load = Clock(), Windows.__getitems__

    def slow(windows: Windows, indices: Sequence[int]) -> Clip:
        clock.sleep(0.75)
        return load(windows, indices)

    monkeypatch.setattr(Windows, "__getitems__", slow)
    monkeypatch.setattr("goalsight.training.data.time", clock)
    monkeypatch.setattr("goalsight.training.module.time", clock)
    often = {"log_every_n_steps": 4, "val_check_interval": 2}
    metrics = run(dataset, tmp_path / "run", Takes(clock, 3600), steps=6, intervals=often).metrics
    assert metrics["speed/samples_per_s"] == pytest.approx(8)
    assert metrics["speed/loader_wait_share"] == pytest.approx(0.75)


def test_a_time_limit_ends_the_run_annealed_and_a_resume_keeps_the_clock(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two seconds are eight steps, five of them before an interruption."""
    clock = Clock()
    monkeypatch.setattr("pytorch_lightning.callbacks.timer.time", clock)
    trainer = {
        "max_steps": -1,
        "max_time": "00:00:00:02",
        "accelerator": "cpu",
        "logger": False,
        "precision": "32-true",
        "log_every_n_steps": 1,
        "enable_progress_bar": False,
        "val_check_interval": 1000,
        "callbacks": [Takes(clock)],
    }
    stop = {**trainer, "callbacks": [Takes(clock), At(5, ctrl_c)]}
    first = train_model(dataset, tmp_path / "run", config(), trainer=stop)
    second = train_model(dataset, tmp_path / "run", config(), trainer=trainer)
    assert (first.steps, second.resumed_at, second.steps) == (5, 5, 8)
    assert (60 * first.minutes, 60 * second.minutes) == (5 * 0.25, 2)
    assert second.metrics["train/lr"] < 0.05 * OptimiserConfig().lr


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"model": {"size": "small"}}, "model.size 'tiny', not 'small'"), ({}, "model.size")],
)
def test_an_unfinished_run_with_other_settings_is_refused_by_name(
    dataset: Dataset, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    run(dataset, tmp_path / "run", At(3, ctrl_c), settings={"model": {"size": "tiny"}})
    with pytest.raises(OutputError, match=message):
        run(dataset, tmp_path / "run", settings=settings)


def test_finished_runs_foreign_folders_and_other_data_are_refused(
    dataset: Dataset, in_one_go: Path, tmp_path: Path, collect_into: Callable[..., Dataset]
) -> None:
    with pytest.raises(OutputError, match=f"finished run of {STEPS} steps .*another --out"):
        run(dataset, in_one_go)
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match=r"already holds something else \(thesis.tex\)"):
        run(dataset, tmp_path)
    run(dataset, tmp_path / "run", At(3, ctrl_c))
    other = collect_into(tmp_path / "other", seed=1)
    with pytest.raises(OutputError, match="unfinished run on other data"):
        run(other, tmp_path / "run")


def test_data_that_does_not_fit_is_refused(
    dataset: Dataset, tmp_path: Path, collect_into: Callable[..., Dataset]
) -> None:
    wide = WorldModelConfig(image_size=32, action_dim=7)
    with pytest.raises(DatasetError, match=r"actions of 2 numbers, .*model.action_dim is 7"):
        run(dataset, tmp_path / "run", model=wide)
    short = collect_into(tmp_path / "short", steps=6)
    with pytest.raises(DatasetError, match="no window of 4 frames, 2 control steps apart"):
        run(short, tmp_path / "run")
    with pytest.raises(UserError, match="multiple of 16"):
        run(dataset, tmp_path / "odd", model=WorldModelConfig(image_size=40, action_dim=2))


def test_every_window_is_seen_once_an_epoch_in_an_order_of_its_own() -> None:
    stream = ShuffledBatches(items=12, batch=4, seed=0)
    first = list(stream)
    assert sorted([i for batch in first for i in batch]) == list(range(12))
    stream.start = 3
    second = list(stream)
    assert sorted([i for batch in second for i in batch]) == list(range(12))
    assert first != second
    stream.start = 2
    assert list(stream) == [first[2], *second[:2]]


def test_ranks_together_take_the_batches_of_one_process() -> None:
    whole = list(ShuffledBatches(items=21, batch=6, seed=3))
    parts = [
        list(ShuffledBatches(items=21, batch=3, seed=3, rank=rank, ranks=2)) for rank in range(2)
    ]
    assert [one + other for one, other in zip(*parts, strict=True)] == whole


def test_two_processes_never_train_in_one_folder(dataset: Dataset, tmp_path: Path) -> None:
    refused: list[BaseException] = []

    def second(_: Any) -> None:
        def attempt() -> None:
            try:
                run(dataset, tmp_path / "run")
            except OutputError as error:
                refused.append(error)

        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()

    run(dataset, tmp_path / "run", At(1, second), steps=2)
    assert "another goalsight train is writing" in str(refused[0])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what PyTorch's compiler says of PyTorch
def test_a_compiled_run_sees_the_same_losses(dataset: Dataset, tmp_path: Path) -> None:
    """Weights are not compared: Adam's first steps turn rounding into whole steps."""
    plain = run(dataset, tmp_path / "plain", steps=3).metrics
    compiled = run(dataset, tmp_path / "compiled", steps=3, compile=True).metrics
    assert plain["train/loss"] > 0
    for name in ("train/loss", "train/prediction", "train/sigreg"):
        assert compiled[name] == pytest.approx(plain[name], rel=0.01)
