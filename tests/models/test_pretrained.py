"""Encoders that somebody else trained: found on this machine, rebuilt from a checkpoint alone."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from goalsight.checkpoint import load_checkpoint, save_checkpoint
from goalsight.errors import UserError
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.models.pretrained import IMAGENET_MEAN, IMAGENET_STD, fetch_encoder, library

transformers: Any = pytest.importorskip("transformers", exc_type=ImportError)


def config(encoder: str, **options: Any) -> WorldModelConfig:
    return WorldModelConfig(
        image_size=32,
        action_dim=2,
        frameskip=2,
        encoder=encoder,
        encoder_options=options,
        freeze_encoder=True,
        predictor="transformer",
    )


def frames(*batch: int) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randint(0, 256, (*batch, 3, 32, 32), dtype=torch.uint8, generator=generator)


def built(completed: WorldModelConfig, state: dict[str, Tensor] | None) -> WorldModel:
    model = WorldModel(completed)
    if state is not None:
        model.encoder.load_state_dict(state)
    return model.eval()


def dinov2() -> Any:
    return transformers.Dinov2Model(
        transformers.Dinov2Config(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=8
        )
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random DINOv2 as transformers writes it."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("hub") / "small-dino"
    dinov2().eval().save_pretrained(path)
    return path


def normalised(pictures: Tensor) -> Tensor:
    mean, std = (torch.tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
    return (pictures / 255 - mean) / std


@torch.no_grad()
def test_the_latents_are_the_layer_normed_patch_tokens_of_the_model(folder: Path) -> None:
    """Computed beside with transformers alone: no class token, no other preprocessing."""
    completed, state = fetch_encoder(config(f"hf:{folder}"))
    z = built(completed, state).encode(frames(2, 3))
    assert z.shape == (2, 3, 16, 16)
    theirs = transformers.AutoModel.from_pretrained(folder).eval()
    tokens = theirs(pixel_values=normalised(frames(2, 3).flatten(0, 1))).last_hidden_state[:, 1:]
    torch.testing.assert_close(z.flatten(0, 1), F.layer_norm(tokens, (16,)), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_checkpoint_needs_neither_the_folder_nor_its_name(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "elsewhere"
    shutil.copytree(folder, source)
    completed, state = fetch_encoder(config(f"hf:{source}"))
    assert str(tmp_path) not in str(completed)
    model = built(completed, state)
    save_checkpoint(tmp_path / "checkpoint", model, {})
    shutil.rmtree(source)
    loaded = load_checkpoint(tmp_path / "checkpoint").model
    assert torch.equal(loaded.encode(frames(2, 1)), model.encode(frames(2, 1)))


@torch.no_grad()
def test_a_grid_averages_neighbouring_tokens(folder: Path) -> None:
    """Before the layer norm: a mean of normed tokens would be of another length."""
    completed, state = fetch_encoder(config(f"hf:{folder}", grid=2))
    model = built(completed, state)
    assert model.encode(frames(1, 1)).shape == (1, 1, 4, 16)
    backbone: Any = model.encoder.backbone
    tokens = backbone(normalised(frames(1))).unflatten(1, (4, 4))
    corner = F.layer_norm(tokens[0, :2, 2:].flatten(0, 1).mean(0), (16,))
    torch.testing.assert_close(model.encode(frames(1, 1))[0, 0, 1], corner, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["vit", "resnet", "clip"])
def test_models_of_other_kinds_give_a_square_grid(kind: str, tmp_path: Path) -> None:
    """A ViT at another resolution than its own, a CNN, and the vision half of two towers."""
    small = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    vision = {**small, "image_size": 16, "patch_size": 8}
    made = {
        "vit": lambda: transformers.ViTModel(transformers.ViTConfig(**vision)),
        "resnet": lambda: transformers.ResNetModel(
            transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
        ),
        "clip": lambda: transformers.CLIPModel(
            transformers.CLIPConfig(
                text_config={**small, "vocab_size": 9, "bos_token_id": 1, "eos_token_id": 2},
                vision_config=vision,
            )
        ),
    }[kind]()
    made.save_pretrained(tmp_path / kind)
    resolution = {"vit": 32, "resnet": 32, "clip": 16}[kind]
    completed, state = fetch_encoder(config(f"hf:{tmp_path / kind}", resolution=resolution))
    model = built(completed, state)
    z = model.encode(frames(2, 1))
    assert z.shape == (2, 1, {"vit": 16, "resnet": 16, "clip": 4}[kind], 16)
    assert not torch.equal(z[0], z[1])
    assert [name for name in model.state_dict() if "text" in name] == []


def test_the_preprocessor_beside_the_weights_is_followed(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "dino")
    (tmp_path / "dino" / "preprocessor_config.json").write_text(
        '{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}'
    )
    completed, _ = fetch_encoder(config(f"hf:{tmp_path / 'dino'}"))
    assert completed.encoder_options["std"] == [0.25, 0.25, 0.25]


def test_nothing_is_downloaded_unless_it_is_asked_for() -> None:
    with pytest.raises(UserError, match=r"hf:nobody/nothing are not on .*add --download"):
        fetch_encoder(config("hf:nobody/nothing"))


def test_a_frozen_encoder_stays_as_it_is_in_training(folder: Path) -> None:
    model = built(*fetch_encoder(config(f"hf:{folder}"))).train()
    assert not any(parameter.requires_grad for parameter in model.encoder.parameters())
    assert not any(module.training for module in model.encoder.modules())
    assert not model.encode(frames(1, 1)).requires_grad


def test_what_cannot_be_built_is_refused_with_the_way_out(folder: Path) -> None:
    with pytest.raises(UserError, match="square grid of at least 9 a side"):
        fetch_encoder(config(f"hf:{folder}", grid=9))
    completed, _ = fetch_encoder(config(f"hf:{folder}"))
    wrong = {**completed.encoder_options, "resolutoin": 64}
    with pytest.raises(ValueError, match="unknown encoder option 'resolutoin'; there are: resol"):
        WorldModel(replace(completed, encoder_options=wrong))
    with pytest.raises(ValueError, match=r"needs encoder_options\.config"):
        WorldModel(config("hf:name"))
    with pytest.raises(UserError, match=r"no_such_library cannot be used .*'goalsight\[timm\]'"):
        library("no_such_library", "timm")


def timm_here() -> Any:
    try:
        return library("timm", "timm")
    except UserError as error:  # timm needs torchvision of the same build as torch
        pytest.skip(str(error))


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "grid"), [("vit_tiny_patch16_224", 2), ("resnet10t", 1), ("convnext_atto", 1)]
)
def test_timm_models_come_from_a_file_and_need_it_no_more(
    name: str, grid: int, tmp_path: Path
) -> None:
    """At 32 pixels; a ViT's positions are resampled when its weights are read."""
    from safetensors.torch import save_file

    timm = timm_here()
    torch.manual_seed(4)
    theirs = timm.create_model(name).eval()
    save_file(theirs.state_dict(), tmp_path / "weights.safetensors")
    given = config(f"timm:{name}", weights=str(tmp_path / "weights.safetensors"), resolution=32)
    completed, state = fetch_encoder(given)
    assert completed.encoder_options == {"resolution": 32}
    z = built(completed, state).encode(frames(2, 1))
    assert z.shape == (2, 1, grid**2, theirs.num_features)
    if name == "resnet10t":  # positions play no role, so theirs can be asked at this size
        features = theirs.forward_features(normalised(frames(2))).flatten(2).mT
        wanted = F.layer_norm(features, features.shape[-1:])
        torch.testing.assert_close(z[:, 0], wanted, atol=1e-4, rtol=1e-4)


def test_timm_weights_that_are_not_here_or_do_not_fit_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    timm_here()
    with pytest.raises(UserError, match="not on this machine; add --download"):
        fetch_encoder(config("timm:vit_tiny_patch16_224"))
    with pytest.raises(UserError, match="timm has no model 'no_such_net'"):
        fetch_encoder(config("timm:no_such_net"))
    save_file({"fc.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    other = config("timm:resnet10t", weights=str(tmp_path / "other.safetensors"))
    with pytest.raises(UserError, match="do not fit timm:resnet10t"):
        fetch_encoder(other)
    random, state = fetch_encoder(config("timm:resnet10t", weights="none", resolution=32))
    assert (random.encoder_options, state) == ({"resolution": 32}, None)
