"""The parts of a world model by name; see `goalsight.registry` for how to add one."""

from __future__ import annotations

from dataclasses import fields, replace

from goalsight.models.action_predictor import (
    TRANSFORMER_SIZES,
    TransformerPredictor,
    TransformerWidths,
)
from goalsight.models.config import SIZES, Widths, WorldModelConfig
from goalsight.models.encoder import ConvEncoder, Encoder
from goalsight.models.grid import ConvGridEncoder, GridPredictor
from goalsight.models.pixels import PixelEncoder, PixelPredictor
from goalsight.models.predictor import AffinePredictor, Predictor, ResidualPredictor
from goalsight.models.pretrained import build_timm, build_transformers
from goalsight.models.video_encoder import FrameEncoder
from goalsight.registry import find, register

WITHOUT_OPTIONS = {"residual", "direct", "affine", "grid", "pixel"}
"""Predictors that the size describes in full."""


def build_encoder(config: WorldModelConfig) -> Encoder:
    """The untrained encoder that a config names.

    Raises:
        ValueError: if there is no such encoder; lists those that exist.
    """
    kind = config.encoder.partition(":")[0]  # timm:NAME is of the kind timm
    build = find("encoder", kind)
    if config.latent and kind != "conv":
        raise ValueError(f"latent is the width of encoder conv, encoder {kind} has its own")
    if config.standardise and kind != "conv":
        raise ValueError(
            f"standardise is for encoder conv, encoder {kind} sees pictures as they are"
        )
    encoder: Encoder = build(config)
    return encoder


def build_predictor(config: WorldModelConfig, patches: int, dim: int) -> Predictor:
    """The untrained predictor that a config names, for latents (P, D).

    Raises:
        ValueError: if there is no such predictor; lists those that exist.
    """
    build = find("predictor", config.predictor)
    if config.predictor_options and config.predictor in WITHOUT_OPTIONS:
        raise ValueError(
            f"predictor_options are the transformer's, predictor {config.predictor} has none"
        )
    predictor: Predictor = build(config, patches, dim)
    return predictor


@register("encoder", "conv")
def _conv(config: WorldModelConfig) -> Encoder:
    widths = SIZES[config.size]
    return ConvEncoder(
        config.image_size,
        widths.stem,
        widths.hidden,
        config.latent or widths.latent,
        standardised=config.standardise,
    )


@register("encoder", "conv-grid")
def _conv_grid(config: WorldModelConfig) -> Encoder:
    widths = SIZES[config.size]
    return ConvGridEncoder(config.image_size, widths.stem, widths.hidden, widths.latent // 2)


@register("encoder", "pixels")
def _pixels(config: WorldModelConfig) -> Encoder:
    if config.inverse or config.predictor != "pixel":
        raise ValueError(
            "encoder pixels needs predictor pixel and no inverse head: give --model.predictor "
            "pixel --model.inverse false, or all of it at once with --config pixel"
        )
    return PixelEncoder(config.image_size)


@register("predictor", "direct")
@register("predictor", "residual")
def _residual(config: WorldModelConfig, patches: int, dim: int) -> Predictor:
    del patches
    widths = _sees_the_present(config)
    return ResidualPredictor(
        dim,
        _action_values(config),
        widths.predictor,
        widths.depth,
        proprio=config.proprio_dim,
        residual=config.predictor == "residual",
    )


@register("predictor", "affine")
def _affine(config: WorldModelConfig, patches: int, dim: int) -> Predictor:
    del patches
    widths = _sees_the_present(config)
    return AffinePredictor(
        dim, _action_values(config), widths.predictor, proprio=config.proprio_dim
    )


@register("predictor", "grid")
def _grid(config: WorldModelConfig, patches: int, dim: int) -> Predictor:
    widths = _sees_the_present(config)
    return GridPredictor(
        patches,
        dim,
        _action_values(config),
        widths.predictor // 2,
        widths.depth,
        proprio=config.proprio_dim,
    )


@register("predictor", "pixel")
def _pixel(config: WorldModelConfig, patches: int, dim: int) -> Predictor:
    widths = _sees_the_present(config)
    if (patches, dim) != (1, 3 * config.image_size**2):
        raise ValueError(
            f"predictor pixel draws pictures; it needs --model.encoder pixels, got {config.encoder}"
        )
    return PixelPredictor(
        config.image_size,
        _action_values(config),
        widths.stem,
        widths.hidden,
        widths.depth,
        proprio=config.proprio_dim,
    )


def _sees_the_present(config: WorldModelConfig) -> Widths:
    """Widths for a predictor that does not look back.

    Raises:
        ValueError: if the config wants it to.
    """
    if config.context != 1:
        raise ValueError(
            f"predictor {config.predictor} sees the present frame only: context must be 1, got "
            f"{config.context}; predictor transformer looks back"
        )
    return SIZES[config.size]


def _action_values(config: WorldModelConfig) -> int:
    return config.frameskip * config.action_dim


@register("predictor", "transformer")
def _transformer(config: WorldModelConfig, patches: int, dim: int) -> Predictor:
    return TransformerPredictor(
        patches,
        dim,
        _action_values(config),
        _transformer_widths(config),
        context=config.context,
        proprio_dim=config.proprio_dim,
        conditioning=config.conditioning,
    )


def _transformer_widths(config: WorldModelConfig) -> TransformerWidths:
    """The size's, with the options of the config in their place.

    Raises:
        ValueError: if there is no such option, lists those that exist; or if they do not fit.
    """
    known = [field.name for field in fields(TransformerWidths)]
    if unknown := [name for name in config.predictor_options if name not in known]:
        raise ValueError(f"no predictor option {unknown[0]!r}; there are: {', '.join(known)}")
    return replace(TRANSFORMER_SIZES[config.size], **config.predictor_options)


@register("encoder", "vjepa")
def _vjepa(config: WorldModelConfig) -> Encoder:
    return FrameEncoder.from_options(config.encoder_options, config.image_size)


register("encoder", "timm")(build_timm)
register("encoder", "hf")(build_transformers)
