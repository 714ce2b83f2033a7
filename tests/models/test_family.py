"""The small models that plan on a processor: what their predictors and encoders promise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from goalsight.checkpoint import load_checkpoint, save_checkpoint
from goalsight.errors import CheckpointError
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.models.decoder import Decoder, DecoderShape, load_decoder, save_decoder
from goalsight.models.pixels import MOSTLY_OLD, PixelPredictor, to_pictures

POOLED = WorldModelConfig(image_size=32, action_dim=3, frameskip=2)
PIXEL = replace(POOLED, encoder="pixels", predictor="pixel", inverse=False)
GRID = replace(POOLED, encoder="conv-grid", predictor="grid")
FAMILY = {
    "residual": POOLED,
    "standardised": replace(POOLED, standardise=True),
    "direct": replace(POOLED, predictor="direct"),
    "affine": replace(POOLED, predictor="affine"),
    "grid": GRID,
    "affine grid": replace(GRID, predictor="affine"),
    "pixel": PIXEL,
}
Q = 4


def randoms(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pictures(*batch: int) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randint(0, 256, (*batch, 3, 32, 32), dtype=torch.uint8, generator=generator)


def blocks(*shape: int, seed: int = 3) -> Tensor:
    return randoms(*shape, 2, 3, seed=seed).clamp(-1, 1)


def built(config: WorldModelConfig, *, stirred: bool = True) -> WorldModel:
    """Untrained predictors change nothing by design: stirred ones have some life."""
    torch.manual_seed(0)
    model = WorldModel(config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters() if stirred else ():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def seeing_proprio(config: WorldModelConfig) -> WorldModel:
    model = built(replace(config, proprio_dim=Q))
    model.proprio_mean.copy_(randoms(Q, seed=5))
    model.proprio_std.copy_(randoms(Q, seed=6).abs() + 0.1)
    return model


family = pytest.mark.parametrize("config", FAMILY.values(), ids=FAMILY.keys())


@torch.no_grad()
@family
def test_a_rollout_is_the_repeated_step_with_proprio_fed_back(config: WorldModelConfig) -> None:
    model = seeing_proprio(config)
    z, plan, proprio = model.encode(pictures(2, 1)), blocks(2, 1, 3), randoms(2, 1, Q)
    rolled = model.rollout(z, plan, proprio=proprio)[:, 0]
    now, known = z, proprio
    for step, block in enumerate(plan[:, 0].unbind(1)):
        now, standard = model.predict(now, block[:, None], known)
        assert standard is not None
        known = standard * model.proprio_std + model.proprio_mean
        torch.testing.assert_close(rolled[:, step], now[:, 0], atol=1e-4, rtol=1e-4)


@torch.no_grad()
@family
def test_a_future_action_cannot_change_an_earlier_prediction(config: WorldModelConfig) -> None:
    model = built(config)
    z, one = model.encode(pictures(1, 1)), blocks(1, 2, 4)
    other = torch.cat((one[:, :, :2], blocks(1, 2, 2, seed=9)), dim=2)
    before, after = model.rollout(z, one), model.rollout(z, other)
    torch.testing.assert_close(before[:, :, :2], after[:, :, :2])
    assert not torch.equal(before[:, :, 2], after[:, :, 2])


@torch.no_grad()
@family
def test_frames_are_predicted_one_by_one(config: WorldModelConfig) -> None:
    model = seeing_proprio(config)
    z, actions, proprio = model.encode(pictures(2, 3)), blocks(2, 3), randoms(2, 3, Q)
    together, known = model.predict(z, actions, proprio)
    alone, known_alone = model.predict(z[:, 1:2], actions[:, 1:2], proprio[:, 1:2])
    assert known is not None
    assert known_alone is not None
    assert known.shape == (2, 3, Q)
    torch.testing.assert_close(together[:, 1:2], alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(known[:, 1:2], known_alone, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@family
def test_proprio_is_seen(config: WorldModelConfig) -> None:
    model = seeing_proprio(config)
    z, actions = model.encode(pictures(1, 1)), blocks(1, 1)
    one, _ = model.predict(z, actions, randoms(1, 1, Q))
    other, _ = model.predict(z, actions, randoms(1, 1, Q, seed=1))
    assert not torch.allclose(one, other)


@torch.no_grad()
@pytest.mark.parametrize("name", [name for name in FAMILY if name not in {"direct", "pixel"}])
def test_an_untrained_residual_step_predicts_that_nothing_moves(name: str) -> None:
    model = built(replace(FAMILY[name], proprio_dim=Q), stirred=False)
    z, proprio = model.encode(pictures(2, 1)), randoms(2, 1, Q)
    z_next, known = model.predict(z, blocks(2, 1), proprio)
    assert known is not None
    assert torch.equal(z_next, z)
    assert torch.equal(known, proprio)


@torch.no_grad()
@pytest.mark.parametrize("name", ["affine", "affine grid"])
def test_an_affine_step_keeps_what_lies_between_two_states_between_them(name: str) -> None:
    """f(w s + (1 - w) t) = w f(s) + (1 - w) f(t) for one action block; a perceptron bends."""

    def bend(config: WorldModelConfig) -> float:
        model = seeing_proprio(config)
        shape = (1, 1, model.patches, model.latent_dim)
        s, t, q, r = randoms(*shape), randoms(*shape, seed=1), randoms(1, 1, Q), randoms(1, 1, Q)
        action = blocks(1, 1)
        (at_s, _), (at_t, _) = model.predict(s, action, q), model.predict(t, action, r)
        between, _ = model.predict(0.3 * s + 0.7 * t, action, 0.3 * q + 0.7 * r)
        return float((between - 0.3 * at_s - 0.7 * at_t).abs().max())

    assert bend(FAMILY[name]) < 1e-5
    assert bend(replace(FAMILY[name], predictor="residual")) > 1e-3


@torch.no_grad()
def test_tokens_exchange_in_the_grid_predictor_and_only_there() -> None:
    for predictor, exchange in (("grid", True), ("residual", False), ("affine", False)):
        model = built(replace(GRID, predictor=predictor))
        z = randoms(1, 1, model.patches, model.latent_dim)
        other = z.clone()
        other[:, :, 0] += 1.0
        one, _ = model.predict(z, blocks(1, 1))
        two, _ = model.predict(other, blocks(1, 1))
        assert torch.allclose(one[:, :, -1], two[:, :, -1]) is not exchange


@torch.no_grad()
def test_a_token_of_the_grid_sees_its_own_part_of_the_picture() -> None:
    model, before = built(GRID), pictures(1, 1)
    after = before.clone()
    after[..., 16:, 16:] = 0
    one, two = model.encode(before)[0, 0], model.encode(after)[0, 0]
    assert torch.equal(one[0], two[0])
    assert not torch.allclose(one[3], two[3])


@torch.no_grad()
def test_a_token_that_only_says_where_it_is_has_no_variance() -> None:
    """Equal pictures, different cells: whatever tells the cells apart is normalised away."""
    model = built(GRID).train()
    z = model.encode(pictures(1, 1).expand(8, 1, -1, -1, -1))
    assert z.abs().max() < 1e-2


@torch.no_grad()
def test_pixels_come_back_exactly() -> None:
    frames = pictures(3, 1)
    z = built(PIXEL).encode(frames)
    assert z.shape == (3, 1, 1, 3 * 32 * 32)
    assert z.abs().max() <= 1.0
    assert torch.equal(to_pictures(z[:, 0], 32), frames[:, 0])


@torch.no_grad()
def test_pictures_stay_pictures_however_often_they_are_fed_back() -> None:
    model = built(PIXEL)
    for parameter in model.predictor.parameters():
        parameter.mul_(3.0)
    imagined = model.rollout(model.encode(pictures(1, 1)), blocks(1, 2, 20))
    assert imagined.abs().max() <= 1.0


@torch.no_grad()
def test_the_pixel_predictor_keeps_what_its_mask_leaves_and_draws_the_rest() -> None:
    torch.manual_seed(0)
    predictor = PixelPredictor(32, 6, stem=4, width=8, depth=1)
    z = 2 * torch.rand(1, 1, 1, 3 * 32 * 32) - 1
    for logit, share in ((-50.0, 0.0), (MOSTLY_OLD, 0.5), (50.0, 1.0)):
        predictor.upsampler.last.weight.zero_()
        predictor.upsampler.last.bias.copy_(torch.tensor([9.0, 9.0, 9.0, logit]).repeat(16))
        drawn, _ = predictor(z, blocks(1, 1))
        torch.testing.assert_close(drawn, (1 - share) * z + share, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_standardised_encoder_sees_neither_brightness_nor_tint() -> None:
    seen = pictures(3, 1) // 5 + 20
    tinted = seen * torch.tensor([3, 2, 1], dtype=torch.uint8)[:, None, None] + 7
    other = seen.roll(8, dims=-1)
    standardised, plain = (built(replace(POOLED, standardise=given)) for given in (True, False))
    shift, turn = (
        [
            (model.encode(seen) - model.encode(changed)).abs().mean()
            for model in (standardised, plain)
        ]
        for changed in (tinted, other)
    )
    assert shift[0] < 0.02 * turn[0]
    assert shift[1] > 0.2 * turn[1]
    flat = torch.full_like(seen, 200)
    torch.testing.assert_close(
        standardised.encode(flat), standardised.encode(flat // 2), rtol=0, atol=1e-3
    )


def test_a_model_without_an_inverse_head_says_so() -> None:
    model = built(replace(POOLED, inverse=False))
    assert not any(name.startswith("inverse") for name in model.state_dict())
    z = torch.zeros(1, 1, model.latent_dim)
    with pytest.raises(ValueError, match=r"no inverse head; give it --model\.inverse true"):
        model.recover_actions(z, z)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": "pixels"}, "encoder pixels needs predictor pixel and no inverse head"),
        ({"encoder": "pixels", "predictor": "pixel"}, "--model.inverse false"),
        ({"predictor": "pixel"}, "predictor pixel draws pictures; it needs --model.encoder pixels"),
        ({"predictor": "affine", "context": 2}, "predictor affine sees the present frame only"),
        ({"encoder": "conv-grid", "standardise": True}, "standardise is for encoder conv"),
        ({"encoder": "conv-grid", "image_size": 40}, "multiple of 16, got 40"),
    ],
)
def test_parts_that_do_not_fit_are_refused_with_the_way_out(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        WorldModel(replace(POOLED, **changes))


@torch.no_grad()
@family
def test_a_checkpoint_gives_the_same_model_back(config: WorldModelConfig, tmp_path: Path) -> None:
    model = seeing_proprio(config)
    save_checkpoint(tmp_path / "model", model, {})
    loaded = load_checkpoint(tmp_path / "model").model
    assert isinstance(loaded, WorldModel)
    assert loaded.config == model.config
    z, plan, proprio = model.encode(pictures(1, 1)), blocks(1, 2, 2), randoms(1, 1, Q)
    assert torch.equal(loaded.encode(pictures(1, 1)), z)
    assert torch.equal(
        loaded.rollout(z, plan, proprio=proprio), model.rollout(z, plan, proprio=proprio)
    )


@torch.no_grad()
@pytest.mark.parametrize("patches", [1, 3, 16])
def test_a_decoder_is_the_same_after_saving_and_belongs_to_one_checkpoint(
    patches: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    decoder = Decoder(DecoderShape(patches=patches, dim=5, image_size=32, width=4))
    torch.nn.init.normal_(decoder.upsampler.last.weight, std=10.0)
    z = randoms(2, 3, patches, 5)
    path = tmp_path / "decoder.safetensors"
    save_decoder(path, decoder, "a" * 64)
    drawn = load_decoder(path, "a" * 64).pictures(z)
    assert drawn.shape == (2, 3, 3, 32, 32)
    assert drawn.dtype == torch.uint8
    assert torch.equal(drawn, decoder.pictures(z))
    assert drawn.float().std() > 1.0
    with pytest.raises(CheckpointError, match="was trained for another checkpoint"):
        load_decoder(path, "b" * 64)
    path.write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="is not a decoder"):
        load_decoder(path, "a" * 64)
