"""The world model as Lightning trains it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pytorch_lightning.callbacks import Timer
from pytorch_lightning.strategies import FSDPStrategy
from torch import Tensor

from goalsight.clip import Clip
from goalsight.errors import UserError
from goalsight.models import WorldModel
from goalsight.training.config import likely_cause
from goalsight.training.objective import (
    ObjectiveConfig,
    encoder_learns,
    make_targets,
    world_model_losses,
)
from goalsight.training.running import RunModule
from goalsight.training.schedule import OptimiserConfig


class TrainingModule(RunModule):
    """Losses of one training run of a world model."""

    model: WorldModel

    def __init__(
        self,
        model: WorldModel,
        objective: ObjectiveConfig,
        optimiser: OptimiserConfig,
        *,
        timer: Timer,
        seed: int,
        labels: Sequence[str] = (),
    ) -> None:
        """Wrap a model.

        Args:
            model: to train.
            objective: weights of the losses.
            optimiser: learning rate and its schedule.
            timer: the run's clock, a callback of the same trainer; its duration is the time limit.
            seed: of SIGReg's directions.
            labels: what it learns from besides pictures, actions and proprio.
        """
        super().__init__(optimiser, timer=timer, seed=seed)
        self.model, self.objective, self._labels = model, objective, list(labels)
        # Of the run, not of the model: resumed with it, never in its checkpoint.
        self.targets = make_targets(model, objective)
        if model.inverse is not None and not self._recovers_actions():
            # Processes that train together must agree on which parameters get gradients.
            model.inverse.requires_grad_(False)
        self.save_hyperparameters(
            {
                "model": asdict(model.config),
                "objective": asdict(objective),
                "optimiser": asdict(optimiser),
                "seed": seed,
            }
        )

    def setup(self, stage: str) -> None:
        """Refuse what would train something else than it says.

        Raises:
            UserError: for a target encoder under FSDP, whose shards are not the encoder's.
        """
        if self.targets is not None and isinstance(self.trainer.strategy, FSDPStrategy):
            raise UserError(
                f"--objective.anti_collapse {self.objective.anti_collapse} keeps a copy of the "
                "encoder, which FSDP would shard differently; use --trainer.strategy ddp"
            )

    def training_step(self, batch: Clip, batch_idx: int) -> Tensor:
        """Weighted sum of the losses of a batch."""
        losses = world_model_losses(
            self.model, batch, self.objective, self.generator(self.global_step), self.targets
        )
        self.losses = {name: value.detach() for name, value in losses.items()}
        return losses["loss"]

    def validation_step(self, batch: Clip, batch_idx: int) -> None:
        """Log the losses of held-out episodes."""
        losses = world_model_losses(
            self.model, batch, self.objective, self.generator(-1), self.targets
        )
        self.log_dict(
            {f"validation/{name}": value for name, value in losses.items()},
            on_step=False,
            on_epoch=True,
            sync_dist=True,
            batch_size=len(batch.frames),
        )

    def optimizer_step(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        """Lightning's step, and the target encoder's after it."""
        super().optimizer_step(*arguments, **options)
        if self.targets is not None:
            self.targets.follow(self.model)

    def _recovers_actions(self) -> bool:
        return self.objective.inverse_encoded > 0 or self.objective.inverse_predicted > 0

    def latents(self, clip: Clip) -> Tensor | None:
        """Encoded as an agent would, (B, T, P, D); None if the encoder cannot collapse."""
        return self.model.encode(clip.frames) if encoder_learns(self.model) else None

    def card(self, card: dict[str, Any]) -> dict[str, Any]:
        """The run's card, and whether somebody showed the model what to do."""
        return {**card, "labels_used": [*card["labels_used"], *self._labels]}

    def collapse_cause(self) -> str:
        """What to look at first, by objective."""
        return likely_cause(self.objective)
