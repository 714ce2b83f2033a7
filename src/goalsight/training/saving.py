"""Saving a run so that Ctrl-C, a kill and a full disk cost a minute at most."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.strategies import FSDPStrategy

from goalsight.checkpoint import Model, save_checkpoint
from goalsight.clip import Clip
from goalsight.errors import UserError
from goalsight.io import replacing
from goalsight.models import WorldModel
from goalsight.provenance import hardware, versions
from goalsight.ranks import rank_count, sum_over_ranks
from goalsight.training.callbacks import LossGuard, weights_are_finite
from goalsight.training.data import WindowData
from goalsight.training.folder import RunFolder
from goalsight.training.latents import latent_variance
from goalsight.training.running import AGREE_EVERY, RunModule

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
        assert isinstance(pl_module, RunModule)
        if 0 < trainer.max_steps <= trainer.global_step:
            trainer.should_stop = True  # the same end as by time: after one more validation
            return
        stop, due = self._asked(trainer)
        if stop and not trainer.should_stop:
            self.interrupted = True
            trainer.should_stop = True
            self._save(trainer, pl_module, finished=False)
        elif due:
            self._save(trainer, pl_module, finished=False)

    def _asked(self, trainer: Trainer) -> tuple[bool, bool]:
        """Whether to stop and whether to save; if any process is to, all are.

        A vote costs a message, so processes that train together take it every few steps only.
        """
        stop, due = self._stop_requested(), time.monotonic() - self._saved_at > self._every_s
        if rank_count() == 1:
            return stop, due
        if trainer.global_step % AGREE_EVERY:
            return False, False
        votes = torch.tensor([stop, due], dtype=torch.float32, device=trainer.strategy.root_device)
        stop, due = (sum_over_ranks(votes) > 0).tolist()
        return stop, due

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the end of a run that was not interrupted."""
        assert isinstance(pl_module, RunModule)
        if not self.interrupted:
            self._save(trainer, pl_module, finished=True)

    def _save(self, trainer: Trainer, module: RunModule, *, finished: bool) -> None:
        self._guard.check(module)
        if not weights_are_finite(module.model):
            raise UserError(
                f"the weights are not numbers at step {module.global_step}; what "
                f"{self._folder.path} holds is from before; try a smaller --optimiser.lr in "
                "another --out"
            )
        # The model before the state to resume from: after a kill in between the steps are done
        # again, while a run whose last step is saved would have none left to save the model at.
        model = _whole_model(trainer, module)
        if trainer.is_global_zero:
            card = module.card(make_card(trainer, module, self._data, finished))
            save_checkpoint(self._folder.checkpoint, model, card)
        with replacing(self._folder.last, "new", first=trainer.is_global_zero) as beside:
            trainer.save_checkpoint(beside)  # in all processes, though only the first one writes
        if trainer.is_global_zero:
            step = trainer.global_step
            self._folder.note(dataset=self._fingerprint, step=step, finished=finished)
        self._saved_at = time.monotonic()


def _whole_model(trainer: Trainer, module: RunModule) -> Model:
    """The model with all its weights, to save by the first process; all processes must ask."""
    if not isinstance(trainer.strategy, FSDPStrategy):
        return module.model
    state = trainer.strategy.lightning_module_state_dict()  # each process held a shard
    if not trainer.is_global_zero:
        return module.model
    inside = {name.partition("."): tensor for name, tensor in state.items()}
    make: Callable[[Any], Model] = type(module.model)
    with torch.random.fork_rng(devices=[]):
        whole = make(module.model.config)
    whole.load_state_dict({name: x for (owner, _, name), x in inside.items() if owner == "model"})
    return whole


def _latent_statistics(trainer: Trainer, module: RunModule, data: WindowData) -> dict[str, Any]:
    """Spread of the latents that an agent plans in; nothing for a model that no agent plans in."""
    sharded = isinstance(trainer.strategy, FSDPStrategy)  # one process alone cannot encode then
    if sharded or not isinstance(module.model, WorldModel):
        return {}
    return {"latent": {"variance": latent_variance(module.model, data.training)}}


def make_card(
    trainer: Trainer, module: RunModule, data: WindowData, finished: bool
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
            "camera": dataset.camera,
            "renderer": known.renderer,
            "size": known.size,
        },
        "proprio_names": known.proprio_names,
        "action_names": known.action_names,
        "statistics": {
            "action": data.action_statistics,
            "proprio": data.proprio_statistics,
            **_latent_statistics(trainer, module, data),
        },
        "labels_used": [],
        "seed": module.seed,
        "split": {"validation": data.config.validation, "seed": module.seed},
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


def all_metrics(trainer: Trainer, module: RunModule) -> dict[str, float]:
    """What was last logged: of the training, and of the last validation."""
    return module.metrics | {
        name: float(value)
        for name, value in trainer.callback_metrics.items()
        if name.startswith("validation/")
    }
