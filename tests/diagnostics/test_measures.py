"""Collapse and drift on latents whose answer is known."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from goalsight.diagnostics import Latents, collapse, drift
from goalsight.diagnostics.collapse import usage_of
from goalsight.diagnostics.drift import bootstrap


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def latents(encoded: Tensor, imagined: Tensor | None = None, episodes: int = 10) -> Latents:
    """Latents without labels; a perfect imagination unless one is given."""
    guess = encoded[:, 1:] if imagined is None else imagined
    return Latents(encoded, guess, {}, torch.arange(len(encoded)) % episodes)


def test_latents_on_a_line_use_one_direction_and_are_collapsed() -> None:
    report = collapse(latents(noise(100, 3, 1, 1) * torch.ones(64)))
    assert report.encoded.effective_rank == pytest.approx(1.0, abs=1e-3)
    assert report.encoded.directions_for_90 == 1
    assert report.encoded.std == pytest.approx([report.encoded.std[0]] * 64)
    assert report.collapsed
    assert "collapsed" in report.summary()


def test_isotropic_latents_use_every_direction() -> None:
    report = collapse(latents(noise(1000, 3, 1, 16)))
    assert report.encoded.rank_share > 0.98
    assert not report.collapsed
    assert "collapsed" not in report.summary()


def test_constant_latents_are_collapsed() -> None:
    assert collapse(latents(torch.ones(20, 3, 1, 8))).collapsed


def test_a_grid_that_only_knows_where_its_patches_are_is_collapsed() -> None:
    """Its tokens fill the space, yet every picture looks the same to it."""
    grid = noise(1, 1, 16, 8).expand(50, 3, 16, 8)
    assert collapse(latents(grid)).collapsed
    assert not collapse(latents(grid + 0.1 * noise(50, 3, 16, 8, seed=1))).collapsed


def test_the_imagined_latents_are_judged_beside_the_encoded() -> None:
    encoded = noise(500, 3, 1, 16)
    shrunk = encoded[:, 1:].mean(-1, keepdim=True).expand(-1, -1, -1, 16)
    report = collapse(latents(encoded, shrunk))
    assert report.imagined is not None
    assert report.imagined.effective_rank == pytest.approx(1.0, abs=1e-3)
    assert not report.collapsed


@pytest.mark.parametrize("width", [40, 400])
def test_latents_wider_than_the_batch_have_the_rank_of_what_they_hold(width: int) -> None:
    """One side of the Gram trick each: more rows than columns, and fewer."""
    basis, _ = torch.linalg.qr(noise(width, 5, seed=1))
    z = (noise(100, 5, seed=2) @ basis.T)[:, None]
    assert usage_of(z).effective_rank == pytest.approx(5.0, abs=0.2)


def test_a_perfect_prediction_drifts_nowhere_and_the_mean_is_worth_one() -> None:
    report = drift(latents(noise(400, 6, 2, 4)))
    assert report.blocks == (1, 2, 3, 4, 5)
    assert report.model == (0.0,) * 5
    assert report.mean == pytest.approx([1.0] * 5, abs=0.1)
    assert report.copy_last == pytest.approx([2.0] * 5, abs=0.2)  # two independent frames
    assert report.useful_blocks == 5


def test_a_model_in_which_nothing_moves_is_copy_last_and_of_no_use() -> None:
    encoded = noise(50, 6, 1, 8).cumsum(1)
    report = drift(latents(encoded, encoded[:, :1].expand(-1, 5, -1, -1)))
    assert report.model == report.copy_last
    assert report.useful_blocks == 0
    assert list(report.copy_last) == sorted(report.copy_last)


def test_a_model_is_useful_until_it_first_loses_to_a_baseline() -> None:
    encoded = noise(50, 4, 1, 8)
    off = torch.tensor([0.1, 9.0, 0.1])[:, None, None]
    assert drift(latents(encoded, encoded[:, 1:] + off)).useful_blocks == 1


@settings(max_examples=20)
@given(scale=st.floats(0.01, 100.0), shift=st.floats(-3, 3), seed=st.integers(0, 99))
def test_drift_does_not_care_about_units_origin_or_axes_of_the_latent(
    scale: float, shift: float, seed: int
) -> None:
    encoded, guess = noise(40, 4, 1, 6), noise(40, 3, 1, 6, seed=1)
    turn, _ = torch.linalg.qr(noise(6, 6, seed=seed))
    moved = [scale * (z @ turn) + scale * shift for z in (encoded, guess)]
    one, other = drift(latents(encoded, guess)), drift(latents(*moved))
    assert other.model == pytest.approx(one.model, rel=1e-3)
    assert other.copy_last == pytest.approx(one.copy_last, rel=1e-3)


def test_the_interval_knows_that_windows_of_an_episode_are_alike() -> None:
    """A hundred copies of four windows are four observations, not four hundred."""
    values = noise(4, 1).repeat_interleave(100, 0)
    alike = torch.arange(4).repeat_interleave(100)
    low, high = bootstrap(values, alike)
    low_if_alone, high_if_alone = bootstrap(values, torch.arange(400))
    assert low < values.mean() < high
    assert (high - low) > 5 * (high_if_alone - low_if_alone)


def test_the_interval_weighs_windows_and_not_episodes() -> None:
    """Nine windows of one episode and one of another: where all agree, so do the draws."""
    low, high = bootstrap(torch.ones(10, 1), torch.tensor([0] * 9 + [1]))
    assert (low.item(), high.item()) == (1.0, 1.0)


def test_a_drift_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 block"):
        drift(latents(noise(5, 1, 1, 4)))


def test_encoded_and_imagined_latents_are_ranked_on_equally_many() -> None:
    """Few rows find little rank: the same latents must not look richer for being more."""
    report = collapse(latents(noise(40, 9, 1, 256)))
    assert report.imagined is not None
    assert report.encoded.possible_rank == report.imagined.possible_rank == 39
    assert report.encoded.effective_rank == pytest.approx(report.imagined.effective_rank, rel=0.05)


def test_latents_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValueError, match=r"needs imagined \(4, 2, 1, 8\), got \(4, 3, 1, 8\)"):
        latents(noise(4, 3, 1, 8), noise(4, 3, 1, 8))
    with pytest.raises(ValueError, match=r"label 'x' must be \(4, 3, d\)"):
        Latents(noise(4, 3, 1, 8), noise(4, 2, 1, 8), {"x": noise(4, 2, 1)}, torch.arange(4))
