"""What watches a run: the numbers that are logged, and the one that stops it."""

from __future__ import annotations

import logging
import math
import time
from typing import Any

import torch
from einops import rearrange
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from goalsight.clip import Clip
from goalsight.collapse import effective_rank, smallest_std
from goalsight.errors import UserError
from goalsight.ranks import sum_over_ranks
from goalsight.training.data import WindowLoader
from goalsight.training.folder import RunFolder
from goalsight.training.running import RunModule

LOG = logging.getLogger(__name__)
COLLAPSED_SHARE = 0.05
"""Share of the largest possible effective rank under which a batch counts as collapsed."""
COLLAPSED_STEPS = 500
"""Steps for which it must be so before the user is told: every run starts low."""


class Metrics(Callback):
    """Every `--trainer.log_every_n_steps` steps: loss terms, collapse monitor, speed.

    Numbers leave the accelerator only then, all of them at once.
    """

    def __init__(self) -> None:
        """Nothing is measured yet."""
        self._since = self._paused_s = self._waited_s = 0.0
        self._pause_began = 0.0
        self._samples = 0
        self._alarm = CollapseAlarm()

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
        assert isinstance(pl_module, RunModule)
        self._samples += len(batch.frames)
        interval = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if not interval or trainer.global_step % interval:
            return
        speed = self._speed(trainer)
        terms = {f"train/{name}": value for name, value in pl_module.losses.items()}
        monitored = collapse_monitor(pl_module, batch)
        terms |= monitored
        values = torch.stack([value.float() for value in terms.values()]).tolist()
        pl_module.metrics = dict(zip(terms, values, strict=True)) | speed
        pl_module.metrics["train/lr"] = trainer.optimizers[0].param_groups[0]["lr"]
        if monitored and trainer.is_global_zero:
            self._alarm.look(pl_module)
        for logger in trainer.loggers:
            logger.log_metrics(pl_module.metrics, step=trainer.global_step)
        self._restart(trainer)

    def _speed(self, trainer: Trainer) -> dict[str, float]:
        took = max(time.perf_counter() - self._since - self._paused_s, 1e-9)
        waited = _waited_s(trainer) - self._waited_s
        return {
            "speed/samples_per_s": trainer.world_size * self._samples / took,
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
def collapse_monitor(module: RunModule, clip: Clip) -> dict[str, Tensor]:
    """How much of the latent space a batch uses, encoded as an agent would.

    Args:
        module: whose model is in training; its batch statistics are left alone.
        clip: (B, T, ...) windows.

    Returns:
        () effective rank, its share of what it could be, and smallest standard deviation over all
        frames of this process's batch; nothing for a model that cannot collapse.
    """
    training = module.model.training
    module.model.eval()
    latents = module.latents(clip)
    module.model.train(training)
    if latents is None:
        return {}
    z = rearrange(latents.float(), "... d -> (...) d")
    rank, largest = effective_rank(z), min(z.shape[1], len(z) - 1)
    return {
        "collapse/effective_rank": rank,
        "collapse/rank_share": rank / largest,
        "collapse/smallest_std": smallest_std(z),
    }


class CollapseAlarm:
    """Says once, in one line, that the latents of a run have collapsed, and why they may have."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._since: int | None = None
        self._said = False

    def look(self, module: RunModule) -> None:
        """Take in what was last measured; warns if it has been bad for `COLLAPSED_STEPS`."""
        share, step = module.metrics["collapse/rank_share"], module.global_step
        if share >= COLLAPSED_SHARE:
            self._since = None
            return
        self._since = step if self._since is None else self._since
        if step - self._since >= COLLAPSED_STEPS and not self._said:
            self._said = True
            rank = module.metrics["collapse/effective_rank"]
            LOG.warning(
                "goalsight: latents have collapsed (effective rank %.1f of %d since step %d): %s",
                rank,
                round(rank / share),
                self._since,
                module.collapse_cause(),
            )


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
        assert isinstance(pl_module, RunModule)
        loss = pl_module.losses["loss"]
        self._sum = loss if self._sum is None else self._sum + loss
        interval = trainer.log_every_n_steps or 50  # type: ignore[attr-defined]
        if loss.device.type == "cpu" or trainer.global_step % interval == 0:
            self.check(pl_module)

    def check(self, module: RunModule) -> None:
        """Look at the losses so far, in all processes at once: they end together.

        Raises:
            UserError: if one was not finite; names the term, the step and the last checkpoint.
        """
        if self._sum is None or math.isfinite(sum_over_ranks(self._sum).item()):
            self._sum = None
            return
        bad = [name for name, value in module.losses.items() if not math.isfinite(value.item())]
        saved = self._folder.checkpoint
        kept = f"the last good checkpoint is {saved}" if saved.is_dir() else "nothing was saved yet"
        raise UserError(
            f"the loss is not a number at step {module.global_step} "
            f"({', '.join(bad) or 'some steps ago or in another process'}); {kept}; try a smaller "
            "--optimiser.lr in another --out"
        )


def weights_are_finite(model: nn.Module) -> bool:
    """Whether every parameter and statistic of a model is a number."""
    tensors = [item for item in model.state_dict().values() if item.is_floating_point()]
    return bool(torch.stack([item.isfinite().all() for item in tensors]).all())
