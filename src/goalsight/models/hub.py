"""V-JEPA 2 encoders that others trained, in the format of transformers: a folder or a hub id.

Only `config.json` and safetensors files are read, so no code comes with the weights and
transformers itself is not needed. Nothing is downloaded unless the caller says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor, nn

from goalsight.errors import CheckpointError, UserError
from goalsight.io import inside, read_json
from goalsight.models.mask_predictor import MaskPredictor, MaskPredictorConfig
from goalsight.models.video_encoder import VideoEncoder, VideoEncoderConfig

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
KIND = "vjepa2"
"""`model_type` of V-JEPA 2 in a config of transformers."""
ENCODER_NAMES = {
    "embeddings.patch_embeddings.proj": "embed",
    "layer": "blocks",
    "mlp.fc1": "fc1",
    "mlp.fc2": "fc2",
    "layernorm": "norm",
}
"""Names in transformers, and ours."""
PREDICTOR_NAMES = {
    "embeddings.predictor_embeddings": "embed",
    "embeddings.mask_tokens": "mask_tokens",
    **ENCODER_NAMES,
}
"""Likewise, of the mask predictor."""


def load_vjepa2(name: str | Path, *, download: bool = False) -> VideoEncoder:
    """A V-JEPA 2 encoder with the weights that somebody published.

    Args:
        name: a folder with `config.json` and `model.safetensors`, or an id on the Hugging Face hub
            such as `facebook/vjepa2-vitl-fpc64-256`.
        download: whether it may be fetched from the hub where it is not on this machine yet.

    Returns:
        The encoder in evaluation mode, float32.

    Raises:
        CheckpointError: if the folder holds something else, or weights that do not fit.
        UserError: if it is not on this machine and may not be, or cannot be, fetched.
    """
    folder = _find(name, download)
    config = _read_config(folder)
    encoder = VideoEncoder(encoder_config(config, folder))
    _fill(encoder, _part(_read_weights(folder), "encoder.", ENCODER_NAMES), folder)
    return encoder.eval()


def load_vjepa2_predictor(name: str | Path, *, download: bool = False) -> MaskPredictor:
    """The mask predictor that was published with an encoder; for going on with its pretraining.

    Args:
        name: as in `load_vjepa2`.
        download: likewise.

    Raises:
        CheckpointError: as in `load_vjepa2`.
        UserError: likewise.
    """
    folder = _find(name, download)
    config = _read_config(folder)
    ratio = float(config.get("pred_mlp_ratio", 4.0))
    if ratio != 4.0:
        raise CheckpointError(f"{folder}: pred_mlp_ratio {ratio} is not 4, which is all we know")
    predictor = MaskPredictor(
        encoder_config(config, folder),
        MaskPredictorConfig(
            width=config.get("pred_hidden_size", 384),
            depth=config.get("pred_num_hidden_layers", 12),
            heads=config.get("pred_num_attention_heads", 12),
        ),
        families=config.get("pred_num_mask_tokens", 10),
    )
    _fill(predictor, _part(_read_weights(folder), "predictor.", PREDICTOR_NAMES), folder)
    return predictor.eval()


def encoder_config(values: Mapping[str, Any], folder: Path) -> VideoEncoderConfig:
    """Our config of an encoder that transformers describes.

    Args:
        values: of `config.json`; what is missing is transformers' default (ViT-L, 256 pixels).
        folder: it comes from, for errors.

    Raises:
        CheckpointError: if it asks for something that our encoder does not have.
    """
    only = {"hidden_act": "gelu", "in_chans": 3, "qkv_bias": True}
    for field, known in only.items():
        if values.get(field, known) != known:
            raise CheckpointError(
                f"{folder / CONFIG}: {field} {values[field]!r} is not supported, only {known!r}"
            )
    try:
        return VideoEncoderConfig(
            size="large",
            image_size=values.get("crop_size", 256),
            patch=values.get("patch_size", 16),
            tubelet=values.get("tubelet_size", 2),
            width=values.get("hidden_size", 1024),
            depth=values.get("num_hidden_layers", 24),
            heads=values.get("num_attention_heads", 16),
            mlp_ratio=values.get("mlp_ratio", 4.0),
            norm_eps=values.get("layer_norm_eps", 1e-6),
        )
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / CONFIG}: {error}") from None


def _find(name: str | Path, download: bool) -> Path:
    """The folder on this machine."""
    if Path(name).is_dir():
        return Path(name)
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError:
        raise UserError(
            f"there is no folder {name}; to read it from the hub install 'goalsight[vjepa2]'"
        ) from None
    wanted = [CONFIG, "*.safetensors", INDEX]
    try:
        return Path(
            snapshot_download(str(name), allow_patterns=wanted, local_files_only=not download)
        )
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        reason = str(error).partition("\n")[0]
        way_out = f"it could not be fetched: {reason}" if download else "add --download to fetch it"
        raise UserError(
            f"there is no folder {name}, and no such hub id in this machine's cache; {way_out}"
        ) from None


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    values = read_json(path, error=CheckpointError)
    if values.get("model_type") != KIND:
        raise CheckpointError(
            f"{path} describes {values.get('model_type')!r}, not {KIND!r}; other image encoders "
            "are used by name: --model.encoder hf:NAME"
        )
    return values


def _read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors, from one file or from those that an index lists."""
    files = [WEIGHTS]
    try:
        if (folder / INDEX).is_file():
            index = read_json(folder / INDEX, error=CheckpointError)
            files = sorted(set(index["weight_map"].values()))
        tensors: dict[str, Tensor] = {}
        for file in files:
            path = inside(
                folder, file, source=folder / INDEX, field="weight_map", error=CheckpointError
            )
            tensors |= safetensors.torch.load_file(path)
    except FileNotFoundError:
        raise CheckpointError(
            f"{folder} has no {WEIGHTS}; save the model with safetensors (save_pretrained does)"
        ) from None
    except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"the weights in {folder} cannot be read: {error}") from None
    return {name.removeprefix(f"{KIND}."): tensor for name, tensor in tensors.items()}


def _part(
    tensors: Mapping[str, Tensor], prefix: str, names: Mapping[str, str]
) -> dict[str, Tensor]:
    """The tensors of one part under our names."""
    part = {}
    for name, tensor in tensors.items():
        if not name.startswith(prefix):
            continue
        ours = f".{name.removeprefix(prefix)}."
        for theirs, our in names.items():
            ours = ours.replace(f".{theirs}.", f".{our}.")
        part[ours.strip(".")] = tensor.float()
    return part


def _fill(module: nn.Module, tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Copy weights in; a convolution's kernel and mask tokens become plain matrices."""
    wanted = module.state_dict()
    if odd := sorted(set(wanted) ^ set(tensors)):
        problem = "is missing" if odd[0] in wanted else "is not part of this model"
        raise CheckpointError(f"the weights in {folder} do not fit: {odd[0]!r} {problem}")
    for name, tensor in tensors.items():
        if tensor.numel() != wanted[name].numel() or tensor.shape[0] != wanted[name].shape[0]:
            raise CheckpointError(
                f"the weights in {folder} do not fit: {name!r} is {tuple(tensor.shape)} where the "
                f"config makes {tuple(wanted[name].shape)}"
            )
    module.load_state_dict(
        {name: tensor.reshape(wanted[name].shape) for name, tensor in tensors.items()}
    )
