"""Imagining with nothing done twice is imagining the plain way, in every precision and mode."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from goalsight.models import WorldModel, WorldModelConfig
from goalsight.models.action_predictor import TransformerPredictor
from goalsight.models.rollout import StepByStep

K, A, Q, SIZE = 2, 2, 3, 32
MADE_OF: dict[str, dict[str, Any]] = {
    "residual": {},
    "direct": {"predictor": "direct"},
    "affine": {"predictor": "affine"},
    "grid": {"encoder": "conv-grid", "predictor": "grid"},
    "residual on a grid": {"encoder": "conv-grid"},
    "pixel": {"encoder": "pixels", "predictor": "pixel", "inverse": False},
    **{
        f"transformer {conditioning} {context} {encoder}": {
            "predictor": "transformer",
            "conditioning": conditioning,
            "context": context,
            "encoder": encoder,
            "predictor_options": {"width": 48, "depth": 3, "heads": 2, "head": 12, "hidden": 40},
        }
        for conditioning in ("tokens", "adaln")
        for context in (1, 2, 3)
        for encoder in ("conv", "conv-grid")
    },
}


def seeded(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def world(made_of: str, *, proprio: bool = False) -> WorldModel:
    """Untrained it changes nothing by design: give every parameter some life."""
    config = WorldModelConfig(
        image_size=SIZE, action_dim=A, frameskip=K, proprio_dim=Q * proprio, **MADE_OF[made_of]
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = WorldModel(config)
        for parameter in model.predictor.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    if proprio:
        model.proprio_mean.fill_(0.5)
        model.proprio_std.fill_(2.0)
    return model.eval()


def history(model: WorldModel, frames: int, batch: int = 2) -> tuple[Tensor, Tensor, Tensor | None]:
    z = seeded(batch, frames, model.patches, model.latent_dim)
    if model.config.encoder == "pixels":
        z = z.tanh()
    proprio = seeded(batch, frames, Q, seed=2) if model.config.proprio_dim else None
    return z, seeded(batch, frames - 1, K, A, seed=1), proprio


def plans(count: int = 4, horizon: int = 5, batch: int = 2, seed: int = 3) -> Tensor:
    return seeded(batch, count, horizon, K, A, seed=seed)


def plainly(model: WorldModel, z: Tensor, past: Tensor, proprio: Tensor | None) -> StepByStep:
    seen = min(model.predictor.context, z.shape[1])
    known = model.standardise(proprio)
    return StepByStep(
        model.predictor,
        z[:, -seen:],
        past[:, 1 - seen :] if seen > 1 else None,
        None if known is None else known[:, -seen:],
    )


def assert_same(one: Tensor, other: Tensor) -> None:
    """float32 sums in another order."""
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("proprio", [False, True])
@pytest.mark.parametrize("made_of", MADE_OF)
def test_nothing_done_twice_equals_everything_from_scratch(made_of: str, proprio: bool) -> None:
    """For histories shorter than, as long as and longer than what the model looks back."""
    model = world(made_of, proprio=proprio)
    for frames in range(1, model.predictor.context + 2):
        given = history(model, frames)
        imagine = model.imagine(*given)
        candidates = plans()
        wanted = plainly(model, *given)(candidates)
        assert wanted.std(dim=1).amin() > 0  # the plans are told apart
        assert_same(imagine(candidates), wanted)
        assert_same(imagine(plans(3, 2, seed=4)), plainly(model, *given)(plans(3, 2, seed=4)))
        assert_same(imagine(candidates), model.rollout(given[0], candidates, *given[1:]))


@torch.no_grad()
@pytest.mark.parametrize("conditioning", ["tokens", "adaln"])
def test_a_session_holds_for_its_history_and_for_no_other(conditioning: str) -> None:
    model = world(f"transformer {conditioning} 3 conv")
    z, past, _ = history(model, 3)
    here = model.imagine(z, past)(plans())
    for change in range(3):
        other = z.clone()
        other[:, change] += 1
        assert not torch.allclose(model.imagine(other, past)(plans()), here, atol=1e-3)
    assert not torch.allclose(model.imagine(z, past + 1)(plans()), here, atol=1e-3)
    assert torch.equal(model.imagine(z, past)(plans()), here)


@torch.no_grad()
def test_problems_without_a_batch_and_with_two_axes_of_it_are_the_same_problems() -> None:
    model = world("transformer tokens 2 conv", proprio=True)
    z, past, proprio = history(model, 2, batch=4)
    assert proprio is not None
    flat = model.imagine(z, past, proprio)(plans(batch=4))
    square = model.imagine(*(x.reshape(2, 2, *x.shape[1:]) for x in (z, past, proprio)))
    assert_same(square(plans(batch=4).reshape(2, 2, 4, 5, K, A)).flatten(0, 1), flat)
    assert_same(model.imagine(z[1], past[1], proprio[1])(plans(batch=4)[1]), flat[1])


@pytest.mark.parametrize("made_of", ["residual", "transformer adaln 3 conv-grid"])
def test_gradients_reach_plans_and_parameters(made_of: str) -> None:
    """Adam plans by them, and rollouts are trained."""
    model = world(made_of)
    candidates = plans().requires_grad_()
    loss = model.imagine(*history(model, 1)[:1])(candidates)[:, :, -1].square().sum()
    loss.backward()  # type: ignore[no-untyped-call]
    assert candidates.grad is not None
    assert candidates.grad.flatten(2).abs().amin(0).amin() > 0
    assert [name for name, p in model.predictor.named_parameters() if p.grad is None] == []


@torch.no_grad()
@pytest.mark.parametrize("made_of", ["residual", "transformer adaln 3 conv"])
def test_bfloat16_is_near_float32_and_latents_stay_float32(made_of: str) -> None:
    """Eight bits of mantissa: half a per cent a product, a few in a rollout."""
    model = world(made_of)
    given, candidates = history(model, 3)[:2], plans()
    exact = model.imagine(*given)(candidates)
    model.prepare(precision="bfloat16")
    rough = model.imagine(*given)(candidates)
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)
    moved = (exact - given[0][:, None, None, -1]).norm()
    assert (rough - exact).norm() < 0.05 * moved
    model.prepare()
    assert torch.equal(model.imagine(*given)(candidates), exact)


@torch.no_grad()
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what PyTorch's compiler says of PyTorch
@pytest.mark.parametrize("made_of", ["residual", "transformer adaln 3 conv"])
def test_compiled_is_the_same(made_of: str) -> None:
    model = world(made_of)
    given, candidates = history(model, 3)[:2], plans()
    wanted = model.imagine(*given)(candidates)
    model.prepare(compiled=True)
    imagine = model.imagine(*given)
    assert_same(imagine(candidates), wanted)
    assert_same(imagine(candidates + 1), plainly(model, *given, None)(candidates + 1))


def test_heads_need_not_fill_the_width() -> None:
    """LeWM's predictor: 192 wide, 16 heads of 64, a perceptron of 2048."""
    options = {"width": 192, "depth": 6, "heads": 16, "head": 64, "hidden": 2048}
    config = WorldModelConfig(
        size="base",
        image_size=SIZE,
        predictor="transformer",
        conditioning="adaln",
        context=3,
        predictor_options=options,
    )
    predictor = WorldModel(config).predictor
    assert isinstance(predictor, TransformerPredictor)
    block = predictor.layers[0]
    assert (len(predictor.layers), block.qkv.out_features) == (6, 3 * 1024)
    assert sum(p.numel() for p in predictor.blocks.parameters()) == pytest.approx(10.8e6, rel=0.01)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"predictor_options": {"depth": 2}}, "predictor_options are the transformer's"),
        (
            {"predictor": "transformer", "predictor_options": {"deep": 2}},
            "no predictor option 'deep'; there are: width, depth",
        ),
        (
            {"predictor": "transformer", "predictor_options": {"width": 50}},
            "width must be a multiple of head, got 50 and 32",
        ),
        (
            {"predictor": "transformer", "predictor_options": {"head": 4}},
            "head must be at least 6",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WorldModel(WorldModelConfig(image_size=SIZE, **changes))
