"""Saving a run so that Ctrl-C, a kill and a full disk cost a minute at most."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from goalsight.checkpoint import save_checkpoint
from goalsight.clip import Clip
from goalsight.errors import UserError
from goalsight.provenance import hardware, versions
from goalsight.training.callbacks import LossGuard, weights_are_finite
from goalsight.training.data import WindowData
from goalsight.training.folder import RunFolder
from goalsight.training.module import TrainingModule

SAVE_EVERY_S = 30.0
"""Seconds between two saves: what a kill costs."""


class Saver(Callback):
    """Keeps `last.ckpt` and `checkpoint/` up to date, and stops the run when somebody asks to.

    An unfinished state is saved in `on_train_batch_end` only: saved later, Lightning would count
    the epoch that was cut short as a whole one.
    """

    def __init__(
        self,
        folder: RunFolder,
        data: WindowData,
        guard: LossGuard,
        stop_requested: Callable[[], bool],
        every_s: float = SAVE_EVERY_S,
    ) -> None:
        """Save a run.

        Args:
            folder: where.
            data: what is trained on, for the card.
            guard: asked before every save.
            stop_requested: whether to save and stop, asked after every step.
            every_s: time between two saves [s].
        """
        self._folder, self._data, self._guard = folder, data, guard
        self._stop_requested, self._every_s = stop_requested, every_s
        self._saved_at = 0.0
        self.interrupted = False
        """Whether the run was stopped before its end."""
        self.began_at = 0
        """Optimiser steps that were done before this call."""
        self._fingerprint = data.dataset.fingerprint()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._saved_at, self.began_at = time.monotonic(), trainer.global_step

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  (what training_step returned, as Lightning hands it on)
        batch: Clip,
        batch_idx: int,
    ) -> None:
        """Save if it is time to, or if the run is to stop."""
        assert isinstance(pl_module, TrainingModule)
        if 0 < trainer.max_steps <= trainer.global_step:
            trainer.should_stop = True  # the same end as by time: after one more validation
        elif self._stop_requested() and not trainer.should_stop:
            self.interrupted = True
            trainer.should_stop = True
            self._save(trainer, pl_module, finished=False)
        elif time.monotonic() - self._saved_at > self._every_s:
            self._save(trainer, pl_module, finished=False)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the end of a run that was not interrupted."""
        assert isinstance(pl_module, TrainingModule)
        if not self.interrupted:
            self._save(trainer, pl_module, finished=True)

    def _save(self, trainer: Trainer, module: TrainingModule, *, finished: bool) -> None:
        self._guard.check(module)
        if not weights_are_finite(module.model):
            raise UserError(
                f"the weights are not numbers at step {module.global_step}; what "
                f"{self._folder.path} holds is from before; try a smaller --optimiser.lr in "
                "another --out"
            )
        # The model before the state to resume from: after a kill in between the steps are done
        # again, while a run whose last step is saved would have none left to save the model at.
        save_checkpoint(
            self._folder.checkpoint, module.model, make_card(trainer, module, self._data, finished)
        )
        beside = self._folder.last.with_name(f".{self._folder.last.name}.new")
        try:
            trainer.save_checkpoint(beside)
            beside.replace(self._folder.last)
        finally:
            beside.unlink(missing_ok=True)
        self._folder.note(dataset=self._fingerprint, step=trainer.global_step, finished=finished)
        self._saved_at = time.monotonic()


def make_card(
    trainer: Trainer, module: TrainingModule, data: WindowData, finished: bool
) -> dict[str, Any]:
    """Where a model comes from and what it is worth, as JSON values.

    Args:
        trainer: of the run.
        module: what is trained.
        data: what on.
        finished: whether the run came to its end.
    """
    dataset, known = data.dataset, data.dataset.provenance
    return {
        "dataset": {
            "fingerprint": dataset.fingerprint(),
            "env": known.env,
            "policy": known.policy,
            "episodes": len(dataset.episodes),
            "frames": dataset.total_frames,
            "control_dt": known.control_dt,
            "camera": known.camera,
            "renderer": known.renderer,
            "size": known.size,
        },
        "proprio_names": known.proprio_names,
        "action_names": known.action_names,
        "statistics": {"action": data.action_statistics},
        "labels_used": [],
        "seed": module.seed,
        "steps": trainer.global_step,
        "finished": finished,
        "minutes": module.timer.time_elapsed() / 60.0,
        "hardware": hardware(),
        "precision": str(trainer.precision),
        "versions": versions(),
        "training": {key: value for key, value in module.hparams.items() if key != "model"},
        "metrics": {
            name: value if math.isfinite(value) else None
            for name, value in sorted(all_metrics(trainer, module).items())
        },
    }


def all_metrics(trainer: Trainer, module: TrainingModule) -> dict[str, float]:
    """What was last logged: of the training, and of the last validation."""
    return module.metrics | {
        name: float(value)
        for name, value in trainer.callback_metrics.items()
        if name.startswith("validation/")
    }
