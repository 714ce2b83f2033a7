"""How fast a training run is here, beside what it cannot be faster than."""

from __future__ import annotations

import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Timer
from torch.utils.flop_counter import FlopCounterMode

from goalsight.clip import Clip
from goalsight.training.data import WindowData, WindowLoader
from goalsight.training.loop import TRAINER_DEFAULTS, make_trainer
from goalsight.training.running import RunModule

WARM_UP = 10
"""Steps before the clock starts: memory is allocated, kernels are chosen."""
Now = Callable[[], float]
"""A clock: seconds from some moment on."""
Prepare = Callable[[Timer], tuple[WindowData, RunModule]]
"""Makes data and module of a run, given its clock."""


@dataclass(frozen=True, kw_only=True)
class TrainingSpeed:
    """What a training run does a second, and what the same step does without a loader."""

    samples_per_s: float
    """Windows a second with the loader."""
    synthetic_samples_per_s: float
    """Windows a second with one batch that lies on the device already."""
    loader_wait_share: float
    """Share of the time the model waits for the loader, in [0, 1]."""
    step_flop: float
    """Floating point operations of matrix products and convolutions in a step, both directions."""
    matmul_flop_per_s: float
    """What one large matrix product reaches here in the same precision."""
    batch: int
    """Windows in a batch."""
    device: str
    """Where it was measured."""
    precision: str
    """Lightning's name of it."""

    @property
    def utilisation(self) -> float:
        """Model-FLOP utilisation with the loader: share of `matmul_flop_per_s` that is used.

        The definition of PaLM (Chowdhery et al. 2022, arXiv:2204.02311, appendix B), against a
        measured rate in place of the maker's.
        """
        return self.step_flop * self.samples_per_s / self.batch / self.matmul_flop_per_s


def measure_training(
    prepare: Prepare,
    *,
    steps: int = 50,
    trainer: Mapping[str, Any] | None = None,
    clock: Now = time.perf_counter,
) -> TrainingSpeed:
    """Train some steps with the loader, then some on a single batch; nothing is kept.

    Args:
        prepare: makes data and module.
        steps: timed in each half, after `WARM_UP` that are not.
        trainer: arguments of Lightning's `Trainer` on top of `TRAINER_DEFAULTS`.
        clock: to measure by.

    Raises:
        UserError: if Lightning refuses an argument.
    """
    timer = Timer()
    data, module = prepare(timer)
    real, synthetic = _Stopwatch(steps, clock), _Stopwatch(steps, clock, count_flop=True)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice about loaders and intervals
        lightning = _trainer(trainer, Path(folder), [timer, real], real.last)
        lightning.fit(module, datamodule=data)
        assert real.batch is not None
        again = _trainer(trainer, Path(folder), [timer, synthetic], synthetic.last)
        again.fit(module, train_dataloaders=_Repeated(real.batch, synthetic.last))
    # Frames whose latents are known stay where they are; actions always go to the model.
    device, precision = real.batch.actions.device, str(lightning.precision)
    return TrainingSpeed(
        samples_per_s=real.samples_per_s,
        synthetic_samples_per_s=synthetic.samples_per_s,
        loader_wait_share=real.loader_wait_share,
        step_flop=synthetic.step_flop,
        matmul_flop_per_s=matmul_rate(device, _dtype(precision), clock),
        batch=len(real.batch.frames),
        device=str(device),
        precision=precision,
    )


def matmul_rate(device: torch.device, dtype: torch.dtype, clock: Now = time.perf_counter) -> float:
    """Floating point operations a second of one large square matrix product, the median of 5.

    Args:
        device: where.
        dtype: of its factors.
        clock: to measure by.
    """
    side = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    took = []
    for _ in range(7):
        began = _now(device, clock)
        torch.mm(left, right)
        took.append(_now(device, clock) - began)
    return 2.0 * side**3 / statistics.median(took[2:])


class _Repeated:
    """One batch, over and over: a loader that costs nothing."""

    def __init__(self, batch: Clip, times: int) -> None:
        self._batch, self._times = batch, times

    def __len__(self) -> int:
        return self._times

    def __iter__(self) -> Iterator[Clip]:
        return iter([self._batch] * self._times)


class _Stopwatch(Callback):
    """Times the steps after the warm-up; may count the operations of one step of the warm-up."""

    def __init__(self, steps: int, clock: Now, *, count_flop: bool = False) -> None:
        self._steps, self._clock = steps, clock
        self.last = WARM_UP + steps
        self._counter = FlopCounterMode(display=False) if count_flop else None
        self._counting = ExitStack()
        self._began = self._waited_s = 0.0
        self.samples_per_s = self.loader_wait_share = self.step_flop = 0.0
        self.batch: Clip | None = None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Clip, batch_idx: int
    ) -> None:
        """Count from here if it is the second step."""
        if self._counter is not None and batch_idx == 1:
            self._counting.enter_context(self._counter)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  (what training_step returned, as Lightning hands it on)
        batch: Clip,
        batch_idx: int,
    ) -> None:
        """Start and stop the clock, stop the count."""
        if self._counter is not None and batch_idx == 1:
            self._counting.close()
            self.step_flop = float(self._counter.get_total_flops())
        if trainer.global_step == WARM_UP:
            self._began = _now(pl_module.device, self._clock)
            self._waited_s = _waited_s(trainer)
        if trainer.global_step == self.last:
            took = max(_now(pl_module.device, self._clock) - self._began, 1e-9)
            self.samples_per_s = self._steps * len(batch.frames) / took
            self.loader_wait_share = min(1.0, (_waited_s(trainer) - self._waited_s) / took)
            self.batch = batch


def _trainer(
    given: Mapping[str, Any] | None, out: Path, callbacks: list[Callback], steps: int
) -> Trainer:
    """A trainer that only trains."""
    only_training = {
        "max_steps": steps, "max_epochs": -1, "limit_val_batches": 0, "val_check_interval": None,
        "max_time": None, "logger": False, "enable_progress_bar": False,
    }  # fmt: skip
    return make_trainer({**TRAINER_DEFAULTS, **(given or {}), **only_training}, out, callbacks)


def _now(device: torch.device, clock: Now) -> float:
    """Seconds, once the device has done what it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return clock()


def _waited_s(trainer: Trainer) -> float:
    """Time the loader kept the model waiting so far [s]."""
    loader = trainer.train_dataloader
    return loader.waited_s if isinstance(loader, WindowLoader) else 0.0


def _dtype(precision: str) -> torch.dtype:
    """What a precision of Lightning's multiplies in."""
    names = {"bf16": torch.bfloat16, "16": torch.float16, "64": torch.float64}
    return names.get(precision.partition("-")[0], torch.float32)
