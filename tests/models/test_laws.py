"""Laws of world models, whatever they are made of."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from goalsight.collapse import effective_rank, smallest_std
from goalsight.models import SIZES, WorldModel, WorldModelConfig
from goalsight.training.objective import prediction_error, sigreg

CONFIG = WorldModelConfig(image_size=32, action_dim=3, frameskip=2)


def assert_equal_to_rounding(one: Tensor, other: Tensor) -> None:
    """float32 sums in another order."""
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def stir(model: WorldModel) -> WorldModel:
    """Untrained predictors change nothing by design: give every parameter some life."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@pytest.fixture(scope="module")
def model() -> WorldModel:
    torch.manual_seed(0)
    return stir(WorldModel(CONFIG))


def frames(*batch: int) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    shape = (*batch, 3, 32, 32)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def plans(*shape: int, seed: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(*shape, 2, 3, generator=generator) - 1


@torch.no_grad()
@pytest.mark.parametrize("size", sorted(SIZES))
def test_every_size_has_the_shapes_of_the_interface(size: str) -> None:
    config = WorldModelConfig(size=size, image_size=32, action_dim=3, frameskip=2)  # type: ignore[arg-type]
    any_model = WorldModel(config).eval()
    z = any_model.encode(frames(2, 4))
    patches, latent = z.shape[-2:]
    assert z.shape == (2, 4, patches, latent)
    assert z.dtype == torch.float32
    predicted, proprio = any_model.predict(z[:, :3], plans(2, 3))
    assert predicted.shape == (2, 3, patches, latent)
    assert proprio is None
    assert any_model.rollout(z[:, :1], plans(2, 5, 3)).shape == (2, 5, 3, patches, latent)
    assert any_model.recover_actions(z[:, 0], z[:, 1]).shape == (2, 2, 3)


@torch.no_grad()
@settings(max_examples=20, deadline=None)
@given(block=st.integers(0, 3), seed=st.integers(0, 2**16))
def test_a_future_action_cannot_change_an_earlier_prediction(
    model: WorldModel, block: int, seed: int
) -> None:
    context = model.encode(frames(1, 1))
    one = plans(1, 2, 4)
    other = one.clone()
    other[:, :, block] = plans(1, 2, seed=seed)
    before, after = model.rollout(context, one), model.rollout(context, other)
    torch.testing.assert_close(before[:, :, :block], after[:, :, :block])
    assert not torch.equal(before[:, :, block], after[:, :, block])


@torch.no_grad()
def test_a_rollout_is_the_repeated_step(model: WorldModel) -> None:
    z = model.encode(frames(2, 1))
    blocks = plans(2, 1, 4)
    rolled = model.rollout(z, blocks)[:, 0]
    now = z[:, -1:]
    for step, block in enumerate(blocks[:, 0].unbind(1)):
        now, _ = model.predict(now, block[:, None])
        assert_equal_to_rounding(rolled[:, step], now[:, 0])


@torch.no_grad()
def test_permuting_candidate_plans_permutes_their_predictions(model: WorldModel) -> None:
    z = model.encode(frames(1, 1))
    candidates = plans(1, 7, 3)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(0))
    assert_equal_to_rounding(
        model.rollout(z, candidates[:, order]), model.rollout(z, candidates)[:, order]
    )


@torch.no_grad()
def test_frames_are_encoded_alone(model: WorldModel) -> None:
    pictures = frames(3, 2)
    alone = torch.stack([model.encode(picture[None])[0] for picture in pictures.flatten(0, 1)])
    assert_equal_to_rounding(model.encode(pictures).flatten(0, 1), alone)


def test_pictures_of_another_size_are_refused_by_number(model: WorldModel) -> None:
    with pytest.raises(ValueError, match=r"sees pictures of \(3, 32, 32\), got \(3, 48, 48\)"):
        model.encode(torch.zeros(1, 1, 3, 48, 48, dtype=torch.uint8))


def gaussian(batch: int, dim: int) -> Tensor:
    return torch.randn(batch, dim, generator=torch.Generator().manual_seed(4))


def test_sigreg_is_near_its_floor_for_a_gaussian_and_large_for_a_collapsed_batch() -> None:
    """A Gaussian batch of any size expects the integral of (1 - phi^2) phi over [0, 3]: 0.53."""
    generator = torch.Generator().manual_seed(0)
    floor = sigreg(gaussian(256, 16), generator=generator)
    assert 0.3 < floor < 2.0
    line = gaussian(256, 1) * torch.ones(16)
    for collapsed in (torch.zeros(256, 16), line, 3 * gaussian(256, 16)):
        assert sigreg(collapsed, generator=generator) > 8 * floor


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_sigreg_does_not_care_about_the_order_of_a_batch(seed: int) -> None:
    z = gaussian(32, 8)
    order = torch.randperm(32, generator=torch.Generator().manual_seed(seed))
    one, other = (
        sigreg(rows, generator=torch.Generator().manual_seed(seed)) for rows in (z, z[order])
    )
    assert_equal_to_rounding(one, other)


@settings(max_examples=20, deadline=None)
@given(scale=st.floats(0.01, 100.0), shift=st.floats(-5, 5))
def test_effective_rank_ignores_scale_and_shift(scale: float, shift: float) -> None:
    z = gaussian(64, 6)
    torch.testing.assert_close(
        effective_rank(scale * z + shift), effective_rank(z), atol=1e-2, rtol=1e-2
    )


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_effective_rank_counts_dimensions(rank: int) -> None:
    q, _ = torch.linalg.qr(gaussian(64, rank + 1) - gaussian(64, rank + 1).mean(0))
    spread = q[:, :rank] - q[:, :rank].mean(0)
    u, _, v = torch.linalg.svd(spread, full_matrices=False)
    z = torch.nn.functional.pad(u @ v, (0, 2))
    assert effective_rank(z).item() == pytest.approx(rank, rel=1e-3)
    assert smallest_std(z).item() == 0.0


def test_prediction_error_is_zero_only_for_equal_latents() -> None:
    z = gaussian(4, 8)
    assert prediction_error(z, z) == 0
    assert prediction_error(z, z + 2).item() == pytest.approx(4.0)
