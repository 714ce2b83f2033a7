"""What watches a run: the numbers that are logged, and the one that stops it."""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from einops import rearrange
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from goalsight.clip import Clip
from goalsight.collapse import effective_rank, smallest_std
from goalsight.errors import UserError
from goalsight.models import WorldModel
from goalsight.training.data import WindowLoader
from goalsight.training.folder import RunFolder
from goalsight.training.module import TrainingModule


class Metrics(Callback):
    """Every `--trainer.log_every_n_steps` steps: loss terms, collapse monitor, speed.

    Numbers leave the accelerator only then, all of them at once.
    """

    def __init__(self) -> None:
        """Nothing is measured yet."""
        self._since = self._paused_s = self._waited_s = 0.0
        self._pause_began = 0.0
        self._samples = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._restart(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Validation does not count as training time."""
        self._pause_began = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Training goes on."""
        self._paused_s += time.perf_counter() - self._pause_began

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  (what training_step returned, as Lightning hands it on)
        batch: Clip,
        batch_idx: int,
    ) -> None:
        """Count, and every so often measure and log."""
        assert isinstance(pl_module, TrainingModule)
        self._samples += len(batch.frames)
        interval = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if not interval or trainer.global_step % interval:
            return
        speed = self._speed(trainer)
        terms = {f"train/{name}": value for name, value in pl_module.losses.items()}
        terms |= collapse_monitor(pl_module.model, batch)
        values = torch.stack([value.float() for value in terms.values()]).tolist()
        pl_module.metrics = dict(zip(terms, values, strict=True)) | speed
        pl_module.metrics["train/lr"] = trainer.optimizers[0].param_groups[0]["lr"]
        for logger in trainer.loggers:
            logger.log_metrics(pl_module.metrics, step=trainer.global_step)
        self._restart(trainer)

    def _speed(self, trainer: Trainer) -> dict[str, float]:
        took = max(time.perf_counter() - self._since - self._paused_s, 1e-9)
        waited = _waited_s(trainer) - self._waited_s
        return {
            "speed/samples_per_s": self._samples / took,
            "speed/loader_wait_share": min(1.0, waited / took),
        }

    def _restart(self, trainer: Trainer) -> None:
        self._since, self._paused_s, self._samples = time.perf_counter(), 0.0, 0
        self._waited_s = _waited_s(trainer)


def _waited_s(trainer: Trainer) -> float:
    """Time the loader kept the model waiting so far [s]."""
    loader = trainer.train_dataloader
    return loader.waited_s if isinstance(loader, WindowLoader) else 0.0


@torch.no_grad()
def collapse_monitor(model: WorldModel, clip: Clip) -> dict[str, Tensor]:
    """How much of the latent space a batch uses, encoded as an agent would.

    Args:
        model: in training; its batch statistics are left alone.
        clip: (B, T, ...) windows.

    Returns:
        () effective rank and smallest standard deviation over all frames of the batch.
    """
    training = model.training
    model.eval()
    z = rearrange(model.encode(clip.frames).float(), "b t p d -> (b t p) d")
    model.train(training)
    return {"collapse/effective_rank": effective_rank(z), "collapse/smallest_std": smallest_std(z)}


class LossGuard(Callback):
    """Stops a run whose loss is not a number, before anything good is overwritten.

    On a CPU every step is looked at; elsewhere losses are summed on the device (one that is not
    finite spoils the sum) and looked at when something is logged or saved.
    """

    def __init__(self, folder: RunFolder) -> None:
        """Watch a run.

        Args:
            folder: whose checkpoint the message names.
        """
        self._folder = folder
        self._sum: Tensor | None = None

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  (as above)
        batch: Clip,
        batch_idx: int,
    ) -> None:
        """Take the loss in.

        Raises:
            UserError: if it is not finite.
        """
        assert isinstance(pl_module, TrainingModule)
        loss = pl_module.losses["loss"]
        self._sum = loss if self._sum is None else self._sum + loss
        interval = trainer.log_every_n_steps or 50  # type: ignore[attr-defined]
        if loss.device.type == "cpu" or trainer.global_step % interval == 0:
            self.check(pl_module)

    def check(self, module: TrainingModule) -> None:
        """Look at the losses so far.

        Raises:
            UserError: if one was not finite; names the term, the step and the last checkpoint.
        """
        if self._sum is None or math.isfinite(self._sum.item()):
            self._sum = None
            return
        bad = [name for name, value in module.losses.items() if not math.isfinite(value.item())]
        saved = self._folder.checkpoint
        kept = f"the last good checkpoint is {saved}" if saved.is_dir() else "nothing was saved yet"
        raise UserError(
            f"the loss is not a number at step {module.global_step} "
            f"({', '.join(bad) or 'some steps ago'}); {kept}; try a smaller --optimiser.lr in "
            "another --out"
        )


def weights_are_finite(model: WorldModel) -> bool:
    """Whether every parameter and statistic of a model is a number."""
    tensors = [item for item in model.state_dict().values() if item.is_floating_point()]
    return bool(torch.stack([item.isfinite().all() for item in tensors]).all())
