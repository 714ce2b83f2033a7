"""Losses and schedule on problems whose answers are known."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from goalsight.clip import Clip
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.models.predictor import ResidualPredictor
from goalsight.training.module import OptimiserConfig, learning_rate_scale, run_progress
from goalsight.training.objective import ObjectiveConfig, make_targets, world_model_losses
from goalsight.training.run import TrainConfig

TERMS = ("prediction", "rollout", "sigreg", "inverse_encoded", "inverse_predicted")
"""Of the default objective."""

ADDED: dict[str, set[str]] = {
    "sigreg": {"sigreg"},
    "vicreg": {"variance", "covariance"},
    "barlow": {"barlow"},
    "infonce": {"infonce"},
    "dino": {"dino"},
    "ema": set(),
    "none": set(),
}


def make_model(**changes: Any) -> WorldModel:
    torch.manual_seed(0)
    return WorldModel(WorldModelConfig(image_size=32, action_dim=2, frameskip=2, **changes))


def clip(frames: int = 4, batch: int = 8) -> Clip:
    generator = torch.Generator().manual_seed(1)
    shape = (batch, frames, 3, 32, 32)
    return Clip(
        torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator),
        2 * torch.rand(batch, frames - 1, 2, 2, generator=generator) - 1,
        torch.randn(batch, frames, 3, generator=generator),
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


@pytest.mark.parametrize("kind", sorted(ADDED))
def test_each_objective_adds_its_own_terms_and_no_other(kind: str) -> None:
    config = ObjectiveConfig(anti_collapse=kind, straightening=0.1)
    model = make_model()
    found = world_model_losses(model, clip(), config, None, make_targets(model, config))
    assert set(found) == {"loss", "straightening", *ADDED[kind], *TERMS} - (
        {"sigreg"} - ADDED[kind]
    )
    assert all(term.isfinite() for term in found.values())


def test_a_weight_of_zero_is_not_even_computed() -> None:
    config = ObjectiveConfig(
        anti_collapse="none", rollout=0, inverse_encoded=0, inverse_predicted=0
    )
    found = losses(config)
    assert set(found) == {"loss", "prediction"}
    assert found["loss"] == found["prediction"]


def test_rollout_steps_are_counted_from_the_first_frame() -> None:
    """An untrained residual model stays where it is, so each step's error is known."""
    model = make_model().eval()
    with torch.no_grad():
        z = model.encode(clip(5).frames)
    for steps in (2, 3, 4):
        found = losses(ObjectiveConfig(rollout_steps=steps), model, frames=5)["rollout"]
        torch.testing.assert_close(found, (z[:, 2 : steps + 1] - z[:, :1]).square().mean())
    assert "rollout" not in losses(ObjectiveConfig(rollout_steps=1), model)


def test_targets_of_a_target_encoder_take_no_gradient() -> None:
    """With a target encoder, the prediction's gradient reaches the encoder by its input alone."""
    only: dict[str, Any] = {"rollout": 0.0, "inverse_encoded": 0.0, "inverse_predicted": 0.0}
    config = ObjectiveConfig(anti_collapse="ema", **only)
    model = make_model()
    assert isinstance(model.predictor, ResidualPredictor)
    targets = make_targets(model, config)
    assert targets is not None
    targets.encoder.eval()
    model.eval()
    gradients = []
    for towards in (targets, None):
        model.zero_grad()
        kind = config if towards else ObjectiveConfig(anti_collapse="none", **only)
        found = world_model_losses(model, clip(), kind, None, towards)
        torch.autograd.backward(found["loss"])
        stem = next(model.encoder.parameters()).grad
        assert stem is not None
        gradients.append((found["loss"].detach(), stem.clone()))
    (with_targets, one), (without, other) = gradients
    torch.testing.assert_close(with_targets, without)
    assert not torch.allclose(one, other, rtol=0.1)


def test_a_model_that_sees_proprio_learns_to_predict_it() -> None:
    """Untrained, it predicts that proprio stays as it is."""
    model = make_model(proprio_dim=3).eval()
    model.proprio_mean.fill_(1.0)
    model.proprio_std.fill_(2.0)
    found = losses(ObjectiveConfig(), model)
    change = clip().proprio.diff(dim=1) / 2.0
    torch.testing.assert_close(found["proprio"], change.square().mean())
    assert "proprio" not in losses(ObjectiveConfig(proprio=0), model)
    assert "proprio" not in losses(ObjectiveConfig())


def test_v_jepas_error_is_absolute_and_on_normalised_targets() -> None:
    model = make_model().eval()
    config = ObjectiveConfig(distance="l1", normalise_targets=True)
    with torch.no_grad():
        z = model.encode(clip().frames)
    goal = torch.nn.functional.layer_norm(z[:, 1:], z.shape[-1:])
    torch.testing.assert_close(losses(config, model)["prediction"], (goal - z[:, :-1]).abs().mean())


def test_a_target_encoder_that_is_not_there_is_asked_for() -> None:
    with pytest.raises(ValueError, match=r"ema needs a target encoder; pass make_targets"):
        losses(ObjectiveConfig(anti_collapse="ema"))


def test_steps_that_no_window_has_and_actions_that_no_head_recovers_are_refused() -> None:
    model = WorldModelConfig(image_size=32)
    with pytest.raises(ValueError, match=r"rollout_steps 4 needs .*--windows.frames 5"):
        TrainConfig(model=model, objective=ObjectiveConfig(rollout_steps=4))
    with pytest.raises(ValueError, match=r"--objective\.inverse_encoded 0"):
        TrainConfig(model=WorldModelConfig(image_size=32, inverse=False))


def test_two_frames_have_no_rollout_and_one_is_refused() -> None:
    assert "rollout" not in losses(ObjectiveConfig(), frames=2)
    with pytest.raises(ValueError, match="at least 2 frames, got 1"):
        losses(ObjectiveConfig(), frames=1)


def test_directions_come_from_the_generator_alone() -> None:
    one, other = (losses(ObjectiveConfig())["loss"] for _ in range(2))
    assert torch.equal(one, other)


@pytest.mark.parametrize(
    "values",
    [
        {"sigreg": -1.0},
        {"rollout": math.nan},
        {"sigreg_knots": 0},
        {"rollout_steps": 5},
        {"ema_momentum": 1.5},
        {"anti_collapse": "hope"},
        {"distance": "l3"},
        {"dino": math.inf},
    ],
)
def test_a_value_out_of_its_range_is_refused_by_name(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        ObjectiveConfig(**values)


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
