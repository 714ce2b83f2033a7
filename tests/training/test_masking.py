"""Masks part the tokens of a video in two, whatever is drawn."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from goalsight.masking import (
    FAMILIES,
    MaskFamily,
    Masks,
    context_weights,
    hidden_cells,
    sample_masks,
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(
    batch=st.integers(1, 5),
    depth=st.integers(1, 3),
    rows=st.integers(1, 7),
    columns=st.integers(2, 7),
    family=st.sampled_from(FAMILIES),
    seed=st.integers(0, 2**16),
)
def test_context_and_target_are_disjoint_and_complete(
    batch: int, depth: int, rows: int, columns: int, family: MaskFamily, seed: int
) -> None:
    masks = sample_masks(batch, (depth, rows, columns), family, seeded(seed))
    both = torch.cat((masks.context, masks.target), dim=1).sort(dim=1).values
    assert both.tolist() == [list(range(depth * rows * columns))] * batch
    assert masks.context.shape[1] > 0
    assert masks.target.shape[1] > 0
    for part in (masks.context, masks.target):
        assert torch.equal(part, part.sort(dim=1).values)


@given(family=st.sampled_from(FAMILIES), seed=st.integers(0, 2**16))
def test_a_patch_is_hidden_in_all_frames_or_in_none(family: MaskFamily, seed: int) -> None:
    masks = sample_masks(3, (4, 6, 6), family, seeded(seed))
    for part in (masks.context, masks.target):
        cells = part.reshape(3, 4, -1) % 36
        assert torch.equal(cells, cells[:, :1].expand_as(cells))


@given(seed=st.integers(0, 2**16))
def test_one_rectangle_hides_a_rectangle_of_its_area_and_aspect(seed: int) -> None:
    hidden = hidden_cells(1, 20, 20, MaskFamily(blocks=1, area=0.15), seeded(seed))[0]
    rows, columns = hidden.any(dim=1).sum().item(), hidden.any(dim=0).sum().item()
    assert hidden.sum() == rows * columns
    assert 0.12 < hidden.float().mean() < 0.18
    assert 0.65 < rows / columns < 1.7


def test_the_two_families_leave_what_v_jepa_leaves() -> None:
    """At 16 x 16 patches: 8 blocks of 15 % and 2 of 70 % hide about 75-90 % of a picture."""
    shares = [
        hidden_cells(256, 16, 16, family, seeded(0)).float().mean().item() for family in FAMILIES
    ]
    assert 0.6 < shares[0] < 0.85
    assert 0.8 < shares[1] < 0.95


def test_every_patch_can_be_hidden_and_seen() -> None:
    for family in FAMILIES:
        masks = sample_masks(256, (1, 4, 4), family, seeded(0))
        assert set(masks.context.flatten().tolist()) == set(range(16))
        assert set(masks.target.flatten().tolist()) == set(range(16))


def test_the_same_seed_draws_the_same_masks() -> None:
    one, same, other = (sample_masks(4, (2, 4, 4), FAMILIES[0], seeded(s)) for s in (0, 0, 1))
    assert torch.equal(one.context, same.context)
    assert one.context.shape != other.context.shape or not torch.equal(one.context, other.context)


def test_visible_tokens_count_less_the_farther_they_are_from_hidden_ones() -> None:
    masks = Masks(torch.tensor([[0, 1, 2, 4, 5, 6]]), torch.tensor([[3, 7]]))  # a row of 4, twice
    weights = context_weights(masks, (2, 1, 4))
    torch.testing.assert_close(weights, torch.tensor([[3.0, 2.0, 1.0] * 2]).rsqrt())


def test_a_picture_of_one_patch_cannot_be_parted() -> None:
    with pytest.raises(ValueError, match="use a smaller patch"):
        sample_masks(2, (4, 1, 1), FAMILIES[0], seeded(0))


@pytest.mark.parametrize(
    "values", [(0, 0.5, (1.0, 1.0)), (1, 1.0, (1.0, 1.0)), (1, 0.5, (2.0, 1.0))]
)
def test_masks_that_cannot_be_are_refused(values: tuple[int, float, tuple[float, float]]) -> None:
    blocks, area, aspect = values
    with pytest.raises(ValueError, match="a mask needs"):
        MaskFamily(blocks=blocks, area=area, aspect=aspect)
