"""What every training run has in common: optimiser, schedule, random numbers, what watches it."""

from __future__ import annotations

import logging
import math
import time
from abc import abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from einops import rearrange
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ProgressBar, Timer
from rich.progress import Progress, TaskProgressColumn, TextColumn
from torch import Tensor, nn
from torch.optim import AdamW

from goalsight.checkpoint import Model
from goalsight.clip import Clip
from goalsight.collapse import effective_rank, smallest_std
from goalsight.errors import UserError
from goalsight.progress import styled_bar
from goalsight.ranks import sum_over_ranks
from goalsight.training.data import WindowLoader

LOG = logging.getLogger(__name__)


Schedule = Literal["cosine", "constant"]


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """AdamW with linear warm-up and a schedule."""

    lr: float = 3e-3
    """Largest learning rate."""
    weight_decay: float = 1e-4
    """Decoupled weight decay."""
    warmup_steps: int = 100
    """Steps over which the learning rate grows to `lr`."""
    schedule: Schedule = "cosine"
    """Then: `cosine` anneals it to zero at the end of the run; `constant` keeps it, so that a run
    that is given more steps later is the run that had them from the start."""

    def __post_init__(self) -> None:
        if self.schedule not in get_args(Schedule):
            raise ValueError(f"schedule must be cosine or constant, got {self.schedule!r}")
        if not (self.lr > 0 and self.weight_decay >= 0 and self.warmup_steps >= 0):
            raise ValueError(
                "lr must be above 0, weight_decay and warmup_steps at least 0, got "
                f"{self.lr}, {self.weight_decay} and {self.warmup_steps}"
            )


def run_progress(
    step: int, max_steps: float, elapsed_s: float = 0.0, max_time_s: float | None = None
) -> float:
    """How much of a run is over: the larger share of its steps and of its time.

    Args:
        step: optimiser steps done.
        max_steps: steps the run may take; infinite for no limit.
        elapsed_s: training time so far, that before a resume included [s].
        max_time_s: training time the run may take [s]; None for no limit.

    Returns:
        In [0, 1].

    >>> run_progress(10, 100), run_progress(10, 100, elapsed_s=30.0, max_time_s=60.0)
    (0.1, 0.5)
    """
    share = step / max_steps if max_steps > 0 else 1.0
    if max_time_s is not None:
        share = max(share, elapsed_s / max_time_s if max_time_s > 0 else 1.0)
    return min(1.0, share)


def learning_rate_scale(
    step: int, progress: float, warmup_steps: int, schedule: Schedule = "cosine"
) -> float:
    """Factor on the learning rate: a cosine of the progress, or 1, ramped up at the start.

    Following progress and not steps, a run that its time limit ends is annealed all the same.

    Args:
        step: optimiser steps done.
        progress: of the run, in [0, 1].
        warmup_steps: length of the ramp.
        schedule: what follows the ramp.

    Returns:
        In [0, 1]; with `cosine` 0 at progress 1.

    >>> learning_rate_scale(0, 0.0, warmup_steps=4), learning_rate_scale(50, 0.5, warmup_steps=4)
    (0.25, 0.5)
    """
    warmth = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    if schedule == "constant":
        return warmth
    return warmth * 0.5 * (1.0 + math.cos(math.pi * progress))


AGREE_EVERY = 10
"""Steps after which the processes of a run compare clocks and whether to save or stop."""


class RunModule(LightningModule):
    """Optimiser, learning rate and random numbers of one run; its callbacks know only this.

    Its random numbers are a function of seed and step, so that a resumed run goes on exactly.
    """

    model: Model
    """What the run's checkpoint holds."""

    def __init__(self, optimiser: OptimiserConfig, *, timer: Timer, seed: int) -> None:
        """Nothing is trained yet.

        Args:
            optimiser: learning rate and its schedule.
            timer: the run's clock, a callback of the same trainer; its duration is the time limit.
            seed: of everything random in a step.
        """
        super().__init__()
        self.optimiser, self.seed, self.timer = optimiser, seed, timer
        self.losses: dict[str, Tensor] = {}
        """Terms of the last training step, on the model's device, detached."""
        self.metrics: dict[str, float] = {}
        """What was last logged of the training."""
        self._max_steps = float("inf")
        self._agreed: float | None = None

    @abstractmethod
    def latents(self, clip: Clip) -> Tensor | None:
        """Latents (..., D) of a clip (B, T, ...) for the collapse monitor; None without one."""

    def collapse_cause(self) -> str:
        """What to look at first if the latents collapse, for one line to the user."""
        return "try a smaller --optimiser.lr"

    def card(self, card: dict[str, Any]) -> dict[str, Any]:
        """The checkpoint's card, from that of a run that trains the whole model."""
        return card

    def configure_optimizers(self) -> AdamW:
        """AdamW over what is trained; the schedule is in `on_train_batch_start`."""
        cuda = self.device.type == "cuda"
        return AdamW(
            [parameter for parameter in self.parameters() if parameter.requires_grad],
            lr=self.optimiser.lr,
            weight_decay=self.optimiser.weight_decay,
            # A gradient scaler, as 16-mixed has, must unscale and clip between two kernels.
            fused=True if cuda and self.trainer.precision != "16-mixed" else None,
            # PyTorch loops over parameters on a processor by default, a millisecond slower a step.
            foreach=True if self.device.type == "cpu" else None,
        )

    def on_train_start(self) -> None:
        """Look up what limits the run."""
        self._max_steps = float(self.trainer.estimated_stepping_batches)

    def progress(self) -> float:
        """How much of the run is over, in [0, 1]."""
        elapsed, remaining = self.timer.time_elapsed(), self.timer.time_remaining()
        limit = None if remaining is None else remaining + elapsed
        return run_progress(self.global_step, self._max_steps, elapsed, limit)

    def on_train_batch_start(self, batch: Clip, batch_idx: int) -> None:
        """Set the learning rate and the random stream of this step."""
        # Dropout knows only the global stream; each process drops out other units.
        torch.manual_seed(self._stream(self.global_step) + (self.global_rank << 32))
        progress = self._agreed_progress()
        scale = learning_rate_scale(
            self.global_step, progress, self.optimiser.warmup_steps, self.optimiser.schedule
        )
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.optimiser.lr * scale

    def _agreed_progress(self) -> float:
        """The progress that sets the learning rate, the same in all processes.

        Their clocks differ a little; so would their weights. The first one's clock counts, asked
        every few steps.
        """
        if self.trainer.world_size == 1 or self.timer.time_remaining() is None:
            return self.progress()
        if self._agreed is None or self.global_step % AGREE_EVERY == 0:
            self._agreed = float(self.trainer.strategy.broadcast(self.progress()))
        return self._agreed

    def _stream(self, step: int) -> int:
        """The seed of a step; -1 is validation."""
        return (self.seed + 1) * 1_000_003 + step

    def generator(self, step: int) -> torch.Generator:
        """SIGReg's random stream at a step."""
        return torch.Generator(self.device).manual_seed(self._stream(step))


COLLAPSED_SHARE = 0.05
"""Share of the largest possible effective rank under which a batch counts as collapsed."""


COLLAPSED_STEPS = 500
"""Steps for which it must be so before the user is told: every run starts low."""


REFRESH_S = 0.25
"""Time between two updates of the bar [s]."""


class Metrics(Callback):
    """Every `--trainer.log_every_n_steps` steps, and at the last: losses, collapse, speed.

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
        last = trainer.global_step == trainer.max_steps
        if not interval or (trainer.global_step % interval and not last):
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

    def __init__(self, checkpoint: Path) -> None:
        """Watch a run.

        Args:
            checkpoint: folder of its checkpoint, which the message names.
        """
        self._checkpoint = checkpoint
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
        saved = self._checkpoint
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


class RunBar(ProgressBar):
    """How far the run is by steps or by time, whichever ends it first, and the last losses."""

    def __init__(self) -> None:
        """Make the bar; it shows when training starts."""
        super().__init__()
        self._enabled = True
        self._bar: Progress | None = None
        self._drawn_at = self._began_at = self._began_with = 0.0

    def disable(self) -> None:
        """Show nothing; Lightning asks for it on all but the first device."""
        self._enabled = False

    def enable(self) -> None:
        """Show the bar."""
        self._enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the bar."""
        assert isinstance(pl_module, RunModule)
        if not self._enabled:
            return
        self._bar = styled_bar(
            TaskProgressColumn(),
            TextColumn("{task.fields[status]}"),
            transient=False,
            auto_refresh=False,
        )
        self._bar.add_task("Training", total=1.0, status="")
        self._bar.start()
        self._began_at, self._began_with = time.monotonic(), pl_module.progress()
        self._draw(pl_module)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  (what training_step returned, as Lightning hands it on)
        batch: Any,  # noqa: ANN401  (likewise)
        batch_idx: int,
    ) -> None:
        """Update the bar a few times a second; numbers are those last logged."""
        assert isinstance(pl_module, RunModule)
        if self._bar is not None and time.monotonic() - self._drawn_at > REFRESH_S:
            self._draw(pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the last state on the screen."""
        assert isinstance(pl_module, RunModule)
        if self._bar is not None:
            self._draw(pl_module)
        self._stop()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Give the terminal back."""
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _draw(self, module: RunModule) -> None:
        assert self._bar is not None
        self._drawn_at = time.monotonic()
        progress = module.progress()
        self._bar.update(
            self._bar.task_ids[0], completed=progress, status=self._status(module, progress)
        )
        self._bar.refresh()

    def _status(self, module: RunModule, progress: float) -> str:
        parts = [f"step {module.global_step}"]
        done = progress - self._began_with
        if done > 0 and progress < 1:
            left = (self._drawn_at - self._began_at) * (1.0 - progress) / done
            parts.append(f"{timedelta(seconds=round(left))} left")
        for name, unit in (("train/prediction", ""), ("speed/samples_per_s", "")):
            if name in module.metrics:
                parts.append(f"{name.rpartition('/')[2]} {module.metrics[name]:.3g}{unit}")
        return ", ".join(parts)
