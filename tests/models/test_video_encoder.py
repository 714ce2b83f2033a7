"""V-JEPA's encoder and predictor: the same arithmetic as transformers, and laws of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from goalsight.errors import CheckpointError, UserError
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.models.hub import load_vjepa2, load_vjepa2_predictor
from goalsight.models.mask_predictor import MaskPredictor, MaskPredictorConfig
from goalsight.models.video_encoder import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    SHAPES,
    FrameEncoder,
    VideoEncoder,
    VideoEncoderConfig,
)
from goalsight.models.vit import rotary, rotate

CONFIG = VideoEncoderConfig(image_size=32, patch=8, width=24, depth=2, heads=2)


def video(batch: int = 2, frames: int = 4, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, frames, 3, 32, 32)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def normalised(frames: Tensor) -> Tensor:
    """As transformers' video processor does it."""
    mean, std = (torch.tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
    return (frames.float() / 255 - mean) / std


@pytest.fixture(scope="module")
def theirs() -> Any:
    """A small `VJEPA2Model` with every weight random, biases, norms and mask tokens too."""
    transformers = pytest.importorskip("transformers")
    config = transformers.VJEPA2Config(
        crop_size=32,
        patch_size=8,
        frames_per_clip=4,
        hidden_size=44,
        num_attention_heads=2,
        num_hidden_layers=3,
        mlp_ratio=48 / 11,
        pred_hidden_size=28,
        pred_num_attention_heads=2,
        pred_num_hidden_layers=2,
        pred_num_mask_tokens=3,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.VJEPA2Model(config).eval()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.fixture(scope="module")
def published(theirs: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    theirs.save_pretrained(folder)
    return folder


@torch.no_grad()
def test_the_published_weights_give_the_published_output(theirs: Any, published: Path) -> None:
    wanted = theirs(normalised(video()), skip_predictor=True).last_hidden_state
    assert wanted.std() > 0.1
    torch.testing.assert_close(load_vjepa2(published)(video()), wanted, atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_single_picture_is_repeated_as_transformers_does(theirs: Any, published: Path) -> None:
    encoder = load_vjepa2(published)
    alone = FrameEncoder(encoder.config)
    alone.video.load_state_dict(encoder.state_dict())
    wanted = theirs(normalised(video(frames=1)), skip_predictor=True).last_hidden_state
    wanted = F.layer_norm(wanted, wanted.shape[-1:])
    torch.testing.assert_close(alone(video(frames=1)[:, 0]), wanted, atol=1e-4, rtol=0)


@torch.no_grad()
def test_the_published_predictor_gives_the_published_predictions(
    theirs: Any, published: Path
) -> None:
    order = torch.stack(
        [torch.randperm(32, generator=torch.Generator().manual_seed(i)) for i in (1, 2)]
    )
    context, target = order[:, :10], order[:, 10:]
    wanted = theirs(normalised(video()), context_mask=[context], target_mask=[target])
    encoder, predictor = load_vjepa2(published), load_vjepa2_predictor(published)
    seen = encoder(video()).gather(1, context[..., None].expand(-1, -1, 44))
    _, predicted = predictor(seen, context, target, (2, 4, 4), family=1)
    torch.testing.assert_close(
        predicted, wanted.predictor_output.last_hidden_state, atol=1e-4, rtol=0
    )


@torch.no_grad()
def test_weights_in_several_files_are_read_as_one(
    theirs: Any, published: Path, tmp_path: Path
) -> None:
    theirs.save_pretrained(tmp_path, max_shard_size="60KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    torch.testing.assert_close(load_vjepa2(tmp_path)(video()), load_vjepa2(published)(video()))


def test_what_is_not_on_this_machine_is_only_fetched_when_asked(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    with pytest.raises(UserError, match="add --download"):
        load_vjepa2(f"nobody/{tmp_path.name}")


def test_folders_of_something_else_are_refused(published: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "dinov2"}))
    with pytest.raises(CheckpointError, match="describes 'dinov2', not 'vjepa2'"):
        load_vjepa2(tmp_path)
    config = json.loads((published / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors"):
        load_vjepa2(tmp_path)
    (tmp_path / "model.safetensors").write_bytes((published / "model.safetensors").read_bytes())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 2}))
    with pytest.raises(CheckpointError, match=r"'blocks\.2.* is not part of this model"):
        load_vjepa2(tmp_path)


def test_attention_depends_on_how_far_apart_two_tokens_are_alone() -> None:
    """In heads of 6 channels: wider ones turn the two channels of a pair at two speeds."""
    query, key = torch.randn(2, 1, 1, 6, generator=torch.Generator().manual_seed(0))

    def score(query_at: list[int], key_at: list[int]) -> float:
        turned = (
            rotate(x, rotary(torch.tensor([at]), 6)) for x, at in ((query, query_at), (key, key_at))
        )
        left, right = turned
        return float((left * right).sum())

    near = score([0, 0, 0], [1, 2, 3])
    assert score([4, 1, 2], [5, 3, 5]) == pytest.approx(near, abs=1e-5)
    assert score([4, 1, 2], [5, 3, 6]) != pytest.approx(near, abs=1e-3)


@torch.no_grad()
def test_hidden_tokens_cannot_be_looked_at() -> None:
    encoder, one = VideoEncoder(CONFIG), video()
    other = one.clone()
    other[:, :, :, :8, :8] = 255 - other[:, :, :, :8, :8]  # patch 0 of both tubelets
    keep = torch.tensor([[1, 5, 17], [2, 3, 31]])
    torch.testing.assert_close(encoder(one, keep), encoder(other, keep), rtol=0, atol=0)
    assert not torch.allclose(encoder(one), encoder(other))


@torch.no_grad()
def test_all_tokens_kept_in_any_order_is_the_same_video() -> None:
    encoder = VideoEncoder(CONFIG)
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0)).expand(2, -1)
    wanted = encoder(video())[:, order[0]]
    torch.testing.assert_close(encoder(video(), order), wanted, atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_last_level_is_what_the_encoder_gives() -> None:
    encoder = VideoEncoder(CONFIG)
    levels = encoder.levels(video(), (1, 2))
    assert levels.shape == (2, 32, 48)
    torch.testing.assert_close(levels[..., 24:], encoder(video()))
    assert levels[..., :24].std(dim=-1).sub(1).abs().max() < 0.1


@torch.no_grad()
def test_a_prediction_depends_on_where_and_not_on_the_order_of_what_is_seen() -> None:
    predictor = MaskPredictor(CONFIG, MaskPredictorConfig(width=12, depth=1, heads=1))
    for weights in predictor.parameters():  # as they begin, attention looks everywhere alike
        torch.nn.init.normal_(weights, std=0.5)
    context = torch.randn(1, 3, 24, generator=torch.Generator().manual_seed(0))
    at, target = torch.tensor([[0, 4, 9]]), torch.tensor([[2, 3]])
    _, one = predictor(context, at, target, (1, 4, 4))
    _, swapped = predictor(context.flip(1), at.flip(1), target, (1, 4, 4))
    _, moved = predictor(context, at + 1, target, (1, 4, 4))
    torch.testing.assert_close(one, swapped)
    assert not torch.allclose(one, moved)


@pytest.mark.parametrize(
    ("size", "millions"),
    [("tiny", 0.6), ("small", 22), ("base", 86), ("large", 304), ("huge", 632), ("giant", 1012)],
)
def test_the_dial_sets_the_size(size: Any, millions: float) -> None:
    with torch.device("meta"):
        encoder = VideoEncoder(VideoEncoderConfig(size=size))
    assert sum(p.numel() for p in encoder.parameters()) / 1e6 == pytest.approx(millions, rel=0.03)
    assert encoder.config.depth == SHAPES[size].depth


@torch.no_grad()
def test_a_world_model_sees_frames_through_it() -> None:
    options = {"patch": 8, "width": 24, "depth": 1, "heads": 2}
    config = WorldModelConfig(encoder="vjepa", encoder_options=options, image_size=32, action_dim=2)
    z = WorldModel(config).eval().encode(video())
    assert z.shape == (2, 4, 16, 24)
    torch.testing.assert_close(z.std(dim=-1, correction=0), torch.ones(2, 4, 16), atol=1e-2, rtol=0)
    larger = WorldModelConfig(
        encoder="vjepa", encoder_options={**options, "image_size": 64}, image_size=32
    )
    assert WorldModel(larger).eval().encode(video()).shape == (2, 4, 64, 24)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch": 10}, "image_size must be a multiple of patch"),
        ({"width": 25}, "width must be a multiple of heads"),
        ({"width": 8}, "at least 6 channels"),
        ({"depth": -1}, "depth must be above 0"),
        ({"size": "enormous"}, "size must be one of tiny"),
    ],
)
def test_shapes_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    values = {"image_size": 32, "patch": 8, "width": 24, "heads": 2, **changes}
    with pytest.raises(ValueError, match=message):
        VideoEncoder(VideoEncoderConfig(**values))
