"""The action-conditioned transformer: causal, local in time, and the same planned as trained."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from goalsight.models import WorldModel, WorldModelConfig
from goalsight.models.action_predictor import TransformerPredictor, TransformerWidths
from goalsight.models.causal_block import rotate, turning
from goalsight.models.config import Conditioning

P, D, VALUES, Q = 4, 6, 4, 3
WIDTHS = TransformerWidths(width=32, depth=2)
KINDS = pytest.mark.parametrize("conditioning", ["tokens", "adaln"])
CONTEXTS = pytest.mark.parametrize("context", [1, 2, 3])


def seeded(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def predictor(
    conditioning: Conditioning = "tokens", context: int = 1, proprio_dim: int = Q
) -> TransformerPredictor:
    """Untrained it changes nothing by design: give every parameter some life."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = TransformerPredictor(
            P,
            D,
            VALUES,
            WIDTHS,
            context=context,
            proprio_dim=proprio_dim,
            conditioning=conditioning,
        )
        for parameter in made.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return made.eval()


def inputs(frames: int, batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    z, proprio = seeded(batch, frames, P, D), seeded(batch, frames, Q, seed=2)
    return z, seeded(batch, frames, 2, VALUES // 2, seed=1), proprio


def assert_same(one: Tensor, other: Tensor) -> None:
    """float32 sums in another order."""
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def far(one: Tensor, other: Tensor) -> bool:
    return not torch.allclose(one, other, atol=1e-3)


@KINDS
def test_an_untrained_predictor_says_that_nothing_moves(conditioning: Conditioning) -> None:
    made = TransformerPredictor(
        P, D, VALUES, WIDTHS, context=2, proprio_dim=Q, conditioning=conditioning
    )
    z, actions, proprio = inputs(4)
    z_next, proprio_next = made(z, actions, proprio)
    assert torch.equal(z_next, z)
    assert proprio_next is not None
    assert torch.equal(proprio_next, proprio)


@torch.no_grad()
@KINDS
@CONTEXTS
def test_each_frame_sees_itself_and_context_minus_one_frames_before_and_no_other(
    conditioning: Conditioning, context: int
) -> None:
    """Of each input: change it at one frame, and see which predictions change."""
    made, frames, at = predictor(conditioning, context), 6, 2
    given_inputs = inputs(frames)
    before = made(*given_inputs)
    for which in range(3):
        changed = [x.clone() for x in given_inputs]
        changed[which][:, at] += 1
        after = made(*changed)
        for one, other in zip(before, after, strict=True):
            reached = [far(one[:, t], other[:, t]) for t in range(frames)]
            assert reached == [at <= t < at + context for t in range(frames)]


@torch.no_grad()
@KINDS
@CONTEXTS
def test_a_window_of_the_history_gives_what_the_whole_history_gives(
    conditioning: Conditioning, context: int
) -> None:
    """Rotary time: where a history begins does not matter."""
    made = predictor(conditioning, context)
    z, actions, proprio = inputs(6)
    whole, whole_proprio = made(z, actions, proprio)
    window = slice(5 - context, 5)
    part, part_proprio = made(z[:, window], actions[:, window], proprio[:, window])
    assert_same(part[:, -1], whole[:, 4])
    assert_same(part_proprio[:, -1], whole_proprio[:, 4])


@torch.no_grad()
@KINDS
def test_every_input_matters_and_patches_have_places(conditioning: Conditioning) -> None:
    made = predictor(conditioning)
    z, actions, proprio = inputs(1)
    base, _ = made(z, actions, proprio)
    assert far(made(z, -actions, proprio)[0], base)
    assert far(made(z, actions, -proprio)[0], base)
    swapped, _ = made(z.flip(2), actions, proprio)
    assert far(swapped.flip(2), base)


@torch.no_grad()
def test_leading_axes_are_independent_problems() -> None:
    made = predictor(context=2)
    z, actions, proprio = inputs(3, batch=6)
    flat, flat_proprio = made(z, actions, proprio)
    shaped = (x.reshape(2, 3, *x.shape[1:]) for x in (z, actions, proprio))
    z_next, proprio_next = made(*shaped)
    assert_same(z_next.flatten(0, 1), flat)
    assert_same(proprio_next.flatten(0, 1), flat_proprio)
    assert_same(made(z[:1], actions[:1], proprio[:1])[0], flat[:1])


@given(shift=st.integers(-20, 20), seed=st.integers(0, 1000))
@settings(max_examples=20)
def test_rotated_products_depend_on_the_difference_of_positions_alone(
    shift: int, seed: int
) -> None:
    q, k = seeded(1, 8, seed=seed), seeded(1, 8, seed=seed + 1)
    frequencies = torch.tensor([1.0, 0.3, 0.1])

    def product(at: float, other: float) -> Tensor:
        turned = [
            rotate(x, turning((p * frequencies)[None], 8), 3) for x, p in ((q, at), (k, other))
        ]
        return (turned[0] * turned[1]).sum()

    torch.testing.assert_close(product(5, 3), product(5 + shift, 3 + shift), atol=1e-4, rtol=1e-4)
    assert rotate(q, turning(frequencies[None], 8), 3)[0, -1] == q[0, -1]


def world(**changes: object) -> WorldModel:
    values = {
        "image_size": 32,
        "action_dim": 2,
        "frameskip": 2,
        "encoder": "conv",
        "predictor": "transformer",
        "proprio_dim": Q,
        "context": 3,
        **changes,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = WorldModel(WorldModelConfig(**values))  # type: ignore[arg-type]
        for parameter in model.predictor.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    model.proprio_mean.fill_(0.5)
    model.proprio_std.fill_(2.0)
    return model.eval()


@torch.no_grad()
@KINDS
def test_a_rollout_feeds_back_what_was_predicted_with_its_history(
    conditioning: Conditioning,
) -> None:
    """By hand: append prediction and block, look back three frames, step by step."""
    model = world(conditioning=conditioning)
    z, past, proprio = seeded(2, 3, 1, 64), seeded(2, 2, 2, 2, seed=1), seeded(2, 3, Q, seed=2)
    plans = seeded(2, 4, 5, 2, 2, seed=3)
    rolled = model.rollout(z, plans, past, proprio)
    for which in range(4):
        frames, blocks, known = z, past, proprio
        for step in range(5):
            blocks = torch.cat((blocks, plans[:, which, step : step + 1]), dim=1)
            z_next, known_next = model.predict(frames, blocks, known)
            assert known_next is not None
            assert_same(rolled[:, which, step], z_next[:, -1])
            frames = torch.cat((frames, z_next[:, -1:]), dim=1)[:, -3:]
            metric = known_next[:, -1:] * model.proprio_std + model.proprio_mean
            known, blocks = torch.cat((known, metric), dim=1)[:, -3:], blocks[:, -2:]


@torch.no_grad()
def test_history_changes_what_is_imagined_and_one_frame_is_enough() -> None:
    model = world(proprio_dim=0)
    z, past, plans = seeded(1, 3, 1, 64), seeded(1, 2, 2, 2, seed=1), seeded(1, 2, 3, 2, 2, seed=3)
    alone = model.rollout(z[:, -1:], plans)
    assert far(model.rollout(z, plans, past), alone)
    assert_same(model.rollout(z, plans), alone)


@KINDS
def test_gradients_reach_every_parameter(conditioning: Conditioning) -> None:
    made = predictor(conditioning, context=2).train()
    z_next, proprio_next = made(*inputs(3))
    assert proprio_next is not None
    (z_next.square().mean() + proprio_next.square().mean()).backward()
    without = [n for n, p in made.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_tokens_that_are_no_square_are_refused() -> None:
    with pytest.raises(ValueError, match="square grid of patches, got 6"):
        TransformerPredictor(6, D, VALUES, WIDTHS)
