"""`python -m benchmarks.training`: a training step with its loader, beside the step alone."""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonargparse
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.cli import LightningArgumentParser

from benchmarks.timing import Measurement, beside, in_one_line, in_turns, show, wait
from goalsight.cli.parsing import usage_error
from goalsight.cli.train import TrainCLI
from goalsight.clip import Clip
from goalsight.data import open_dataset
from goalsight.errors import UserError
from goalsight.training.data import WindowData
from goalsight.training.module import RunModule
from goalsight.training.run import prepare, run_config
from goalsight.training.settings import TRAINER_DEFAULTS
from goalsight.training.trainer import make_trainer, threads

WARM_UP = 10
"""Steps of a turn before the clock starts: memory is allocated, kernels are chosen."""
ONLY_TRAINING: dict[str, Any] = {
    "max_epochs": -1,
    "limit_val_batches": 0,
    "val_check_interval": None,
    "max_time": None,
    "logger": False,
    "enable_progress_bar": False,
}


class TrainingCLI(TrainCLI):
    """Arguments of `goalsight train`, but nothing is kept."""

    prog = "python -m benchmarks.training"
    writes = False
    description = """Measure a training step with the loader beside the same step without one.

Takes the arguments of goalsight train; nothing is kept."""
    example = """example:
  python -m benchmarks.training --config tiny --data runs/push-data --steps 50
"""

    def add_run_arguments(self, parser: LightningArgumentParser) -> None:
        """Those of a run, and how long to measure."""
        super().add_run_arguments(parser)
        parser.add_argument("--steps", type=int, default=50, help="Steps timed in a turn.")
        parser.add_argument("--rounds", type=int, default=3, help="Turns of each.")


def measure_training(
    make: Callable[[Timer], tuple[WindowData, RunModule]],
    *,
    steps: int = 50,
    rounds: int = 3,
    trainer: Mapping[str, Any] | None = None,
) -> Measurement:
    """Train some steps with the loader and as many on one batch, in turns.

    Args:
        make: makes data and module of a run, given its clock.
        steps: timed in a turn, after `WARM_UP` that are not.
        rounds: turns of each.
        trainer: arguments of Lightning's `Trainer` on top of `TRAINER_DEFAULTS`.

    Raises:
        UserError: if there is no step, or Lightning refuses an argument.
    """
    if steps < 1:
        raise UserError(f"--steps must be at least 1, got {steps}")
    timer = Timer()
    data, module = make(timer)
    settings = {**TRAINER_DEFAULTS, **(trainer or {}), **ONLY_TRAINING}
    watch = _Stopwatch(steps)

    def fit(**source: Any) -> float:  # noqa: ANN401  (where Lightning's batches come from)
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Lightning's advice about loaders and intervals
            last = {"max_steps": WARM_UP + steps}
            make_trainer({**settings, **last}, Path(folder), [timer, watch]).fit(module, **source)
        return watch.seconds / steps

    def alone() -> float:
        assert watch.batch is not None
        return fit(train_dataloaders=_Repeated(watch.batch, WARM_UP + steps))

    turns = {"whole": lambda: fit(datamodule=data), "alone": alone}
    found = in_turns(turns, rounds, warm_up=0, what="Training")
    assert watch.batch is not None
    batch = len(watch.batch.actions)
    what = f"a training step of {batch} windows with its loader, {module.device}"
    return beside(what, found["whole"], "the same step, its batch in place", found["alone"])


class _Repeated:
    """One batch, over and over: a loader that costs nothing."""

    def __init__(self, batch: Clip, times: int) -> None:
        self._batch, self._times = batch, times

    def __len__(self) -> int:
        return self._times

    def __iter__(self) -> Iterator[Clip]:
        return iter([self._batch] * self._times)


class _Stopwatch(Callback):
    """Times the steps of a fit behind its warm-up, and keeps the last batch."""

    def __init__(self, steps: int) -> None:
        self._steps, self._began = steps, 0.0
        self.seconds = 0.0
        self.batch: Clip | None = None

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  (what training_step returned, as Lightning hands it on)
        batch: Clip,
        batch_idx: int,
    ) -> None:
        """Start and stop the clock."""
        if trainer.global_step == WARM_UP:
            wait()
            self._began = time.perf_counter()
        if trainer.global_step == WARM_UP + self._steps:
            wait()
            self.seconds, self.batch = time.perf_counter() - self._began, batch


def training(argv: list[str]) -> None:
    """Measure a training run; see `TrainingCLI.description`.

    Raises:
        UserError: if something the user can mend is wrong.
    """
    try:
        cli = TrainingCLI(argv)
        given = cli.config_init
        dataset = open_dataset(given.data, cache_gb=given.cache_gb)
        config = run_config(cli.settings, dataset)
    except (ValueError, TypeError, jsonargparse.ArgumentError) as error:
        raise usage_error(TrainingCLI.prog, error) from error
    with threads(config.threads):
        found = measure_training(
            lambda timer: prepare(dataset, config, timer),
            steps=given.steps,
            rounds=given.rounds,
            trainer=cli.trainer_arguments,
        )
    show([found], json=given.json)


if __name__ == "__main__":
    sys.exit(in_one_line(TrainingCLI.prog, lambda: training(sys.argv[1:])))
