"""One training run, from an opened dataset to a checkpoint."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from goalsight.data import Dataset, delayed_bar
from goalsight.data.collect.signals import StopRequest
from goalsight.errors import DatasetError, UserError
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.training.bar import RunBar
from goalsight.training.callbacks import LossGuard, Metrics
from goalsight.training.data import WindowData, WindowsConfig
from goalsight.training.devices import resolve_precision, threads
from goalsight.training.folder import RunFolder
from goalsight.training.module import TrainingModule
from goalsight.training.objective import ObjectiveConfig
from goalsight.training.saving import SAVE_EVERY_S, Saver, all_metrics
from goalsight.training.schedule import OptimiserConfig

TRAINER_DEFAULTS: dict[str, Any] = {
    "max_steps": 4000,
    "precision": "auto",
    "gradient_clip_val": 1.0,
    "devices": 1,
    "val_check_interval": 500,
    "check_val_every_n_epoch": None,  # the interval counts steps, whatever an epoch has
    "limit_val_batches": 16,
    "num_sanity_val_steps": 0,
    "log_every_n_steps": 50,
    "enable_checkpointing": False,  # `Saver` does it
    "enable_model_summary": False,
}
"""Where goalsight differs from Lightning; every one can be given as `--trainer.NAME`."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that makes a run what it is, apart from dataset and trainer."""

    model: WorldModelConfig
    """What is trained."""
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    """What for."""
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    """How fast."""
    windows: WindowsConfig = field(default_factory=WindowsConfig)
    """How the dataset is cut."""
    seed: int = 0
    """Of initial weights, split, order of the batches and SIGReg's directions."""
    threads: int | None = None
    """Processor threads; None for one per core."""
    save_every_s: float = SAVE_EVERY_S
    """Time between two saves [s]: what a kill costs."""


@dataclass(frozen=True, kw_only=True)
class TrainSummary:
    """What a run did."""

    out: Path
    """Its folder."""
    checkpoint: Path
    """The trained model."""
    steps: int
    """Optimiser steps in all."""
    resumed_at: int
    """Of them, those that were done before this call."""
    minutes: float
    """Training time in all."""
    metrics: dict[str, float]
    """What was last logged, validation included."""
    interrupted: bool
    """Whether Ctrl-C or a termination signal ended it early."""


def train(
    dataset: Dataset,
    out: Path,
    config: TrainConfig,
    *,
    trainer: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> TrainSummary:
    """Train a world model, or go on with a run that ended early.

    SIGINT and SIGTERM end it after the current step; everything is saved then, and the same call
    goes on exactly where it ended.

    Args:
        dataset: to train on.
        out: folder of the run.
        config: the run.
        trainer: arguments of Lightning's `Trainer` on top of `TRAINER_DEFAULTS`.
        settings: plain values that a run must share with the one it goes on with; None skips
            that test.

    Raises:
        DatasetError: if the dataset is damaged, too short, or has other actions than the config.
        OutputError: if `out` holds something else.
        UserError: if the loss becomes NaN or a setting is refused.
    """
    folder, stop = RunFolder(out), StopRequest()
    arguments = {**TRAINER_DEFAULTS, **(trainer or {})}
    fingerprint = dataset.fingerprint()
    with threads(config.threads), folder.open(settings or {}, fingerprint) as resume:
        data = _read(dataset, config)
        module = _module(config, _timer(arguments))
        guard = LossGuard(folder)
        saver = Saver(folder, data, guard, lambda: stop.requested, config.save_every_s)
        callbacks: list[Callback] = [module.timer, guard, Metrics(), saver]
        if arguments.get("enable_progress_bar") is not False:
            callbacks.append(RunBar())
        lightning = make_trainer(arguments, out, callbacks)
        _fit(lightning, module, data, resume, stop)
        return TrainSummary(
            out=out,
            checkpoint=folder.checkpoint,
            steps=lightning.global_step,
            resumed_at=saver.began_at,
            minutes=module.timer.time_elapsed() / 60.0,
            metrics=all_metrics(lightning, module),
            interrupted=saver.interrupted,
        )


def _read(dataset: Dataset, config: TrainConfig) -> WindowData:
    """Windows of the dataset; a bar shows if videos must be decoded first."""
    if dataset.action_dim != config.model.action_dim:
        raise DatasetError(
            f"{dataset.path} has actions of {dataset.action_dim} numbers, the config's "
            f"model.action_dim is {config.model.action_dim}; leave it out to take the dataset's"
        )
    with delayed_bar("Decoding") as report:
        return WindowData(
            dataset,
            config.windows,
            frameskip=config.model.frameskip,
            image_size=config.model.image_size,
            seed=config.seed,
            progress=report,
        )


def _module(config: TrainConfig, timer: Timer) -> TrainingModule:
    """The model with weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        try:
            model = WorldModel(config.model)
        except ValueError as error:
            raise UserError(str(error)) from error
    return TrainingModule(model, config.objective, config.optimiser, timer=timer, seed=config.seed)


def _timer(arguments: dict[str, Any]) -> Timer:
    """The run's clock; takes `max_time` out of the trainer's arguments."""
    max_time = arguments.pop("max_time", None)
    if arguments["max_steps"] == -1 and arguments.get("max_epochs") is None and max_time:
        arguments["max_epochs"] = -1  # Lightning would stop at 1000 without knowing of the time
    try:
        return Timer(max_time, verbose=False)
    except MisconfigurationException as error:
        raise UserError(f"--trainer.max_time: {error}") from error


def make_trainer(arguments: Mapping[str, Any], out: Path, callbacks: Sequence[Callback]) -> Trainer:
    """Lightning's trainer with our loggers and callbacks beside those of the user.

    Args:
        arguments: of `Trainer`; `precision` may be `auto`.
        out: folder of the run.
        callbacks: ours.

    Raises:
        UserError: if Lightning refuses an argument, or several devices are asked for.
    """
    given = dict(arguments)
    given["precision"] = resolve_precision(
        given["precision"], str(given.get("accelerator", "auto"))
    )
    if given.get("logger") in {None, True}:
        given["logger"] = _loggers(out)
    users = given.get("callbacks") or []
    given["callbacks"] = [*(users if isinstance(users, list) else [users]), *callbacks]
    given.setdefault("default_root_dir", out)
    quiet_lightning()
    try:
        trainer = Trainer(**given)
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise UserError(f"--trainer: {error}") from error
    if trainer.world_size > 1:
        raise UserError(
            f"this version trains on one device, got {trainer.world_size}; use --trainer.devices 1"
        )
    return trainer


def _loggers(out: Path) -> list[Logger]:
    """TensorBoard in one folder for all parts of a run, CSV in a new one for each."""
    board = TensorBoardLogger(out, name="tensorboard", version="", default_hp_metric=False)
    return [board, CSVLogger(out, name="csv")]


def quiet_lightning() -> None:
    """Lightning says what it does at every start; only its warnings are for our users."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _fit(
    trainer: Trainer,
    module: TrainingModule,
    data: WindowData,
    resume: Path | None,
    stop: StopRequest,
) -> None:
    """Run the loop; being asked to stop is not an error.

    Raises:
        KeyboardInterrupt: if the user could not wait for the step to end.
    """
    with warnings.catch_warnings(), stop, torch.random.fork_rng(devices=[]):
        # Lightning advises workers; a batch here is one gather from memory.
        warnings.filterwarnings("ignore", message=".*does not have many workers")
        warnings.filterwarnings("ignore", message=".*smaller than the logging interval")
        warnings.filterwarnings("ignore", message=".*LeafSpec")  # Lightning's own affair
        try:
            trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
        except SystemExit:  # Lightning's answer to a second Ctrl-C, and to SIGTERM
            if trainer.should_stop and stop.requested:
                return
            raise KeyboardInterrupt from None
        except MisconfigurationException as error:
            raise UserError(f"--trainer: {error}") from error
