"""Training an actor on the latents of a finished model: the model stays, one head is new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning.callbacks import Timer
from torch import Tensor
from torch.utils.data import DataLoader

from goalsight.checkpoint import Checkpoint, find_checkpoint, load_checkpoint
from goalsight.clip import Clip
from goalsight.data import Dataset, Windows
from goalsight.data import format as layout
from goalsight.errors import DatasetError, UserError
from goalsight.models import WorldModel
from goalsight.models.heads.actor import Actor, Tokens
from goalsight.progress import progress_bar
from goalsight.provenance import DEMONSTRATIONS
from goalsight.training.data import (
    MEMORY_LIMIT,
    WindowData,
    WindowLoader,
    WindowsConfig,
    encode_all,
    whole_batch,
)
from goalsight.training.module import OptimiserConfig, RunModule
from goalsight.training.settings import (
    combine,
    limits,
    on_device,
    read_preset,
    shared,
    trainer_defaults,
)
from goalsight.training.trainer import SAVE_EVERY_S, TrainSummary, execute, threads

GRIPPER = "gripper"
"""Name of the action axis that opens and closes."""


ANYWHERE = (-1.0, 1.0)


DEMONSTRATORS = frozenset({"expert", "noisy-expert", "recover", "retry", "hold-goal", "correct"})
"""Policies that see the simulator's state and know how a goal is reached."""


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
class HindsightConfig:
    """Which goals a frame is paired with."""

    furthest: int = 110
    """Control steps to the furthest goal; the end of the episode where that is nearer."""
    stay: float = 0.12
    """Share of the pairs whose goal is the present: nothing is to move, whatever time is left."""
    batch: int = 256
    """Pairs in a batch."""
    validation: float = 0.05
    """Share of the episodes held out."""

    def __post_init__(self) -> None:
        if self.furthest < 2 or self.batch < 2:
            raise ValueError(
                f"furthest and batch must be at least 2, got {self.furthest} and {self.batch}"
            )
        for name in ("stay", "validation"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")


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


def actor_run(
    checkpoint: str | Path,
    dataset: Dataset,
    out: Path,
    head: Head,
    *,
    threads: int | None = None,
    max_minutes: float | None = None,
    max_steps: int | None = None,
    **given: Any,  # noqa: ANN401  (settings of any type)
) -> TrainSummary:
    """Train an actor from settings: those of its preset, which has the head's name, and more.

    Args:
        checkpoint: as `find_checkpoint` takes it; its model is taken whole.
        dataset: to train on.
        out: folder of the run.
        head: `actor`, or `gcbc`, the benchmark's baseline.
        threads: processor threads; one per core if not given.
        max_minutes: training time that ends the run.
        max_steps: optimiser steps that end it.
        **given: `seed`, `device`, and the sections `actor`, `hindsight`, `optimiser`, `trainer`.

    Raises:
        UserError: if a setting is unknown or does not fit; and what `train_actor` raises.
    """
    optimiser = asdict(OptimiserConfig(lr=1e-3))
    defaults = {
        "checkpoint": None,
        "seed": 0,
        "device": "auto",
        "actor": asdict(ActorConfig()),
        "hindsight": asdict(HindsightConfig()),
        "optimiser": optimiser,
        "trainer": trainer_defaults(),
    }
    limited = {"trainer": limits(max_minutes, max_steps), "actor": {"head": head}}
    settings = combine(defaults, read_preset(head), given, limited)
    try:
        config = ActorRunConfig(
            checkpoint=Path(checkpoint),
            actor=ActorConfig(**settings["actor"]),
            hindsight=HindsightConfig(**settings["hindsight"]),
            optimiser=OptimiserConfig(**settings["optimiser"]),
            seed=int(settings["seed"]),
            threads=threads,
        )
    except (TypeError, ValueError) as error:
        raise UserError(str(error)) from error
    return train_actor(
        dataset,
        out,
        config,
        trainer=on_device(settings["trainer"], str(settings["device"])),
        settings=shared({**settings, "checkpoint": str(checkpoint)}),
        defaults=shared(defaults),
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
                "dataset",
                "seed",
                "split",
                "steps",
                "finished",
                "minutes",
                "hardware",
                "precision",
                "versions",
                "training",
            )
        }
        head = {**told, "metrics": card["metrics"], "trained_on": self._base.sha256}
        old = {k: v for k, v in self._base.card.items() if k not in {"goalsight", "commit"}}
        heads = {**old.get("heads", {}), self._head: head}
        return {**old, "labels_used": self._labels, "heads": heads}

    def _log_prob(self, batch: HindsightClip) -> Tensor:
        """(B,) mean over the numbers of a block."""
        done = batch.actions[:, 0]
        here, there = batch.latents.unbind(dim=1)
        return self.actor.log_prob(here, there, batch.time, done) / done[0].numel()


@dataclass(frozen=True)
class HindsightClip(Clip):
    """Frame 0 is now, frame 1 the goal, the block is what ran from now; encoded, no pictures."""

    latents: Tensor
    """(B, 2, P, D) float32."""
    time: Tensor
    """(B,) float32 control steps from now to the goal."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> HindsightClip:
        """The same clip on another device."""

        def moved(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=non_blocking)

        return HindsightClip(
            self.frames,
            moved(self.actions),
            moved(self.proprio),
            moved(self.latents),
            moved(self.time),
        )


class HindsightPairs(torch.utils.data.Dataset[Clip]):
    """Every frame that has a block after it, each with a goal drawn anew at every look.

    The draw is a function of seed and of the batch alone: a resumed run draws what it would have.
    """

    def __init__(
        self,
        windows: Windows,
        latents: Tensor,
        config: HindsightConfig,
        *,
        kept: Sequence[int],
        seed: int,
    ) -> None:
        """Pair the frames of some episodes.

        Args:
            windows: of two frames, one block apart.
            latents: (rows, P, D) of all their frames.
            config: which goals.
            kept: action axes that a pair whose goal is the present keeps as they were recorded,
                such as a gripper's; the others are 0 there.
            seed: of the goals.
        """
        self._windows, self._config, self._seed = windows, config, seed
        self.latents = latents
        """(rows, P, D) of all frames."""
        episodes = windows.episodes.tolist()
        columns = windows.dataset.columns([layout.ACTION], episodes)
        self.actions = torch.from_numpy(columns[layout.ACTION])
        """(rows, A) of all control steps."""
        self._last = windows.last_rows
        first = windows.rows([0])[0]
        self._steps = np.arange(int(first[1] - first[0]))
        self._moves = torch.ones(self.actions.shape[1])
        self._moves[list(kept)] = 0.0

    def __len__(self) -> int:
        """Number of frames with a block after them."""
        return len(self._windows)

    def __getitems__(self, indices: Sequence[int]) -> HindsightClip:
        """Pairs as one clip (B, ...).

        Raises:
            IndexError: if there is no such frame.
        """
        now = self._windows.rows(indices)[:, 0]
        goal, time, stays = self._goals(now, np.random.default_rng([self._seed, *indices]))
        blocks = self.actions[now[:, None] + self._steps]
        still = torch.from_numpy(stays)[:, None, None]
        # Held at what it was when the goal was seen, not at what came later in the block.
        blocks = torch.where(still, blocks[:, :1] * (1 - self._moves), blocks)
        return HindsightClip(
            frames=torch.empty(len(now), 2, 3, 0, 0, dtype=torch.uint8),
            actions=blocks[:, None],
            proprio=torch.empty(len(now), 2, 0),
            latents=self.latents[torch.from_numpy(np.stack([now, goal], axis=1))],
            time=torch.from_numpy(time.astype(np.float32)),
        )

    def _goals(
        self, now: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Rows of the goals, control steps to them, and which pairs stay."""
        least = len(self._steps)
        room = np.minimum(self._last[now] - now, self._config.furthest)
        ahead = least + (rng.random(len(now)) * (room - least + 1)).astype(np.int64)
        stays = rng.random(len(now)) < self._config.stay
        anything = rng.integers(least, max(self._config.furthest, least) + 1, len(now))
        return np.where(stays, now, now + ahead), np.where(stays, anything, ahead), stays


class HindsightData(WindowData):
    """Hindsight pairs of a dataset's episodes, some of them held out, encoded once."""

    def __init__(
        self, dataset: Dataset, config: HindsightConfig, model: WorldModel, *, seed: int
    ) -> None:
        """Read and encode the dataset; what is wrong with it shows here.

        Args:
            dataset: where from.
            config: which goals, and how many episodes are held out.
            model: that encodes, in evaluation mode.
            seed: of split, order and goals.

        Raises:
            DatasetError: if it is damaged, too short, or its latents do not fit into memory.
        """
        size = 4 * dataset.total_frames * model.patches * model.latent_dim
        if size > MEMORY_LIMIT:
            raise DatasetError(
                f"latents of {dataset.path} take {size / 2**30:.1f} GiB, the limit is "
                f"{MEMORY_LIMIT / 2**30:.0f}; train the actor on a part of it"
            )
        with progress_bar("Decoding") as report:
            super().__init__(
                dataset,
                WindowsConfig(frames=2, batch=config.batch, validation=config.validation),
                frameskip=model.config.frameskip,
                image_size=model.config.image_size,
                seed=seed,
                progress=report,
            )
        names = dataset.provenance.action_names
        kept = [axis for axis, name in enumerate(names) if name == GRIPPER]

        def pair(windows: Windows) -> HindsightPairs:
            return HindsightPairs(windows, encode_all(windows, model), config, kept=kept, seed=seed)

        self.pairs = pair(self.training)
        """Of the training episodes."""
        self.held_out = None if self.validation is None else pair(self.validation)
        """Of the others; None if none is long enough."""

    def train_dataloader(self) -> WindowLoader:
        """Shuffled batches that go on where a resumed run had stopped."""
        return WindowLoader(self.pairs, self._batches(self.training), 0)

    def val_dataloader(self) -> list[DataLoader[Clip]]:
        """A fixed random order with fixed goals."""
        if self.held_out is None or self.validation is None or len(self.validation) < 2:
            return []
        return [
            DataLoader(
                self.held_out,
                batch_sampler=self._batches(self.validation),
                collate_fn=whole_batch,
                generator=torch.Generator(),
            )
        ]


def demonstrations(dataset: Dataset) -> list[str]:
    """What imitating a dataset uses besides pictures and actions, for `labels_used`.

    Play sees the state, too, but follows no goal: what it did is demonstrated in hindsight alone.
    """
    acted = {record.policy or dataset.provenance.policy for record in dataset.records}
    return [DEMONSTRATIONS] if acted & DEMONSTRATORS else []


def find_gripper(
    dataset: Dataset, episodes: list[int], wanted: str
) -> tuple[int | None, tuple[float, float]]:
    """The axis that is one of two values, and the values.

    Args:
        dataset: to look at.
        episodes: of it, indices.
        wanted: its name, `none`, or `auto`; see `goalsight.training.actor.ActorConfig.gripper`.

    Raises:
        UserError: if there is no axis of that name; lists those that exist.
    """
    names = dataset.provenance.action_names
    if wanted == "none" or (wanted == "auto" and GRIPPER not in names):
        return None, ANYWHERE
    name = GRIPPER if wanted == "auto" else wanted
    if name not in names:
        raise UserError(
            f"--actor.gripper: no action axis {name!r}; there are: {', '.join(names)}, or none"
        )
    axis = names.index(name)
    seen = torch.from_numpy(dataset.columns([layout.ACTION], episodes)[layout.ACTION][:, axis])
    low, high = float(seen.min()), float(seen.max())
    near = 0.1 * (high - low)
    shares = [float((seen - value).abs().le(near).float().mean()) for value in (low, high)]
    if wanted == "auto" and (sum(shares) < 0.95 or min(shares) < 0.01):
        return None, ANYWHERE
    return axis, (low, high) if low < high else ANYWHERE
