"""One training run of a world model, from an opened dataset to a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.callbacks import Timer

from goalsight.data import Dataset
from goalsight.errors import DatasetError, UserError
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.progress import progress_bar
from goalsight.training.actor import ActorConfig, head_options
from goalsight.training.data import WindowData, WindowsConfig
from goalsight.training.devices import threads
from goalsight.training.encoders import fill_encoder, fill_proprio, find_encoder
from goalsight.training.hindsight import demonstrations
from goalsight.training.loop import TRAINER_DEFAULTS, TrainSummary, execute
from goalsight.training.module import TrainingModule
from goalsight.training.objective import ObjectiveConfig, encoder_learns
from goalsight.training.saving import SAVE_EVERY_S
from goalsight.training.schedule import OptimiserConfig

__all__ = ["TRAINER_DEFAULTS", "TrainConfig", "TrainSummary", "train"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that makes a run what it is, apart from dataset and trainer."""

    model: WorldModelConfig
    """What is trained."""
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    """What for."""
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    """How fast."""
    windows: WindowsConfig = field(default_factory=WindowsConfig)
    """How the dataset is cut."""
    seed: int = 0
    """Of initial weights, split, order of the batches and SIGReg's directions."""
    encoder_from: Path | None = None
    """A run or checkpoint whose encoder is taken over, weights and all."""
    download: bool = False
    """Whether weights of an encoder named by its source may be downloaded."""
    threads: int | None = None
    """Processor threads; None for one per core."""
    compile: bool = False
    """Whether encoder and predictor are compiled, a minute before the first step and faster from
    then on where the step is not one large product already; `benchmarks.training` tells."""
    save_every_s: float = SAVE_EVERY_S
    """Time between two saves [s]: what a kill costs."""

    def __post_init__(self) -> None:
        objective, frames = self.objective, self.windows.frames
        if objective.rollout > 0 and 2 < frames <= objective.rollout_steps:
            raise ValueError(
                f"rollout_steps {objective.rollout_steps} needs windows of more frames than "
                f"{frames}; give --windows.frames {objective.rollout_steps + 1}, or fewer steps"
            )
        if not self.model.inverse and (objective.inverse_encoded or objective.inverse_predicted):
            raise ValueError(
                "a model without an inverse head recovers no actions; set "
                "--objective.inverse_encoded 0 and --objective.inverse_predicted 0"
            )


def train(
    dataset: Dataset,
    out: Path,
    config: TrainConfig,
    *,
    trainer: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> TrainSummary:
    """Train a world model, or go on with a run that ended early.

    SIGINT and SIGTERM end it after the current step; everything is saved then, and the same call
    goes on exactly where it ended.

    Args:
        dataset: to train on.
        out: folder of the run.
        config: the run.
        trainer: arguments of Lightning's `Trainer` on top of `TRAINER_DEFAULTS`.
        settings: plain values that a run must share with the one it goes on with; None skips
            that test.
        defaults: what a run has of a setting that did not exist when it began.

    Raises:
        DatasetError: if the dataset is damaged, too short, or has other actions than the config.
        OutputError: if `out` holds something else.
        UserError: if the loss becomes NaN or a setting is refused.
    """
    with threads(config.threads):
        return execute(
            dataset,
            out,
            lambda timer: prepare(dataset, config, timer),
            trainer=trainer,
            settings=settings,
            defaults=defaults,
            save_every_s=config.save_every_s,
        )


def prepare(
    dataset: Dataset, config: TrainConfig, timer: Timer
) -> tuple[WindowData, TrainingModule]:
    """Data and module of a run, before its first step.

    Args:
        dataset: to train on.
        config: the run.
        timer: the run's clock.

    Raises:
        DatasetError: if the dataset is damaged, too short, or has other actions than the config.
        UserError: if the model cannot be built, or has nothing that its objective could train.
    """
    data = _read(dataset, config)
    module = _module(config, data, timer)
    if not encoder_learns(module.model):
        if config.objective.behaviour > 0:
            raise UserError(
                "--objective.behaviour is there to train the encoder, and nothing of this one is "
                "trained; train an actor on the finished model instead (--config actor)"
            )
        data.remember_latents(module.model)
    return data, module


def _read(dataset: Dataset, config: TrainConfig) -> WindowData:
    """Windows of the dataset; a bar shows if videos must be decoded first."""
    if dataset.action_dim != config.model.action_dim:
        raise DatasetError(
            f"{dataset.path} has actions of {dataset.action_dim} numbers, the config's "
            f"model.action_dim is {config.model.action_dim}; leave it out to take the dataset's"
        )
    if config.model.proprio_dim not in {0, dataset.proprio_dim}:
        raise DatasetError(
            f"{dataset.path} has {dataset.proprio_dim} numbers of proprio, the config's "
            f"model.proprio_dim is {config.model.proprio_dim}; give --proprio true instead"
        )
    with progress_bar("Decoding") as report:
        return WindowData(
            dataset,
            config.windows,
            frameskip=config.model.frameskip,
            image_size=config.model.image_size,
            seed=config.seed,
            goals=config.objective.behaviour > 0,
            progress=report,
        )


def _module(config: TrainConfig, data: WindowData, timer: Timer) -> TrainingModule:
    """The model with weights that depend on seed, data and the encoder's source alone."""
    source = find_encoder(config.model, config.encoder_from, download=config.download)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        try:
            model = WorldModel(_with_heads(source.config, config, data))
        except ValueError as error:
            raise UserError(str(error)) from error
        fill_encoder(model, source)
        fill_proprio(model, data.proprio_statistics)
        module = TrainingModule(
            model,
            config.objective,
            config.optimiser,
            timer=timer,
            seed=config.seed,
            labels=demonstrations(data.dataset) if config.objective.behaviour > 0 else (),
        )
    if config.compile:
        model.encoder.compile()
        model.predictor.compile()
    module.hparams["encoder"] = source.origin
    return module


def _with_heads(model: WorldModelConfig, config: TrainConfig, data: WindowData) -> WorldModelConfig:
    """The model's config with the actor that the objective trains, if it does."""
    if not config.objective.behaviour or "actor" in model.heads:
        return model
    options = head_options(
        ActorConfig(), config.windows.furthest, data.dataset, data.training_episodes.tolist()
    )
    return replace(model, heads={**model.heads, "actor": options})
