"""The weights of encoders that somebody else trained: from this machine, or asked for by name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from goalsight.errors import UserError
from goalsight.models.config import WorldModelConfig
from goalsight.models.pretrained import library, timm_defaults, timm_encoder, transformers_encoder

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
"""What a repository of timm's holds, in the order of preference."""
MACHINE_FIELDS = {"_name_or_path", "architectures", "id2label", "label2id", "transformers_version"}
"""Fields of a transformers config that say nothing about what the model computes."""


def fetch_encoder(
    config: WorldModelConfig, *, download: bool = False
) -> tuple[WorldModelConfig, dict[str, Tensor] | None]:
    """Weights of an encoder that is named by where it comes from.

    `encoder_options.weights` is the file of a timm model's weights; without it they come from
    the hub's cache. `none` in its place leaves them random, for a comparison.

    Args:
        config: names the encoder.
        download: whether what is not on this machine may be downloaded.

    Returns:
        The config, completed so that the encoder can be built again without its source, and the
        encoder's state; None for encoders that come without weights.

    Raises:
        UserError: if a library is missing, there is no such model, or its weights are not here.
    """
    kind, _, name = config.encoder.partition(":")
    try:
        if kind == "timm":
            return _fetch_timm(config, name, download)
        if kind == "hf":
            return _fetch_transformers(config, name, download)
    except ValueError as error:
        raise UserError(f"--model.encoder {config.encoder}: {error}") from None
    return config, None


def _fetch_timm(
    config: WorldModelConfig, name: str, download: bool
) -> tuple[WorldModelConfig, dict[str, Tensor] | None]:
    options = dict(config.encoder_options)
    given = options.pop("weights", None)
    completed = replace(config, encoder_options=options)
    if given == "none":
        return completed, None
    file = _timm_file(name, download) if given is None else Path(given)
    if not file.is_file():
        raise UserError(f"no weights at {file}; give --model.encoder_options.weights a file")
    try:
        encoder = timm_encoder(name, options, str(file))
    except RuntimeError as error:  # PyTorch's answer to tensors of other shapes
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"the weights in {file} do not fit timm:{name}: {reason}") from None
    return completed, encoder.state_dict()


def _timm_file(name: str, download: bool) -> Path:
    """Where timm's weights of a model are, after a download if that was asked for."""
    repository = timm_defaults(name).hf_hub_id
    if not repository:
        raise ValueError("timm has no weights for it; give --model.encoder_options.weights FILE")
    hub = library("huggingface_hub", "timm")
    for file in WEIGHT_FILES:
        cached = hub.try_to_load_from_cache(repository, file)
        if isinstance(cached, str):
            return Path(cached)
    if not download:
        raise UserError(_not_here(f"timm:{name}", repository))
    try:
        return Path(hub.hf_hub_download(repository, WEIGHT_FILES[0]))
    except (OSError, hub.errors.HfHubHTTPError) as error:
        raise UserError(f"{repository} cannot be downloaded: {_first_line(error)}") from None


def _fetch_transformers(
    config: WorldModelConfig, name: str, download: bool
) -> tuple[WorldModelConfig, dict[str, Tensor] | None]:
    options: dict[str, Any] = dict(config.encoder_options)
    transformers = library("transformers", "vjepa2")
    try:
        net = transformers.AutoModel.from_pretrained(name, local_files_only=not download)
    except (OSError, ValueError) as error:
        if not download and not Path(name).is_dir():
            raise UserError(_not_here(f"hf:{name}", name)) from None
        raise UserError(f"hf:{name} cannot be loaded: {_first_line(error)}") from None
    mean, std = _normalisation(name, download)
    options = {"mean": mean, "std": std} | options
    options["config"] = _plain(net.config)
    # The folder stays behind: its name says nothing on another machine.
    encoder = f"hf:{Path(name).name}" if Path(name).is_dir() else config.encoder
    state = transformers_encoder(net.float(), options).state_dict()
    return replace(config, encoder=encoder, encoder_options=options), state


def _normalisation(name: str, download: bool) -> tuple[list[float] | None, list[float] | None]:
    """Mean and std of each colour as the model's preprocessor says; None where it says nothing."""
    mixin = library("transformers.image_processing_base", "vjepa2").ImageProcessingMixin
    try:
        known, _ = mixin.get_image_processor_dict(name, local_files_only=not download)
    except OSError:
        return None, None
    return known.get("image_mean"), known.get("image_std")


def _plain(config: Any) -> dict[str, Any]:  # noqa: ANN401  (a transformers config)
    """A transformers config as JSON values, `model_type` among them."""
    values: dict[str, Any] = json.loads(config.to_json_string(use_diff=True))
    return {key: value for key, value in values.items() if key not in MACHINE_FIELDS}


def _not_here(encoder: str, repository: str) -> str:
    return (
        f"the weights of {encoder} are not on this machine; add --download to fetch "
        f"{repository} from the Hugging Face hub, or name a local folder or file"
    )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
