"""The loop of any training run: trainer, callbacks, folder, and being asked to stop."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from goalsight.data import Dataset
from goalsight.errors import UserError
from goalsight.executor import StopRequest
from goalsight.training.bar import RunBar
from goalsight.training.callbacks import LossGuard, Metrics
from goalsight.training.data import WindowData
from goalsight.training.devices import is_first_process, resolve_precision
from goalsight.training.folder import RunFolder
from goalsight.training.running import RunModule
from goalsight.training.saving import SAVE_EVERY_S, Saver, all_metrics

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
    "use_distributed_sampler": False,  # `WindowData` gives each process its part
}
"""Where goalsight differs from Lightning; every one can be given as `--trainer.NAME`."""


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


def execute(
    dataset: Dataset,
    out: Path,
    prepare: Callable[[Timer], tuple[WindowData, RunModule]],
    *,
    trainer: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
    save_every_s: float = SAVE_EVERY_S,
) -> TrainSummary:
    """Run to the end or until somebody asks to stop; takes up a run that ended early.

    Args:
        dataset: to train on.
        out: folder of the run.
        prepare: makes data and module once the folder is ours, given the run's clock.
        trainer: arguments of Lightning's `Trainer` on top of `TRAINER_DEFAULTS`.
        settings: plain values that a run must share with the one it goes on with; None skips
            that test.
        defaults: what a run has of a setting that did not exist when it began.
        save_every_s: time between two saves [s].

    Raises:
        OutputError: if `out` holds something else.
        UserError: if the loss becomes NaN or a setting is refused.
    """
    folder, stop = RunFolder(out), StopRequest()
    arguments = {**TRAINER_DEFAULTS, **(trainer or {})}
    held = folder.open(settings or {}, dataset.fingerprint(), defaults or {})
    with held if is_first_process() else folder.join() as resume:
        data, module = prepare(_timer(arguments))
        guard = LossGuard(folder)
        saver = Saver(folder, data, guard, lambda: stop.requested, save_every_s)
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
        UserError: if Lightning refuses an argument.
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
        return Trainer(**given)
    except (MisconfigurationException, ImportError, ValueError, TypeError) as error:
        raise UserError(f"--trainer: {error}{_advice(str(error), given)}") from error


def _advice(refusal: str, given: Mapping[str, Any]) -> str:
    """What to pass instead of an accelerator that is not here."""
    asked = str(given.get("accelerator", "auto"))
    missing = re.search(r"backend|accelerator|not available|not met", refusal)
    if asked in {"auto", "cpu"} or missing is None:
        return ""
    return (
        f"; this machine has no {asked} that PyTorch can use (`goalsight doctor` says more): pass "
        "--trainer.accelerator cpu, or leave it out"
    )


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
    module: RunModule,
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
        warnings.filterwarnings("ignore", message=".*in eval mode")  # a frozen encoder is to be
        warnings.filterwarnings("ignore", message=".*LeafSpec")  # Lightning's own affair
        try:
            trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
        except SystemExit:  # Lightning's answer to a second Ctrl-C, and to SIGTERM
            if trainer.should_stop and stop.requested:
                return
            raise KeyboardInterrupt from None
        except MisconfigurationException as error:
            raise UserError(f"--trainer: {error}") from error
