"""Image encoders that somebody else trained, by name: `timm:NAME` and `hf:NAME_OR_FOLDER`.

DINO-WM's setting (arXiv:2411.04983): patch features of a frozen image model are the latents, and
only the predictor is trained. `encoder_options` holds all that is needed to build such an encoder
again without a network; its weights travel in the checkpoint.
"""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isqrt
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from goalsight.errors import UserError
from goalsight.models.config import WorldModelConfig
from goalsight.models.encoder import Encoder
from goalsight.registry import register

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
OPTIONS = ("resolution", "grid", "mean", "std")
"""Options of both kinds; `hf` knows `config` as well."""
ELSEWHERE = {
    "backbone",
    "use_pretrained_backbone",
    "use_timm_backbone",
    "auto_map",
    "custom_pipelines",
}
"""Fields of a transformers config that make it fetch weights or code from a hub."""


class PictureEncoder(Encoder):
    """Pictures resized and normalised for a backbone, its tokens layer-normed.

    The layer norm without parameters puts latents of any backbone on the scale that losses,
    inverse head and planner expect (V-JEPA 2-AC does the same).
    """

    def __init__(
        self,
        backbone: nn.Module,
        resolution: int,
        mean: Sequence[float],
        std: Sequence[float],
        grid: int | None = None,
    ) -> None:
        """Wrap a backbone.

        Args:
            backbone: (N, 3, R, R) normalised pictures to (N, P, D) tokens, row by row.
            resolution: R [pixels].
            mean: of each colour in the backbone's training, in 0..1.
            std: likewise.
            grid: average the tokens to this many a side; None keeps them all. Planning time grows
                with the number of tokens.

        Raises:
            ValueError: if the backbone has no square grid of tokens, or one smaller than `grid`.
        """
        super().__init__()
        self.backbone, self._resolution, self._grid = backbone, resolution, grid
        for name, values in (("_mean", mean), ("_std", std)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)
        self.patches, self.dim = self._measure()

    _mean: Tensor
    _std: Tensor

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 pictures to (N, P, D) float32 latents."""
        scaled = pictures.float() / 255
        size = (self._resolution, self._resolution)
        if scaled.shape[-2:] != size:
            scaled = F.interpolate(scaled, size, mode="bicubic", antialias=True).clamp(0, 1)
        tokens: Tensor = self.backbone((scaled - self._mean) / self._std)
        if self._grid:
            side = isqrt(tokens.shape[1])
            cells = rearrange(tokens, "n (h w) d -> n d h w", h=side)
            tokens = F.adaptive_avg_pool2d(cells, self._grid).flatten(2).mT
        return F.layer_norm(tokens.float(), tokens.shape[-1:])

    @torch.no_grad()
    def _measure(self) -> tuple[int, int]:
        """P and D, by looking at one black picture; leaves the backbone's mode as it was."""
        training = self.backbone.training
        self.backbone.eval()
        _, patches, dim = self.backbone(torch.zeros(1, 3, self._resolution, self._resolution)).shape
        self.backbone.train(training)
        side = isqrt(patches)
        if side * side != patches or (self._grid and not 1 <= self._grid <= side):
            raise ValueError(
                f"at resolution {self._resolution} the encoder gives {patches} tokens; they must "
                f"be a square grid of at least {self._grid or 1} a side"
            )
        return (self._grid**2 if self._grid else patches), dim


class TimmBackbone(nn.Module):
    """The spatial features of a timm model, CNN or transformer, as tokens."""

    def __init__(self, net: nn.Module) -> None:
        """Wrap a model without its classifier."""
        super().__init__()
        self.net = net

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, R, R) to (N, P, D)."""
        net: Any = self.net
        features: Tensor = net.forward_features(pictures)
        if features.ndim == 3:
            return features[:, int(getattr(net, "num_prefix_tokens", 0) or 0) :]
        if features.shape[1] != net.num_features:  # Swin and its kin put channels last
            features = features.movedim(-1, 1)
        return features.flatten(2).mT


class TransformersBackbone(nn.Module):
    """The patch tokens of a transformers vision model, class and register tokens left out."""

    def __init__(self, net: nn.Module) -> None:
        """Wrap a model, or take the vision half of one that has two."""
        super().__init__()
        self.net: nn.Module = getattr(net, "vision_model", net)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, R, R) to (N, P, D)."""
        config: Any = self.net.config
        native = getattr(config, "image_size", None)
        resize = native not in {None, pictures.shape[-1]} and _takes(
            self.net, "interpolate_pos_encoding"
        )
        flags = {"interpolate_pos_encoding": True} if resize else {}
        tokens: Tensor = self.net(pixel_values=pictures, **flags).last_hidden_state
        if tokens.ndim == 4:
            return tokens.flatten(2).mT
        patch = getattr(config, "patch_size", None)
        side = pictures.shape[-1] // patch if isinstance(patch, int) else 0
        # Hierarchical models have fewer tokens at their end than patches at their beginning.
        return tokens[:, -side * side :] if 0 < side * side <= tokens.shape[1] else tokens


@register("encoder", "timm")
def build_timm(config: WorldModelConfig) -> Encoder:
    """The untrained encoder of a config that names `timm:NAME`.

    Raises:
        UserError: if timm is not installed.
        ValueError: if it has no such model, or an option is unknown.
    """
    name, options = config.encoder.removeprefix("timm:"), config.encoder_options
    _check_options(options, OPTIONS)
    return timm_encoder(name, options)


def timm_encoder(name: str, options: Mapping[str, Any], weights: str | None = None) -> Encoder:
    """A timm model as an encoder.

    Args:
        name: timm's, such as `vit_small_patch14_dinov2`.
        options: any of `OPTIONS`; what is left out follows timm's data config.
        weights: file of the weights; None leaves them random.

    Raises:
        UserError: if timm is not installed.
        ValueError: if it has no such model, or the weights do not fit.
    """
    timm, known = library("timm", "timm"), timm_defaults(name)
    resolution = int(options.get("resolution") or known.input_size[-1])
    net = timm.create_model(
        name,
        pretrained=weights is not None,
        pretrained_cfg_overlay={"file": weights} if weights is not None else None,
        # Only models that know one size take another when they are built.
        **({"img_size": resolution} if known.fixed_input_size else {}),
    )
    # With its classifier until here: without, timm skips every tensor that does not fit.
    net.reset_classifier(0)
    mean, std = options.get("mean") or known.mean, options.get("std") or known.std
    return PictureEncoder(TimmBackbone(net), resolution, mean, std, options.get("grid"))


def timm_defaults(name: str) -> Any:  # noqa: ANN401  (timm's PretrainedCfg)
    """What timm knows of a model: picture size, colours, where its weights are.

    Raises:
        UserError: if timm is not installed.
        ValueError: if it has no such model.
    """
    timm = library("timm", "timm")
    if not timm.is_model(name):
        raise ValueError(f"timm has no model {name!r}; timm.list_models() names them all")
    return timm.get_pretrained_cfg(name, allow_unregistered=False)


@register("encoder", "hf")
def build_transformers(config: WorldModelConfig) -> Encoder:
    """The untrained encoder of a config that names `hf:NAME_OR_FOLDER`.

    Raises:
        UserError: if transformers is not installed.
        ValueError: if the options do not hold the model's own config, or one is unknown.
    """
    options = config.encoder_options
    _check_options(options, (*OPTIONS, "config"))
    if "config" not in options:
        raise ValueError(
            f"encoder {config.encoder} needs encoder_options.config, its own config; goalsight "
            "train fills it in"
        )
    transformers = library("transformers", "vjepa2")
    values = dict(options["config"])
    if elsewhere := sorted(ELSEWHERE & {name for name, value in values.items() if value}):
        raise ValueError(
            f"encoder_options.config names {elsewhere[0]}: parts that are looked up elsewhere are "
            "not built; use a model that is whole"
        )
    native = transformers.AutoConfig.for_model(values.pop("model_type"), **values)
    return transformers_encoder(transformers.AutoModel.from_config(native), options)


def transformers_encoder(net: nn.Module, options: Mapping[str, Any]) -> Encoder:
    """A transformers vision model as an encoder.

    Args:
        net: the model.
        options: any of `OPTIONS`; `resolution` is the model's own if it is left out.

    Raises:
        ValueError: if the model does not say its picture size and `resolution` is left out.
    """
    backbone = TransformersBackbone(net)
    config: Any = backbone.net.config
    resolution = options.get("resolution") or getattr(config, "image_size", None)
    if not isinstance(resolution, int):
        raise ValueError(
            "this encoder does not say its picture size; give encoder_options.resolution"
        )
    mean, std = options.get("mean") or IMAGENET_MEAN, options.get("std") or IMAGENET_STD
    return PictureEncoder(backbone, resolution, mean, std, options.get("grid"))


def library(name: str, extra: str) -> Any:  # noqa: ANN401  (neither ships complete types)
    """An optional library.

    Args:
        name: to import.
        extra: of goalsight that installs it.

    Raises:
        UserError: if it is not there or does not work here.
    """
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:  # a torchvision of another build: RuntimeError
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{name} cannot be used here ({reason}); install it with: pip install "
            f"'goalsight[{extra}]'"
        ) from None


def _takes(net: nn.Module, argument: str) -> bool:
    """Whether a model's forward has an argument of this name."""
    return argument in inspect.signature(net.forward).parameters


def _check_options(options: Mapping[str, Any], known: Sequence[str]) -> None:
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(f"unknown encoder option {unknown[0]!r}; there are: {', '.join(known)}")


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
