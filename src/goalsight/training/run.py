"""One training run of a world model, from a dataset to a checkpoint.

`train` is the front door, which the command line is parsing around; `train_model` the same for a
config that is made already. The loss is in `goalsight.training.objective`, batches come from
`goalsight.training.data`, and the loop is `goalsight.training.trainer`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.strategies import FSDPStrategy
from torch import Tensor

from goalsight.checkpoint import (
    CONFIG,
    IN_A_RUN,
    KINDS,
    WEIGHTS,
    Checkpoint,
    find_checkpoint,
    load_checkpoint,
    load_video_encoder,
)
from goalsight.clip import Clip
from goalsight.data import Dataset, open_dataset
from goalsight.errors import CheckpointError, DatasetError, UserError
from goalsight.io import read_yaml
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.models.pretrained import fetch_encoder
from goalsight.progress import progress_bar
from goalsight.training.actor import ActorConfig, demonstrations, head_options
from goalsight.training.data import WindowData, WindowsConfig
from goalsight.training.module import OptimiserConfig, RunModule
from goalsight.training.objective import (
    ObjectiveConfig,
    encoder_learns,
    likely_cause,
    make_targets,
    world_model_losses,
)
from goalsight.training.settings import (
    combine,
    limits,
    on_device,
    plain,
    read_preset,
    shared,
    trainer_defaults,
)
from goalsight.training.trainer import (
    SAVE_EVERY_S,
    TrainSummary,
    execute,
    threads,
)

__all__ = ["TrainConfig", "TrainSummary", "train", "train_model"]

LOG = logging.getLogger(__name__)
LEAST_STD = 1e-6
"""Numbers of proprio that spread less than this [SI units] are constants."""
FROM_DATASET = {"image_size": "size", "action_dim": "action_dim"}
"""Fields of the model that the dataset fills in where they are not given, and its names of them."""


def train(
    data: str | Path | Dataset,
    out: str | Path,
    preset: str | Path | None = "tiny",
    *,
    max_minutes: float | None = None,
    max_steps: int | None = None,
    init_from: str | os.PathLike[str] | None = None,
    encoder_from: str | os.PathLike[str] | None = None,
    new_heads: bool = False,
    proprio: bool = False,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    progress: bool = True,
    compile: bool = False,  # noqa: A002  (PyTorch's name)
    download: bool = False,
    **overrides: Any,  # noqa: ANN401  (settings of any type)
) -> TrainSummary:
    """Train a world model, go on with a run that ended, or train a model further.

    A run that ended early goes on exactly where it was saved; one that finished goes on if it is
    given more steps or minutes. With `optimiser={"schedule": "constant"}` it is then the run that
    had them from the start; the default schedule follows the new limit, so that its learning rate,
    which was 0 at the end, is raised again.

    With `init_from` the whole model is taken: what it is made of, its weights, and what its inputs
    mean. Proprio is standardised, and the card's statistics of actions and proprio stay, as in the
    data that the model was first trained on, so that an action and a state mean the same as before;
    the variance of the latents is measured anew. Heads come along as they are, an actor is trained
    on with `objective.behaviour`; where the encoder learns they are no longer of its latents, so
    train them again, or leave them with `new_heads`.

    Args:
        data: dataset, or its folder.
        out: folder of the run; its model is OUT/checkpoint.
        preset: name of a file in `configs/train`, or a YAML file of settings; None for none.
        max_minutes: training time that ends the run; whichever limit comes first counts.
        max_steps: optimiser steps that end it, -1 for no limit; the preset's if not given.
        init_from: checkpoint to train further: a folder of one or of a run, a shipped name, or what
            `train` returned.
        encoder_from: run or checkpoint, also of `goalsight pretrain`, whose encoder alone is taken.
        new_heads: whether the heads of `init_from` stay behind.
        proprio: whether the model sees and predicts the dataset's proprio.
        seed: of initial weights, split, order of the batches and random directions.
        device: auto, cpu, cuda, cuda:1, mps.
        threads: processor threads; one per core if not given.
        progress: whether there is a bar.
        compile: whether encoder and predictor are compiled, which takes a minute first.
        download: whether the weights of an encoder that is named by its source may be fetched.
        **overrides: settings on top of the preset, by section (`objective={"sigreg": 0.2}`), or by
            their dotted names (`**{"objective.sigreg": 0.2}`). Sections are `model`, `objective`,
            `optimiser`, `windows` and `trainer`, the last Lightning's.

    Returns:
        What was done; printed, it says it in two lines, and `Agent.load` takes it.

    Raises:
        CheckpointError: if there is no such checkpoint.
        DatasetError: if the dataset is damaged, too short, or of another robot than the model.
        OutputError: if `out` holds something else, or a finished run that is given no more.
        UserError: if a setting is unknown or does not fit, or the loss becomes NaN.
    """
    dataset = data if isinstance(data, Dataset) else open_dataset(Path(data))
    defaults = default_settings()
    chosen = read_preset(preset)
    if "actor" in chosen:
        raise UserError(
            f"preset {preset} trains a head of a finished model; use goalsight.train_head, or "
            f"goalsight train --config {preset} --checkpoint RUN"
        )
    run = {"seed": seed, "device": device, "proprio": proprio, "new_heads": new_heads}
    run |= {"init_from": init_from and os.fspath(init_from)}
    run |= {"encoder_from": encoder_from and os.fspath(encoder_from)}
    run = {name: plain(value) for name, value in run.items() if value != defaults[name]}
    limited = {"trainer": limits(max_minutes, max_steps)}
    settings = combine(defaults, chosen, overrides, run, limited)
    trainer = settings["trainer"] | ({} if progress else {"enable_progress_bar": False})
    config = run_config(settings, dataset)
    return train_model(
        dataset,
        Path(out),
        replace(config, threads=threads, compile=compile, download=download),
        trainer=on_device(trainer, str(settings["device"])),
        settings=shared(settings),
        defaults=shared(defaults),
    )


def default_settings() -> dict[str, Any]:
    """Every setting of a run with its default, nested as in `settings.yaml`."""
    model = asdict(WorldModelConfig()) | dict.fromkeys(FROM_DATASET)
    return {
        "seed": 0,
        "device": "auto",
        "init_from": None,
        "new_heads": False,
        "encoder_from": None,
        "proprio": False,
        "model": model,
        "objective": asdict(ObjectiveConfig()),
        "optimiser": asdict(OptimiserConfig()),
        "windows": asdict(WindowsConfig()),
        "trainer": trainer_defaults(),
    }


def run_config(settings: Mapping[str, Any], dataset: Dataset) -> TrainConfig:
    """What settings say about a run, completed by the dataset or by the model it starts from.

    Args:
        settings: as `default_settings` has them.
        dataset: to train on.

    Raises:
        CheckpointError: if there is no checkpoint to start from.
        UserError: if they do not fit together.
    """
    source = settings["init_from"]
    try:
        return TrainConfig(
            model=_model_config(settings, dataset),
            objective=ObjectiveConfig(**settings["objective"]),
            optimiser=OptimiserConfig(**settings["optimiser"]),
            windows=WindowsConfig(**settings["windows"]),
            seed=int(settings["seed"]),
            init_from=None if source is None else str(source),
            encoder_from=settings["encoder_from"] and Path(settings["encoder_from"]),
        )
    except (ValueError, TypeError) as error:
        raise UserError(str(error)) from error


def _model_config(settings: Mapping[str, Any], dataset: Dataset) -> WorldModelConfig:
    """The model that is to be trained."""
    given = {name: x for name, x in settings["model"].items() if x is not None}
    if settings["init_from"] is not None:
        return _of_checkpoint(settings, given)
    if settings["proprio"]:
        given["proprio_dim"] = dataset.proprio_dim
    return WorldModelConfig(
        **{name: getattr(dataset, attribute) for name, attribute in FROM_DATASET.items()} | given
    )


def _of_checkpoint(settings: Mapping[str, Any], given: Mapping[str, Any]) -> WorldModelConfig:
    """The model that is trained further; what is said of it besides must be true."""
    if settings["encoder_from"] is not None:
        raise UserError("--init-from brings its encoder; leave --encoder-from out")
    source = settings["init_from"]
    theirs = load_checkpoint(find_checkpoint(source)).config
    default = default_settings()["model"]
    for name, value in given.items():
        if name != "freeze_encoder" and value not in (default[name], getattr(theirs, name)):
            raise UserError(
                f"the model of --init-from {source} has model.{name} {getattr(theirs, name)!r}, "
                f"not {value!r}; leave it out"
            )
    if settings["proprio"] and not theirs.proprio_dim:
        raise UserError(f"the model of --init-from {source} sees no proprio; leave --proprio out")
    return replace(
        theirs,
        heads={} if settings["new_heads"] else theirs.heads,
        freeze_encoder=theirs.freeze_encoder or given["freeze_encoder"],
    )


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
    init_from: str | None = None
    """A checkpoint whose whole model is trained further; `model` is then its config."""
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


def train_model(
    dataset: Dataset,
    out: Path,
    config: TrainConfig,
    *,
    trainer: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> TrainSummary:
    """Train the model of a config; `train` says what a run is.

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
    data = _windows(dataset, config)
    module = _module(config, data, timer)
    if not encoder_learns(module.model):
        if config.objective.behaviour > 0:
            raise UserError(
                "--objective.behaviour is there to train the encoder, and nothing of this one is "
                "trained; train an actor on the finished model instead (--config actor)"
            )
        data.remember_latents(module.model)
    return data, module


def _windows(dataset: Dataset, config: TrainConfig) -> WindowData:
    """Windows of the dataset; a bar shows if videos must be decoded first."""
    wanted = config.model.action_dim, config.model.proprio_dim or dataset.proprio_dim
    if config.init_from is not None and (dataset.action_dim, dataset.proprio_dim) != wanted:
        raise DatasetError(
            f"{dataset.path} has actions of {dataset.action_dim} and proprio of "
            f"{dataset.proprio_dim} numbers, the model of --init-from {config.init_from} takes "
            f"{wanted[0]} and {config.model.proprio_dim or 'no'}; give data of its robot"
        )
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
    base = None if config.init_from is None else load_checkpoint(find_checkpoint(config.init_from))
    if base is None:
        source = find_encoder(config.model, config.encoder_from, download=config.download)
    else:
        source = EncoderSource(config.model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        try:
            model = WorldModel(_with_heads(source.config, config, data))
        except ValueError as error:
            raise UserError(str(error)) from error
        if base is None:
            fill_encoder(model, source)
            fill_proprio(model, data.proprio_statistics)
        else:
            fill_model(model, base)
        module = TrainingModule(
            model,
            config.objective,
            config.optimiser,
            timer=timer,
            seed=config.seed,
            base=base,
            labels=demonstrations(data.dataset) if config.objective.behaviour > 0 else (),
        )
    if config.compile:
        model.encoder.compile()
        model.predictor.compile()
    module.hparams["encoder"] = source.origin
    if base is not None:
        module.hparams["init_from"] = _origin(find_checkpoint(str(config.init_from)), base.card)
    return module


def _with_heads(model: WorldModelConfig, config: TrainConfig, data: WindowData) -> WorldModelConfig:
    """The model's config with the actor that the objective trains, if it does."""
    if not config.objective.behaviour or "actor" in model.heads:
        return model
    options = head_options(
        ActorConfig(), config.windows.furthest, data.dataset, data.training_episodes.tolist()
    )
    return replace(model, heads={**model.heads, "actor": options})


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
        base: Checkpoint | None = None,
        labels: Sequence[str] = (),
    ) -> None:
        """Wrap a model.

        Args:
            model: to train.
            objective: weights of the losses.
            optimiser: learning rate and its schedule.
            timer: the run's clock, a callback of the same trainer; its duration is the time limit.
            seed: of SIGReg's directions.
            base: the model that is trained further, for the card.
            labels: what it learns from besides pictures, actions and proprio.
        """
        super().__init__(optimiser, timer=timer, seed=seed)
        self.model, self.objective, self._labels = model, objective, list(labels)
        self._base = base
        # Of the run, not of the model: resumed with it, never in its checkpoint.
        self.targets = make_targets(model, objective)
        if model.inverse is not None and not self._recovers_actions():
            # Processes that train together must agree on which parameters get gradients.
            model.inverse.requires_grad_(False)
        for name, head in model.heads.items():
            head.requires_grad_(name == "actor" and objective.behaviour > 0)
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
            self.targets.follow(self.model.encoder)

    def _recovers_actions(self) -> bool:
        return self.objective.inverse_encoded > 0 or self.objective.inverse_predicted > 0

    def latents(self, clip: Clip) -> Tensor | None:
        """Encoded as an agent would, (B, T, P, D); None if the encoder cannot collapse."""
        return self.model.encode(clip.frames) if encoder_learns(self.model) else None

    def card(self, card: dict[str, Any]) -> dict[str, Any]:
        """The run's card: what the model was taught with, in this run and before."""
        old = {} if self._base is None else self._base.card
        labels = [*old.get("labels_used", []), *card["labels_used"], *self._labels]
        kept = {name: old[name] for name in ("agent",) if name in old}
        if heads := {k: v for k, v in old.get("heads", {}).items() if k in self.model.heads}:
            kept["heads"] = heads
        same = {
            name: old["statistics"][name]
            for name in ("action", "proprio")
            if name in old.get("statistics", {})
        }
        statistics = {**card["statistics"], **same}
        taught = {"labels_used": list(dict.fromkeys(labels)), "statistics": statistics}
        return {**card, **kept, **taught}

    def collapse_cause(self) -> str:
        """What to look at first, by objective."""
        return likely_cause(self.objective)


@dataclass(frozen=True)
class EncoderSource:
    """An encoder that was trained before this run."""

    config: WorldModelConfig
    """The run's model with this encoder in it."""
    weights: dict[str, Tensor] | None = None
    """State of the encoder; None for an untrained one."""
    origin: dict[str, Any] | None = None
    """Where it comes from, for the card, JSON values."""


def find_encoder(
    config: WorldModelConfig, run: Path | None = None, *, download: bool = False
) -> EncoderSource:
    """The encoder that a run starts with.

    Args:
        config: the run's model.
        run: a run of `goalsight pretrain` or `goalsight train`, or a checkpoint's folder, whose
            encoder is taken; None for what the config names.
        download: whether weights that the config names may be downloaded.

    Raises:
        CheckpointError: if there is no checkpoint in `run`.
        UserError: if the config names another encoder than the run has, or weights are not here.
    """
    if run is not None:
        return _from_run(config, run)
    completed, weights = config, None
    if ":" in config.encoder:  # timm:NAME, hf:NAME
        completed, weights = fetch_encoder(config, download=download)
    if weights is not None:
        return EncoderSource(completed, weights, {"name": config.encoder})
    if config.freeze_encoder and config.encoder != "pixels":
        LOG.warning(
            "goalsight: encoder %s is frozen and was never trained; give --encoder-from a run, "
            "unless a random encoder is what you want",
            config.encoder,
        )
    return EncoderSource(completed)


def fill_encoder(model: WorldModel, source: EncoderSource) -> None:
    """Put the weights in.

    Raises:
        UserError: if they are of another shape: the run was of another size.
    """
    if source.weights is None:
        return
    try:
        model.encoder.load_state_dict(source.weights)
    except RuntimeError:
        origin = source.origin or {}
        raise UserError(
            f"the encoder of {origin.get('name')} is of another size (model.size "
            f"{origin.get('size')}, pictures of {origin.get('image_size')}) than this run's model "
            f"({model.config.size}, {model.config.image_size}); give the same --model.size and "
            "--model.image-size"
        ) from None


def fill_model(model: WorldModel, base: Checkpoint) -> None:
    """Put in all the weights of a model that is trained further, but for heads it has no more.

    Raises:
        UserError: if they are those of another model.
    """
    wanted = model.state_dict()
    state = {name: x for name, x in base.model.state_dict().items() if name in wanted}
    fresh = {name for name in wanted.keys() - state.keys() if not name.startswith("heads.")}
    if fresh or any(x.shape != wanted[name].shape for name, x in state.items()):
        raise UserError(
            "the model to start from is made of something else than this run's; take its config"
        )
    model.load_state_dict({**wanted, **state})


def fill_proprio(model: WorldModel, statistics: dict[str, list[float]]) -> None:
    """Let a model that sees proprio standardise it as the training split says.

    Args:
        model: to fill in; nothing happens to one that sees none.
        statistics: `mean` and `std` of each number [SI units]; what never moves keeps its scale.
    """
    if not model.config.proprio_dim:
        return
    std = torch.tensor(statistics["std"])
    model.proprio_mean.copy_(torch.tensor(statistics["mean"]))
    model.proprio_std.copy_(torch.where(std > LEAST_STD, std, torch.ones(())))


def _from_run(config: WorldModelConfig, run: Path) -> EncoderSource:
    folder = find_checkpoint(run)
    if _kind(folder) == "video_encoder":
        video, card = load_video_encoder(folder)
        encoder, options, standardise = "vjepa", plain(asdict(video.config)), False
        weights = {f"video.{name}": tensor for name, tensor in video.state_dict().items()}
        known: dict[str, Any] = {"size": video.config.size, "image_size": video.config.image_size}
    else:
        loaded = load_checkpoint(folder)
        card, theirs = loaded.card, loaded.config
        encoder, options = theirs.encoder, dict(theirs.encoder_options)
        standardise = theirs.standardise
        weights = loaded.model.encoder.state_dict()
        known = {"size": theirs.size, "image_size": theirs.image_size}
    if config.encoder not in {encoder, WorldModelConfig().encoder}:
        raise UserError(
            f"--encoder-from {run} holds an encoder of kind {encoder}, not {config.encoder}; leave "
            "--model.encoder out"
        )
    if config.standardise and not standardise:
        raise UserError(
            f"--encoder-from {run} holds an encoder that sees pictures as they are; leave "
            "--model.standardise out"
        )
    origin = _origin(folder, card) | known
    seen = replace(config, encoder=encoder, encoder_options=options, standardise=standardise)
    return EncoderSource(seen, weights, origin)


def _origin(folder: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """Where weights come from, for the card."""
    return {
        # The name of the run, not the path: a path says nothing on another machine.
        "name": folder.resolve().parent.name if folder.name == IN_A_RUN else folder.name,
        "sha256": card["sha256"][WEIGHTS],
        "dataset": card.get("dataset", {}).get("fingerprint"),
        "minutes": card.get("minutes"),
    }


def _kind(folder: Path) -> str:
    """What a checkpoint says that it holds."""
    kind = str(read_yaml(folder / CONFIG, error=CheckpointError).get("kind"))
    if kind not in KINDS:
        raise CheckpointError(f"{folder / CONFIG}: unknown kind {kind!r}")
    return kind
