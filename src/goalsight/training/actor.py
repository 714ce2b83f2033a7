"""Training an actor on the latents of a finished model: the model stays, one head is new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from pytorch_lightning.callbacks import Timer
from torch import Tensor

from goalsight.checkpoint import Checkpoint, find_checkpoint, load_checkpoint
from goalsight.clip import Clip
from goalsight.data import Dataset
from goalsight.errors import DatasetError, UserError
from goalsight.models import WorldModel
from goalsight.models.heads.actor import Actor, Tokens
from goalsight.training.devices import threads
from goalsight.training.gripper import find_gripper
from goalsight.training.hindsight import (
    HindsightClip,
    HindsightConfig,
    HindsightData,
    demonstrations,
)
from goalsight.training.loop import TrainSummary, execute
from goalsight.training.running import RunModule
from goalsight.training.saving import SAVE_EVERY_S
from goalsight.training.schedule import OptimiserConfig

Head = Literal["actor", "gcbc"]
"""The head's name in a checkpoint: what an agent plans with, or the baseline of the benchmark."""


@dataclass(frozen=True, kw_only=True)
class ActorConfig:
    """What an actor is made of; see `goalsight.models.heads.actor.Actor`."""

    head: Head = "actor"
    """Its name in the checkpoint, beside the heads that are there; one of that name is replaced."""
    width: int = 512
    """Units of its layers."""
    depth: int = 3
    """Hidden layers."""
    components: int = 4
    """Gaussians of the mixture; 1 averages what it should choose from."""
    std: float = 0.0
    """Spread of every Gaussian, in action units; with one component its training is then least
    squares. 0 learns the spread."""
    clock: bool = True
    """Whether it is told the time that is left."""
    tokens: Tokens = "flat"
    """Whether it sees all tokens of a grid one after another, or their mean."""
    gripper: str = "auto"
    """Action axis that is one of two values for a whole block, by name; `none` for no such axis;
    `auto` for the one named gripper if the data closes and opens it and does nothing between."""


@dataclass(frozen=True, kw_only=True)
class ActorRunConfig:
    """Everything that makes a run what it is, apart from dataset and trainer."""

    checkpoint: Path
    """A run or checkpoint whose model is taken whole; it is not altered."""
    actor: ActorConfig = field(default_factory=ActorConfig)
    """What is trained."""
    hindsight: HindsightConfig = field(default_factory=HindsightConfig)
    """What on."""
    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(lr=1e-3))
    """How fast."""
    seed: int = 0
    """Of initial weights, split, order and goals."""
    threads: int | None = None
    """Processor threads; None for one per core."""
    save_every_s: float = SAVE_EVERY_S
    """Time between two saves [s]: what a kill costs."""


class ActorModule(RunModule):
    """Likelihood of what was done, under a head of a model that stays as it is."""

    model: WorldModel

    def __init__(
        self,
        model: WorldModel,
        base: Checkpoint,
        config: ActorRunConfig,
        *,
        timer: Timer,
        labels: Sequence[str] = (),
    ) -> None:
        """Train the actor of a model and nothing else of it.

        Args:
            model: the model of `base` with an actor.
            base: where all but the actor comes from.
            config: the run.
            timer: the run's clock.
            labels: what its data adds to the model's `labels_used`.
        """
        super().__init__(config.optimiser, timer=timer, seed=config.seed)
        self._base, self._head = base, config.actor.head
        self._labels = list(dict.fromkeys([*base.card.get("labels_used", []), *labels]))
        self.model = model.requires_grad_(False)
        self.actor.requires_grad_(True)
        settings = {
            "actor": asdict(config.actor),
            "hindsight": asdict(config.hindsight),
            "optimiser": asdict(config.optimiser),
            "seed": config.seed,
        }
        self.save_hyperparameters(settings)

    @property
    def actor(self) -> Actor:
        """The head."""
        head = self.model.heads[self._head]
        assert isinstance(head, Actor)
        return head

    def training_step(self, batch: HindsightClip, batch_idx: int) -> Tensor:
        """Negative log-likelihood of a batch, for each number of a block."""
        loss = -self._log_prob(batch).mean()
        self.losses = {"loss": loss.detach()}
        return loss

    def validation_step(self, batch: HindsightClip, batch_idx: int) -> None:
        """Log it of held-out episodes, and how far the dominant mode is from what was done."""
        done = batch.actions[:, 0]
        dominant = self.actor.act(batch.latents[:, 0], batch.latents[:, 1], batch.time)
        self.log_dict(
            {
                "validation/nll": -self._log_prob(batch).mean(),
                "validation/action_error": (dominant - done).square().mean().sqrt(),
            },
            on_step=False,
            on_epoch=True,
            batch_size=len(done),
        )

    def latents(self, clip: Clip) -> Tensor | None:
        """None: nothing that is trained here could collapse."""
        return None

    def card(self, card: dict[str, Any]) -> dict[str, Any]:
        """That of the model it was trained on, and what trained its actor."""
        told = {
            name: card[name]
            for name in (
                "dataset", "seed", "split", "steps", "finished", "minutes", "hardware",
                "precision", "versions", "training",
            )
        }  # fmt: skip
        head = {**told, "metrics": card["metrics"], "trained_on": self._base.sha256}
        old = {k: v for k, v in self._base.card.items() if k not in {"goalsight", "commit"}}
        heads = {**old.get("heads", {}), self._head: head}
        return {**old, "labels_used": self._labels, "heads": heads}

    def _log_prob(self, batch: HindsightClip) -> Tensor:
        """(B,) mean over the numbers of a block."""
        done = batch.actions[:, 0]
        here, there = batch.latents.unbind(dim=1)
        return self.actor.log_prob(here, there, batch.time, done) / done[0].numel()


def train_actor(
    dataset: Dataset,
    out: Path,
    config: ActorRunConfig,
    *,
    trainer: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> TrainSummary:
    """Train an actor, or go on with a run that ended early, as `goalsight.training.run.train` does.

    Args:
        dataset: to train on: any of the same robot and camera.
        out: folder of the run; its checkpoint is the whole model with the actor.
        config: the run.
        trainer: arguments of Lightning's `Trainer`.
        settings: plain values that a run must share with the one it goes on with; None skips
            that test.
        defaults: what a run has of a setting that did not exist when it began.

    Raises:
        CheckpointError: if there is no such checkpoint.
        DatasetError: if the dataset is damaged, too short, or has other actions than the model.
        OutputError: if `out` holds something else.
        UserError: if the loss becomes NaN or a setting is refused.
    """
    base = load_checkpoint(find_checkpoint(config.checkpoint))
    if dataset.action_dim != base.config.action_dim:
        raise DatasetError(
            f"{dataset.path} has actions of {dataset.action_dim} numbers, the model of "
            f"{config.checkpoint} takes {base.config.action_dim}; give data of its robot"
        )
    with threads(config.threads):
        return execute(
            dataset,
            out,
            lambda timer: prepare_actor(dataset, base, config, timer),
            trainer=trainer,
            settings=settings,
            defaults=defaults,
            save_every_s=config.save_every_s,
        )


def prepare_actor(
    dataset: Dataset, base: Checkpoint, config: ActorRunConfig, timer: Timer
) -> tuple[HindsightData, ActorModule]:
    """Data and module of a run, before its first step; arguments and errors of `train_actor`.

    Args:
        dataset: to train on.
        base: the model that gets an actor.
        config: the run.
        timer: the run's clock.
    """
    data = HindsightData(dataset, config.hindsight, base.model, seed=config.seed)
    episodes = data.training_episodes.tolist()
    options = head_options(config.actor, config.hindsight.furthest, dataset, episodes)
    model = _with_actor(base, config.actor.head, options, config.seed)
    labels = demonstrations(dataset)
    module = ActorModule(model, base, config, timer=timer, labels=labels)
    std, mean = torch.std_mean(data.pairs.latents, dim=0)
    module.actor.remember_spread(mean, std)
    return data, module


def _with_actor(base: Checkpoint, head: str, options: Mapping[str, Any], seed: int) -> WorldModel:
    """The model of a checkpoint with an untrained actor, which replaces one that is there."""
    heads = {**base.config.heads, head: dict(options)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = WorldModel(replace(base.config, heads=heads))
        except ValueError as error:
            raise UserError(str(error)) from error
    ours = f"heads.{head}."
    kept = {k: v for k, v in base.model.state_dict().items() if not k.startswith(ours)}
    new = {k: v for k, v in model.state_dict().items() if k.startswith(ours)}
    model.load_state_dict({**kept, **new})
    return model


def head_options(
    config: ActorConfig, furthest: int, dataset: Dataset, episodes: list[int]
) -> dict[str, Any]:
    """What an actor's head is built from, and built again.

    Args:
        config: what it is made of.
        furthest: control steps to the furthest goal that it sees in training.
        dataset: that it is trained on.
        episodes: of it, indices.

    Raises:
        UserError: if the dataset has no such gripper.
    """
    made_of = asdict(config)
    wanted = made_of.pop("gripper")
    made_of.pop("head")
    axis, values = find_gripper(dataset, episodes, wanted)
    return {**made_of, "furthest": furthest, "gripper": axis, "values": list(values)}
