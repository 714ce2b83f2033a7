"""Pretraining a video encoder on the videos of a dataset; actions are not looked at."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.callbacks import Timer
from torch import Tensor
from torch.nn import functional as F

from goalsight.clip import Clip
from goalsight.data import Dataset
from goalsight.errors import UserError
from goalsight.masking import FAMILIES
from goalsight.models.mask_predictor import MaskPredictor, MaskPredictorConfig
from goalsight.models.video_encoder import VideoEncoder, VideoEncoderConfig
from goalsight.progress import progress_bar
from goalsight.training.data import WindowData, WindowsConfig
from goalsight.training.devices import threads
from goalsight.training.loop import TrainSummary, execute
from goalsight.training.masked import MaskedObjectiveConfig, follow, masked_losses
from goalsight.training.running import RunModule
from goalsight.training.saving import SAVE_EVERY_S
from goalsight.training.schedule import OptimiserConfig


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Everything that makes a run what it is, apart from dataset and trainer."""

    encoder: VideoEncoderConfig = field(default_factory=VideoEncoderConfig)
    """What is trained."""
    predictor: MaskPredictorConfig = field(default_factory=MaskPredictorConfig)
    """What it is trained with."""
    objective: MaskedObjectiveConfig = field(default_factory=MaskedObjectiveConfig)
    """What for."""
    optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(lr=1e-3, weight_decay=0.04)
    )
    """How fast."""
    windows: WindowsConfig = field(default_factory=lambda: WindowsConfig(frames=8, batch=64))
    """How the dataset is cut; `frames` must be a multiple of the tubelet."""
    stride: int = 2
    """Control steps between two frames."""
    seed: int = 0
    """Of initial weights, split, order of the batches and masks."""
    threads: int | None = None
    """Processor threads; None for one per core."""
    save_every_s: float = SAVE_EVERY_S
    """Time between two saves [s]: what a kill costs."""

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise ValueError(f"stride must be at least 1, got {self.stride}")
        self.encoder.grid(self.windows.frames)
        self.objective.after(self.encoder.depth)


class PretrainModule(RunModule):
    """Encoder, predictor and target encoder of one run; its checkpoint is the target encoder."""

    model: VideoEncoder

    def __init__(self, config: PretrainConfig, *, timer: Timer) -> None:
        """Make untrained networks; their weights come from PyTorch's global random stream.

        Args:
            config: of the run.
            timer: the run's clock, a callback of the same trainer.

        Raises:
            ValueError: if a network cannot be built.
        """
        super().__init__(config.optimiser, timer=timer, seed=config.seed)
        self.objective = config.objective
        self.encoder = VideoEncoder(config.encoder)
        self.predictor = MaskPredictor(
            config.encoder,
            config.predictor,
            families=len(FAMILIES),
            levels=config.objective.levels,
        )
        self.model = copy.deepcopy(self.encoder).requires_grad_(False)
        self.save_hyperparameters(
            {
                "model": asdict(config.encoder),
                "predictor": asdict(self.predictor.config),
                "objective": asdict(config.objective),
                "optimiser": asdict(config.optimiser),
                "stride": config.stride,
                "frames": config.windows.frames,
                "seed": config.seed,
            }
        )

    def training_step(self, batch: Clip, batch_idx: int) -> Tensor:
        """The loss of a batch."""
        losses = self._losses(batch, self.global_step)
        self.losses = {name: value.detach() for name, value in losses.items()}
        return losses["loss"]

    def validation_step(self, batch: Clip, batch_idx: int) -> None:
        """Log the losses of held-out episodes."""
        self.log_dict(
            {f"validation/{name}": value for name, value in self._losses(batch, -1).items()},
            on_step=False,
            on_epoch=True,
            sync_dist=True,
            batch_size=len(batch.frames),
        )

    def optimizer_step(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        """Lightning's step, and the target encoder's after it."""
        super().optimizer_step(*arguments, **options)
        follow(self.model, self.encoder, self.objective.momentum)

    def latents(self, clip: Clip) -> Tensor:
        """Tokens (B, P, D) of whole clips as a world model would see them, layer-normed."""
        tokens: Tensor = self.model(clip.frames).float()
        return F.layer_norm(tokens, tokens.shape[-1:])

    def collapse_cause(self) -> str:
        """What to look at first."""
        return (
            "the encoder ran into its target encoder; try an --objective.momentum nearer to 1 or "
            "a smaller --optimiser.lr"
        )

    def _losses(self, batch: Clip, step: int) -> dict[str, Tensor]:
        """Loss terms with the masks of an optimiser step; -1 is validation."""
        masks = torch.Generator().manual_seed(self._stream(step))
        return masked_losses(
            self.encoder,
            self.model,
            self.predictor,
            batch.frames,
            self.objective,
            generator=masks,
            step=max(step, 0),
        )


def pretrain(
    dataset: Dataset,
    out: Path,
    config: PretrainConfig,
    *,
    trainer: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> TrainSummary:
    """Pretrain a video encoder, or go on with a run that ended early.

    V-JEPA 2's first stage (Assran et al. 2025, arXiv:2506.09985). The checkpoint holds the target
    encoder, as the published ones do.

    Args:
        dataset: whose videos are trained on.
        out: folder of the run.
        config: the run.
        trainer: arguments of Lightning's `Trainer` on top of `TRAINER_DEFAULTS`.
        settings: plain values that a run must share with the one it goes on with; None skips
            that test.
        defaults: what a run has of a setting that did not exist when it began.

    Raises:
        DatasetError: if the dataset is damaged or too short.
        OutputError: if `out` holds something else.
        UserError: if the loss becomes NaN or a setting is refused.
    """

    def prepare(timer: Timer) -> tuple[WindowData, PretrainModule]:
        return _read(dataset, config), _module(config, timer)

    with threads(config.threads):
        return execute(
            dataset,
            out,
            prepare,
            trainer=trainer,
            settings=settings,
            defaults=defaults,
            save_every_s=config.save_every_s,
        )


def _read(dataset: Dataset, config: PretrainConfig) -> WindowData:
    """Windows of the dataset; a bar shows if videos must be decoded first."""
    with progress_bar("Decoding") as report:
        return WindowData(
            dataset,
            config.windows,
            frameskip=config.stride,
            image_size=config.encoder.image_size,
            seed=config.seed,
            progress=report,
        )


def _module(config: PretrainConfig, timer: Timer) -> PretrainModule:
    """Networks with weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        try:
            return PretrainModule(config, timer=timer)
        except ValueError as error:
            raise UserError(str(error)) from error
