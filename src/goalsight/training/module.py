"""The world model as Lightning trains it."""

from __future__ import annotations

from dataclasses import asdict

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.callbacks import Timer
from torch import Tensor
from torch.optim import AdamW

from goalsight.clip import Clip
from goalsight.models import WorldModel
from goalsight.training.objective import ObjectiveConfig, world_model_losses
from goalsight.training.schedule import OptimiserConfig, learning_rate_scale, run_progress


class TrainingModule(LightningModule):
    """Losses, optimiser and learning rate of one training run.

    Its random numbers are a function of seed and step, so that a resumed run goes on exactly.
    """

    def __init__(
        self,
        model: WorldModel,
        objective: ObjectiveConfig,
        optimiser: OptimiserConfig,
        *,
        timer: Timer,
        seed: int,
    ) -> None:
        """Wrap a model.

        Args:
            model: to train.
            objective: weights of the losses.
            optimiser: learning rate and its schedule.
            timer: the run's clock, a callback of the same trainer; its duration is the time limit.
            seed: of SIGReg's directions.
        """
        super().__init__()
        self.model = model
        self.objective, self.optimiser, self.seed = objective, optimiser, seed
        self.timer = timer
        self.losses: dict[str, Tensor] = {}
        """Terms of the last training step, on the model's device, detached."""
        self.metrics: dict[str, float] = {}
        """What was last logged of the training."""
        self._max_steps = float("inf")
        self.save_hyperparameters(
            {
                "model": asdict(model.config),
                "objective": asdict(objective),
                "optimiser": asdict(optimiser),
                "seed": seed,
            }
        )

    def configure_optimizers(self) -> AdamW:
        """AdamW over all parameters; the schedule is in `on_train_batch_start`."""
        return AdamW(
            self.parameters(),
            lr=self.optimiser.lr,
            weight_decay=self.optimiser.weight_decay,
            # PyTorch loops over parameters on a processor by default, a millisecond slower a step.
            foreach=True if self.device.type in {"cpu", "cuda"} else None,
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
        torch.manual_seed(self._stream(self.global_step))  # dropout knows only the global one
        scale = learning_rate_scale(self.global_step, self.progress(), self.optimiser.warmup_steps)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.optimiser.lr * scale

    def training_step(self, batch: Clip, batch_idx: int) -> Tensor:
        """Weighted sum of the losses of a batch."""
        losses = world_model_losses(
            self.model, batch, self.objective, self._generator(self.global_step)
        )
        self.losses = {name: value.detach() for name, value in losses.items()}
        return losses["loss"]

    def validation_step(self, batch: Clip, batch_idx: int) -> None:
        """Log the losses of held-out episodes."""
        losses = world_model_losses(self.model, batch, self.objective, self._generator(-1))
        self.log_dict(
            {f"validation/{name}": value for name, value in losses.items()},
            on_step=False,
            on_epoch=True,
            batch_size=len(batch.frames),
        )

    def _stream(self, step: int) -> int:
        """The seed of a step; -1 is validation."""
        return (self.seed + 1) * 1_000_003 + step

    def _generator(self, step: int) -> torch.Generator:
        """SIGReg's random stream at a step."""
        return torch.Generator(self.device).manual_seed(self._stream(step))
