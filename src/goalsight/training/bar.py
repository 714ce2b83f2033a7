"""One bar for the whole run on stderr, with the time left."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ProgressBar
from rich.progress import Progress, TaskProgressColumn, TextColumn

from goalsight.progress import styled_bar
from goalsight.training.running import RunModule

REFRESH_S = 0.25
"""Time between two updates of the bar [s]."""


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
