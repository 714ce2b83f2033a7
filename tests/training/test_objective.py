"""Losses and schedule on problems whose answers are known."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from goalsight.clip import Clip
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.training.objective import TERMS, ObjectiveConfig, world_model_losses
from goalsight.training.schedule import OptimiserConfig, learning_rate_scale, run_progress


def make_model() -> WorldModel:
    torch.manual_seed(0)
    return WorldModel(WorldModelConfig(image_size=32, action_dim=2, frameskip=2))


def clip(frames: int = 4, batch: int = 8) -> Clip:
    generator = torch.Generator().manual_seed(1)
    shape = (batch, frames, 3, 32, 32)
    return Clip(
        torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator),
        2 * torch.rand(batch, frames - 1, 2, 2, generator=generator) - 1,
        torch.zeros(batch, frames, 3),
    )


def losses(
    config: ObjectiveConfig, model: WorldModel | None = None, frames: int = 4
) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return world_model_losses(model or make_model(), clip(frames), config, generator)


def test_the_loss_is_the_weighted_sum_of_its_terms() -> None:
    config = ObjectiveConfig(rollout=0.5, sigreg=0.2)
    found = losses(config)
    total = sum(getattr(config, name) * found[name] for name in TERMS)
    torch.testing.assert_close(found["loss"], torch.as_tensor(total))
    assert set(found) == {"loss", *TERMS}


def test_every_part_of_the_model_learns_and_no_target_is_detached() -> None:
    model = make_model()
    with torch.no_grad():  # an untrained predictor's output layer is zero by design
        for parameter in model.parameters():
            parameter.add_(0.01)
    torch.autograd.backward(losses(ObjectiveConfig(), model)["loss"])
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    only = ObjectiveConfig(rollout=0, sigreg=0, inverse_encoded=0, inverse_predicted=0)
    model.zero_grad()
    torch.autograd.backward(losses(only, model)["loss"])
    gradients = [parameter.grad for parameter in model.encoder.parameters()]
    assert any(gradient is not None and gradient.any() for gradient in gradients)


def test_an_untrained_residual_model_predicts_that_nothing_moves() -> None:
    """So its one-step error is the distance of encoded neighbours."""
    model = make_model().eval()
    found = world_model_losses(model, clip(), ObjectiveConfig())
    with torch.no_grad():
        z = model.encode(clip().frames)
    torch.testing.assert_close(found["prediction"], (z[:, 1:] - z[:, :-1]).square().mean())
    torch.testing.assert_close(found["rollout"], (z[:, 2:] - z[:, :1]).square().mean())


def test_two_frames_have_no_rollout_and_one_is_refused() -> None:
    assert losses(ObjectiveConfig(), frames=2)["rollout"] == 0
    with pytest.raises(ValueError, match="at least 2 frames, got 1"):
        losses(ObjectiveConfig(), frames=1)


def test_directions_come_from_the_generator_alone() -> None:
    one, other = (losses(ObjectiveConfig())["loss"] for _ in range(2))
    assert torch.equal(one, other)


@pytest.mark.parametrize("values", [{"sigreg": -1.0}, {"rollout": math.nan}, {"sigreg_knots": 0}])
def test_a_weight_below_its_least_is_refused_by_name(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        ObjectiveConfig(**values)  # type: ignore[arg-type]


@given(step=st.integers(0, 1000), elapsed=st.floats(0, 500), limit=st.none() | st.floats(1, 400))
def test_progress_is_the_larger_share_and_stays_in_the_unit_interval(
    step: int, elapsed: float, limit: float | None
) -> None:
    progress = run_progress(step, 500, elapsed, limit)
    assert 0 <= progress <= 1
    assert progress >= min(1, step / 500)
    assert limit is None or progress >= min(1, elapsed / limit)
    assert run_progress(step, math.inf) == 0


def test_the_rate_warms_up_and_ends_at_zero_whichever_limit_ends_the_run() -> None:
    ramp = [learning_rate_scale(step, 0.0, 10) for step in range(10)]
    assert ramp == pytest.approx([(step + 1) / 10 for step in range(10)])
    for end in (run_progress(100, 100), run_progress(7, 100, 60.0, 60.0)):
        assert learning_rate_scale(100, end, 10) == pytest.approx(0)
    falling = [learning_rate_scale(100, share / 10, 10) for share in range(11)]
    assert falling == sorted(falling, reverse=True)


def test_an_impossible_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="lr must be above 0"):
        OptimiserConfig(lr=0)
