"""What every training run has in common, whatever it trains."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.callbacks import Timer
from torch import Tensor
from torch.optim import AdamW

from goalsight.checkpoint import Model
from goalsight.clip import Clip
from goalsight.training.schedule import OptimiserConfig, learning_rate_scale, run_progress

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
        scale = learning_rate_scale(self.global_step, progress, self.optimiser.warmup_steps)
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
