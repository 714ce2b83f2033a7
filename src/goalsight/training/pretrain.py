"""Pretraining a video encoder on the videos of a dataset, as V-JEPA does, without its actions."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from pytorch_lightning.callbacks import Timer
from torch import Tensor, nn
from torch.nn import functional as F

from goalsight.clip import Clip
from goalsight.data import Dataset
from goalsight.errors import UserError
from goalsight.masking import FAMILIES, Masks, context_weights, sample_masks
from goalsight.models.mask_predictor import MaskPredictor, MaskPredictorConfig
from goalsight.models.video_encoder import VideoEncoder, VideoEncoderConfig, take
from goalsight.progress import progress_bar
from goalsight.ranks import rank_count
from goalsight.training.data import WindowData, WindowsConfig
from goalsight.training.module import OptimiserConfig, RunModule
from goalsight.training.trainer import SAVE_EVERY_S, TrainSummary, execute, threads


@dataclass(frozen=True, kw_only=True)
class MaskedObjectiveConfig:
    """V-JEPA 2 (arXiv:2506.09985); `context` and `levels` add what V-JEPA 2.1 does."""

    momentum: float = 0.99925
    """Share of the target encoder that a step keeps; smaller for short runs."""
    context: float = 0.0
    """Weight of predicting the visible tokens too, those near hidden ones most (V-JEPA 2.1)."""
    context_warmup_steps: int = 500
    """Steps over which that weight grows."""
    levels: int = 1
    """Depths of the encoder that are predicted, evenly spaced, the last included (V-JEPA 2.1)."""

    def __post_init__(self) -> None:
        if not 0 <= self.momentum <= 1:
            raise ValueError(f"momentum must be in [0, 1], got {self.momentum}")
        if self.context < 0 or self.context_warmup_steps < 0 or self.levels < 1:
            raise ValueError(
                "context and context_warmup_steps must not be negative, levels at least 1, got "
                f"{self.context}, {self.context_warmup_steps} and {self.levels}"
            )

    def after(self, depth: int) -> tuple[int, ...]:
        """Numbers of the blocks whose output is predicted.

        Raises:
            ValueError: if the encoder has fewer blocks than levels.

        >>> MaskedObjectiveConfig(levels=4).after(12)
        (3, 6, 9, 12)
        """
        if self.levels > depth:
            raise ValueError(
                f"levels must be at most {depth}, the encoder's depth, got {self.levels}"
            )
        return tuple(depth * number // self.levels for number in range(1, self.levels + 1))

    def context_weight(self, step: int) -> float:
        """The weight of predicting visible tokens at an optimiser step."""
        grown = (step + 1) / self.context_warmup_steps if self.context_warmup_steps else 1.0
        return self.context * min(1.0, grown)


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


def masked_losses(
    encoder: VideoEncoder,
    target_encoder: VideoEncoder,
    predictor: MaskPredictor,
    video: Tensor,
    config: MaskedObjectiveConfig,
    *,
    generator: torch.Generator,
    step: int = 0,
) -> dict[str, Tensor]:
    """Mean absolute error of the predicted latents, over both families of masks.

    Targets are the target encoder's latents of the whole video, without gradient, each level
    normalised by a layer norm without parameters: what cannot shrink cannot collapse by shrinking.

    Args:
        encoder: to train; sees the visible tokens.
        target_encoder: its moving average; sees all tokens.
        predictor: to train.
        video: (B, T, 3, H, W) uint8 RGB.
        config: what is predicted.
        generator: source of the masks, on the CPU, the same in all processes that train together.
        step: optimiser steps done.

    Returns:
        () tensors: `loss`, its part `prediction` on hidden tokens, and `context` on visible ones
        without its weight (0 where it is switched off).
    """
    after, grid = config.after(encoder.config.depth), encoder.config.grid(video.shape[1])
    with torch.no_grad():
        targets = _normalised(target_encoder.levels(video, after), len(after))
    hidden, visible = [], []
    for family, kind in enumerate(FAMILIES):
        drawn = sample_masks(len(video) * rank_count(), grid, kind, generator)
        weights = context_weights(drawn, grid) if config.context else None
        masks = _of_this_rank(drawn).to(video.device)
        seen = encoder.levels(video, after, masks.context)
        again, predicted = predictor(seen, masks.context, masks.target, grid, family)
        hidden.append((predicted.float() - take(targets, masks.target)).abs().mean())
        if weights is not None:
            error = (again.float() - take(targets, masks.context)).abs().mean(dim=-1)
            mine = weights[_rank_rows(len(weights))].to(video.device)
            visible.append((error * mine).mean())
    prediction = torch.stack(hidden).mean()
    context = torch.stack(visible).mean() if visible else torch.zeros_like(prediction)
    loss = prediction + config.context_weight(step) * context if visible else prediction
    return {"loss": loss, "prediction": prediction, "context": context}


@torch.no_grad()
def follow(slow: nn.Module, fast: nn.Module, momentum: float) -> None:
    """Move a moving average one step: slow = momentum * slow + (1 - momentum) * fast.

    Args:
        slow: the target encoder, changed in place.
        fast: the encoder, with the same parameters.
        momentum: share that is kept, in [0, 1].
    """
    torch._foreach_lerp_(list(slow.parameters()), list(fast.parameters()), 1.0 - momentum)


def _normalised(tokens: Tensor, levels: int) -> Tensor:
    """(B, P, levels * D) tokens, every level of every token with mean 0 and spread 1."""
    apart = rearrange(tokens.float(), "b p (level d) -> b p level d", level=levels)
    return F.layer_norm(apart, apart.shape[-1:]).flatten(-2)


def _rank_rows(batch: int) -> slice:
    """The part of a batch of all processes that this one has."""
    ranks = rank_count()
    rank = torch.distributed.get_rank() if ranks > 1 else 0
    return slice(batch // ranks * rank, batch // ranks * (rank + 1))


def _of_this_rank(masks: Masks) -> Masks:
    rows = _rank_rows(len(masks.context))
    return Masks(masks.context[rows], masks.target[rows])
