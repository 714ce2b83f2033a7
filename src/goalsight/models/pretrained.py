"""Image encoders that somebody else trained, by name: `timm:NAME` and `hf:NAME_OR_FOLDER`.

DINO-WM's setting (arXiv:2411.04983): patch features of a frozen image model are the latents, and
only the predictor is trained. `encoder_options` holds all that is needed to build such an encoder
again without a network; its weights travel in the checkpoint.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from math import isqrt
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from goalsight.errors import UserError
from goalsight.models.config import WorldModelConfig
from goalsight.models.encoder import Encoder

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
