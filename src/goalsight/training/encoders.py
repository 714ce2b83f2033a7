"""Where a run's encoder comes from: another run, somebody else's weights, or nothing."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from goalsight.checkpoint import (
    CONFIG,
    IN_A_RUN,
    KINDS,
    WEIGHTS,
    find_checkpoint,
    load_checkpoint,
    load_video_encoder,
)
from goalsight.errors import CheckpointError, UserError
from goalsight.io import read_yaml
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.models.fetch import fetch_encoder

LEAST_STD = 1e-6
"""Numbers of proprio that spread less than this [SI units] are constants."""
LOG = logging.getLogger(__name__)


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
        encoder, options, standardise = "vjepa", _plain(asdict(video.config)), False
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
    origin = {
        # The name of the run, not the path: a path says nothing on another machine.
        "name": folder.resolve().parent.name if folder.name == IN_A_RUN else folder.name,
        "sha256": card["sha256"][WEIGHTS],
        "dataset": card.get("dataset", {}).get("fingerprint"),
        "minutes": card.get("minutes"),
        **known,
    }
    seen = replace(config, encoder=encoder, encoder_options=options, standardise=standardise)
    return EncoderSource(seen, weights, origin)


def _kind(folder: Path) -> str:
    """What a checkpoint says that it holds."""
    kind = str(read_yaml(folder / CONFIG, error=CheckpointError).get("kind"))
    if kind not in KINDS:
        raise CheckpointError(f"{folder / CONFIG}: unknown kind {kind!r}")
    return kind


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Values as YAML gives them back: lists where there were tuples."""
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}
