"""Losses on batches whose answer is known."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from goalsight.losses import (
    barlow_twins,
    centred_teacher,
    covariance_penalty,
    curvature,
    distillation_loss,
    info_nce,
    variance_hinge,
)
from goalsight.training.objective import prediction_error

seeds = st.integers(0, 2**16)


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def white(rows: int, dim: int) -> Tensor:
    """A batch of uncorrelated dimensions of variance 1, exactly."""
    q, _ = torch.linalg.qr(gaussian(rows, dim + 1) - gaussian(rows, dim + 1).mean(0))
    centred = q[:, :dim] - q[:, :dim].mean(0)
    u, _, v = torch.linalg.svd(centred, full_matrices=False)
    exact: Tensor = u @ v * math.sqrt(rows - 1)
    return exact


LINE = gaussian(64, 1) * torch.ones(8)


def test_white_latents_cost_vicreg_nothing_and_collapsed_ones_do() -> None:
    z = white(64, 8)
    assert variance_hinge(z) < 1e-3
    assert covariance_penalty(z) < 1e-6
    assert variance_hinge(torch.ones(64, 8)).item() == pytest.approx(0.99, abs=1e-3)
    variance = LINE[:, 0].var().item()
    assert covariance_penalty(LINE).item() == pytest.approx(7 * variance**2, rel=1e-4)


def test_the_hinge_is_content_with_any_spread_above_its_least() -> None:
    assert variance_hinge(5 * white(64, 8)) == 0
    assert variance_hinge(0.5 * white(64, 8)).item() == pytest.approx(0.5, abs=1e-3)


def test_barlow_twins_wants_equal_views_of_uncorrelated_dimensions() -> None:
    z = white(64, 8)
    assert barlow_twins(z, z) < 1e-6
    assert barlow_twins(z, -z).item() == pytest.approx(4.0, rel=1e-3)
    assert barlow_twins(LINE, LINE, off_diagonal=0.5).item() == pytest.approx(3.5, rel=1e-2)


@settings(max_examples=20)
@given(seed=seeds, scale=st.floats(0.1, 10.0), shift=st.floats(-5.0, 5.0))
def test_barlow_twins_ignores_scale_and_shift(seed: int, scale: float, shift: float) -> None:
    one, other = gaussian(32, 4, seed=seed), gaussian(32, 4, seed=seed + 1)
    moved = barlow_twins(scale * one + shift, other)
    torch.testing.assert_close(moved, barlow_twins(one, other), atol=2e-2, rtol=2e-2)


def test_info_nce_is_log_n_when_all_look_alike_and_nothing_when_all_differ() -> None:
    assert info_nce(torch.ones(16, 4), torch.ones(16, 4)).item() == pytest.approx(math.log(16))
    apart = torch.eye(16)
    assert info_nce(apart, apart) < 1e-3
    assert info_nce(apart, apart.roll(1, 0)) > 9


@settings(max_examples=20)
@given(seed=seeds)
def test_info_nce_does_not_care_about_the_order_of_pairs(seed: int) -> None:
    one, other = gaussian(12, 4, seed=seed), gaussian(12, 4, seed=seed + 1)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(info_nce(one[order], other[order]), info_nce(one, other))


def test_a_teacher_is_centred_sharp_and_without_gradient() -> None:
    logits = gaussian(6, 5).requires_grad_()
    teacher = centred_teacher(logits, torch.zeros(5))
    assert not teacher.requires_grad
    torch.testing.assert_close(teacher.sum(-1), torch.ones(6))
    assert torch.equal(teacher.argmax(-1), logits.argmax(-1))
    assert teacher.max() > centred_teacher(logits, torch.zeros(5), temperature=1.0).max()
    favourite = torch.tensor([3.0, 0, 0, 0, 0])
    biased = centred_teacher(logits + favourite, favourite)
    torch.testing.assert_close(biased, teacher, atol=1e-4, rtol=1e-4)


def test_distillation_is_least_for_the_teachers_own_answer() -> None:
    logits = gaussian(6, 5)
    teacher = (logits / 0.1).softmax(-1)
    entropy = -(teacher * teacher.log()).sum(-1).mean()
    torch.testing.assert_close(distillation_loss(logits, teacher), entropy)
    assert distillation_loss(logits.flip(-1), teacher) > entropy


def test_curvature_tells_a_line_from_a_corner_and_a_walk_back() -> None:
    steps = 10.0 * torch.tensor([[0.0, 0], [1, 0], [2, 0]])
    corner = 10.0 * torch.tensor([[0.0, 0], [1, 0], [1, 1]])
    back = 10.0 * torch.tensor([[0.0, 0], [1, 0], [0, 0]])
    for z, bend in ((steps, 0.0), (corner, 1.0), (back, 2.0)):
        assert curvature(z).item() == pytest.approx(bend, abs=1e-3)


def test_what_stands_still_has_a_finite_gradient() -> None:
    z = torch.zeros(2, 4, 3, requires_grad=True)
    torch.autograd.backward(curvature(z))
    assert z.grad is not None
    assert z.grad.isfinite().all()


def test_l1_on_normalised_targets_is_zero_for_the_normalised_target_alone() -> None:
    target = 3 * gaussian(4, 16) + 7
    normal = torch.nn.functional.layer_norm(target, (16,))
    assert prediction_error(normal, target, "l1", normalise=True) == 0
    assert prediction_error(target, target, "l1", normalise=True) > 1
    assert prediction_error(target, target + 2, "l1").item() == pytest.approx(2.0)
    assert prediction_error(target, target + 2).item() == pytest.approx(4.0)


def test_what_cannot_be_a_batch_is_refused_by_shape() -> None:
    with pytest.raises(ValueError, match=r"B >= 2, got \(1, 4\)"):
        variance_hinge(torch.zeros(1, 4))
    with pytest.raises(ValueError, match=r"one shape, got \(4, 2\) and \(4, 3\)"):
        barlow_twins(torch.zeros(4, 2), torch.zeros(4, 3))
    with pytest.raises(ValueError, match=r"T >= 3, got \(2, 4\)"):
        curvature(torch.zeros(2, 4))
    with pytest.raises(ValueError, match="l2 or l1, got 'cosine'"):
        prediction_error(torch.zeros(1, 1), torch.zeros(1, 1), "cosine")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="temperature must be above 0"):
        info_nce(torch.zeros(2, 2), torch.zeros(2, 2), temperature=0)
