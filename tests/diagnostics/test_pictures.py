"""Landscape and similarity on models whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from goalsight.data import Dataset, Windows
from goalsight.diagnostics.context import compact, draw_clips, encode_frames, imagine_plans
from goalsight.diagnostics.energy import draw_landscape, energy_landscape, shifted_plans
from goalsight.diagnostics.similarity import (
    draw_similarity,
    grid_side,
    patch_similarity,
    principal_colours,
    similarity,
)
from goalsight.errors import UserError
from goalsight.models import WorldModel, WorldModelConfig

SIZE, SQUARE, BLOCK = 32, 8, 3
"""Side of the picture, side of the square of light in it [pixels], control steps of a block."""


@pytest.fixture(scope="module")
def windows(squares: Dataset) -> Windows:
    return Windows(squares, range(4), frames=3, frameskip=BLOCK, size=SIZE)


class Knows(WorldModel):
    """Sees where the square is, to a pixel, and knows how actions move it."""

    def __init__(self) -> None:
        super().__init__(WorldModelConfig(image_size=SIZE, action_dim=2, frameskip=BLOCK))

    def encode(self, frames: Tensor) -> Tensor:
        lit = (frames.amax(-3) > 60).float()
        places = torch.arange(SIZE)
        x = (lit.amax(-2) * places).sum(-1) / lit.amax(-2).sum(-1)
        y = (lit.amax(-1) * places).sum(-1) / lit.amax(-1).sum(-1)
        corner = torch.stack((x, y), -1) - (SQUARE - 1) / 2
        return (corner / (SIZE - SQUARE))[..., None, :]

    def rollout(
        self,
        context: Tensor,
        plans: Tensor,
        past: Tensor | None = None,
        proprio: Tensor | None = None,
    ) -> Tensor:
        moved = 0.1 * plans.sum(-2).cumsum(-2)
        return (context[..., -1:, :, :].unsqueeze(-4) + moved[..., None, :]).clamp(0, 1)


class Blind(Knows):
    """Believes that nothing ever moves."""

    def rollout(
        self,
        context: Tensor,
        plans: Tensor,
        past: Tensor | None = None,
        proprio: Tensor | None = None,
    ) -> Tensor:
        still = context[..., -1:, :, :].unsqueeze(-4)
        return still.expand(*plans.shape[:-2], 1, 2)


class Patches(Knows):
    """A token grid: every patch of 8 x 8 pixels is its own token."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = 16

    def encode(self, frames: Tensor) -> Tensor:
        cut = frames.float().unfold(-2, 8, 8).unfold(-2, 8, 8)  # *B T C h w 8 8
        return cut.movedim(-5, -3).flatten(-3).flatten(-3, -2) - 30.0


def test_who_knows_the_dynamics_finds_the_recorded_action_in_the_valley(windows: Windows) -> None:
    report = energy_landscape(Knows().eval(), windows, count=40, grid=21)
    assert report.axes == ("dx", "dy")
    assert report.energies.shape == (40, 21, 21)
    # A pixel is 1/24 of the table and a block moves 0.3: 0.14 action units to tell apart at best.
    assert report.error < 0.25 < report.chance_error
    assert min(report.correlation) > 0.9
    assert report.better_than_recorded < 0.05


def test_the_valley_is_where_the_true_action_is_and_axes_are_not_swapped(windows: Windows) -> None:
    one = energy_landscape(Knows().eval(), windows, axes=("dx", "dy"), count=10)
    other = energy_landscape(Knows().eval(), windows, axes=("dy", "dx"), count=10)
    np.testing.assert_allclose(one.energies, other.energies.transpose(0, 2, 1), atol=1e-6)
    np.testing.assert_allclose(one.recorded, other.recorded[:, ::-1])


def test_a_model_blind_to_actions_scores_as_chance_does(windows: Windows) -> None:
    report = energy_landscape(Blind().eval(), windows, count=20)
    assert report.error == pytest.approx(report.chance_error)
    assert report.better_than_recorded == pytest.approx(0.5)
    assert report.correlation == (0.0, 0.0)


def test_moving_a_block_keeps_how_it_varies_and_stays_in_bounds() -> None:
    blocks = torch.tensor([[[[0.1, 0.5], [0.3, 0.5]]]])
    plans = shifted_plans(blocks, [0, 1], torch.tensor([-1.0, 0.0]))
    assert plans.shape == (1, 4, 1, 2, 2)
    torch.testing.assert_close(plans[0, 3, 0], torch.tensor([[-0.1, 0.0], [0.1, 0.0]]))
    assert plans.min() >= -1


@pytest.fixture(scope="module")
def looks_back() -> WorldModel:
    """A real model that sees two frames and proprio, with weights that make it do something."""
    config = WorldModelConfig(
        image_size=SIZE,
        action_dim=2,
        frameskip=BLOCK,
        predictor="transformer",
        context=2,
        proprio_dim=3,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = WorldModel(config).eval()
        for weights in model.predictor.parameters():  # an untrained one predicts no change
            torch.nn.init.normal_(weights, std=0.05)
    return model


@torch.no_grad()
def test_one_imagined_block_is_the_teacher_forced_prediction(
    windows: Windows, looks_back: WorldModel
) -> None:
    """With the history a model looks back at: frames, the blocks between them, and proprio."""
    clip = draw_clips(looks_back, windows, 5, seed=0)
    z = encode_frames(looks_back, clip.frames)
    forced, _ = looks_back.predict(z[:, :2], clip.actions, clip.proprio[:, :2])
    imagined = imagine_plans(looks_back, z, clip, 1, clip.actions[:, None, 1:2])
    torch.testing.assert_close(imagined[:, 0, 0], forced[:, 1], rtol=1e-4, atol=1e-5)
    assert (forced[:, 1] - z[:, 1]).abs().max() > 1e-3


def test_models_that_look_back_can_be_asked_the_same(
    windows: Windows, looks_back: WorldModel
) -> None:
    energies = energy_landscape(looks_back, windows, count=2, grid=3).energies
    assert np.ptp(energies) > 0


@pytest.mark.parametrize("axes", [("dx", "dx"), ("dx", "dw")])
def test_a_landscape_over_axes_that_do_not_exist_is_refused(
    windows: Windows, axes: tuple[str, str]
) -> None:
    with pytest.raises(UserError, match="two different action axes out of dx, dy"):
        energy_landscape(Knows(), windows, axes=axes)


def test_windows_too_short_for_the_horizon_are_refused(windows: Windows) -> None:
    with pytest.raises(UserError, match="windows of 6 frames, got 3"):
        energy_landscape(Knows(), windows, horizon=5)


def test_a_patch_is_like_itself_and_unlike_what_is_orthogonal_to_it() -> None:
    z = torch.eye(9)[None].repeat(2, 1, 1)
    maps = patch_similarity(z, (1, 2))
    expected = torch.zeros(2, 3, 3)
    expected[:, 1, 2] = 1.0
    torch.testing.assert_close(maps, expected)
    torch.testing.assert_close(patch_similarity(5 * z, (1, 2)), expected)  # a cosine has no scale


def test_the_colours_of_vectors_on_a_line_are_one_component() -> None:
    line = torch.arange(10.0)[:, None] * torch.tensor([1.0, 2.0, 3.0, 4.0])
    colours, explained = principal_colours(line)
    assert explained == pytest.approx((1.0, 0.0, 0.0), abs=1e-6)
    assert colours.shape == (10, 3)
    assert colours[:, 0].tolist() == sorted(colours[:, 0].tolist())
    assert colours[0, 0].item() == 0.0
    assert colours[-1, 0].item() == 1.0


def test_two_dimensions_still_make_three_colours() -> None:
    colours, explained = principal_colours(torch.randn(4, 5, 2))
    assert colours.shape == (4, 5, 3)
    assert len(explained) == 2


def test_a_pooled_latent_has_no_patches_to_compare(squares: Dataset) -> None:
    model = WorldModel(WorldModelConfig(image_size=SIZE, action_dim=2)).eval()
    with pytest.raises(UserError, match="one latent a picture and no patches"):
        similarity(model, squares, 1, frames=3)


def test_a_token_grid_is_asked_about_what_stands_out_in_its_first_frame(squares: Dataset) -> None:
    report = similarity(Patches(), squares, 0, frames=4)
    assert report.maps.shape == (4, 4, 4)
    assert report.colours.shape == (4, 4, 4, 3)
    ground = (report.pictures.reshape(4, 4, 8, 4, 8, 3) == 30).all((2, 4, 5))
    assert not ground[(0, *report.patch)]  # some of the light is there
    given = similarity(Patches(), squares, 0, frames=4, patch=(3, 1))
    assert given.patch == (3, 1)


@pytest.mark.parametrize(
    ("patch", "episode", "message"),
    [((4, 0), 0, "from 0 to 3"), (None, 9, "from 0 to 3"), ((-1, 0), 0, "no patch")],
)
def test_a_patch_or_an_episode_that_is_not_there_is_refused(
    squares: Dataset, patch: tuple[int, int] | None, episode: int, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        similarity(Patches(), squares, episode, patch=patch)


def test_tokens_that_form_no_square_are_refused() -> None:
    assert grid_side(49) == 7
    with pytest.raises(UserError, match="17 tokens form no square"):
        grid_side(17)


def test_compact_numbers_keep_five_digits() -> None:
    assert compact(np.array([123456.0, 0.000123456, 0.0, -1.0])) == [123460.0, 0.00012346, 0, -1]


def test_the_figures_of_few_moments_can_be_drawn(windows: Windows, squares: Dataset) -> None:
    model = Knows().eval()
    assert len(draw_landscape(energy_landscape(model, windows, count=2, grid=3)).axes) == 8
    assert draw_similarity(similarity(Patches(), squares, 0, frames=2)).axes
