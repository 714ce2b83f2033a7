"""What keeps latents apart, what happens without it, and that somebody is told."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.callbacks import Timer
from torch import Tensor

from goalsight.checkpoint import load_checkpoint
from goalsight.clip import Clip
from goalsight.collapse import effective_rank
from goalsight.data import Dataset
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.training.module import (
    COLLAPSED_STEPS,
    CollapseAlarm,
    OptimiserConfig,
    collapse_monitor,
)
from goalsight.training.objective import (
    ObjectiveConfig,
    likely_cause,
    make_targets,
    world_model_losses,
)
from goalsight.training.run import TrainConfig, TrainingModule, train_model

KINDS = ("sigreg", "vicreg", "barlow", "ema", "infonce", "dino")
CONFIG = WorldModelConfig(image_size=32, action_dim=2, frameskip=2)
QUIET: dict[str, Any] = {"inverse_encoded": 0.0, "inverse_predicted": 0.0, "rollout": 0.0}
"""Weights that leave the anti-collapse term alone with the prediction."""


def draw(position: Tensor) -> Tensor:
    """(*B, 2) positions in [0, 1] to (*B, 3, 32, 32) uint8 pictures."""
    axis = torch.linspace(0, 1, 32)
    near = [((axis - place) * 4).square().neg().exp() for place in position[..., None].unbind(-2)]
    blob = near[0][..., :, None] * near[1][..., None, :]
    colours = torch.tensor([250.0, 150.0, 50.0])[:, None, None]
    return (blob[..., None, :, :] * colours).to(torch.uint8)


def moving_squares(batch: int, frames: int = 4, seed: int = 0) -> Clip:
    """Windows in which each action block moves the square by a tenth of its sum."""
    generator = torch.Generator().manual_seed(seed)
    actions = 2 * torch.rand(batch, frames - 1, 2, 2, generator=generator) - 1
    start = torch.rand(batch, 1, 2, generator=generator)
    moved = start + 0.1 * actions.sum(-2).cumsum(1)
    position = torch.cat((start, moved), dim=1)
    proprio = torch.cat((position, position.sum(-1, keepdim=True)), dim=-1)
    return Clip(draw(position), actions, proprio)


def trained(objective: ObjectiveConfig, steps: int, lr: float = 3e-3) -> WorldModel:
    """A model after a few steps on the toy world."""
    torch.manual_seed(0)
    model = WorldModel(CONFIG)
    targets = make_targets(model, objective)
    heads = [] if targets is None or targets.head is None else list(targets.head.parameters())
    optimiser = torch.optim.AdamW([*model.parameters(), *heads], lr=lr)
    for step in range(steps):
        generator = torch.Generator().manual_seed(step)
        clip = moving_squares(32, frames=2, seed=step)
        losses = world_model_losses(model, clip, objective, generator, targets)
        optimiser.zero_grad()
        torch.autograd.backward(losses["loss"])
        optimiser.step()
        if targets is not None:
            targets.follow(model.encoder)
    return model.eval()


def rank_of(model: WorldModel) -> float:
    with torch.no_grad():
        z = model.encode(moving_squares(128, frames=2, seed=99).frames)
    return effective_rank(z.flatten(0, 2)).item()


@pytest.fixture(scope="module")
def collapsed() -> float:
    """Rank of a model that is asked for predictions alone."""
    return rank_of(trained(ObjectiveConfig(anti_collapse="none", **QUIET), steps=60))


def test_prediction_alone_collapses(collapsed: float) -> None:
    torch.manual_seed(0)
    untrained = rank_of(WorldModel(CONFIG).train())
    assert collapsed < 5 < untrained


@pytest.mark.parametrize("kind", KINDS)
def test_every_objective_keeps_latents_apart(collapsed: float, kind: str) -> None:
    model = trained(ObjectiveConfig(anti_collapse=kind, **QUIET), steps=60)
    assert rank_of(model) > 1.5 * collapsed


class Watched(TrainingModule):
    """A module whose step and metrics a test sets."""

    step = 0

    @property
    def global_step(self) -> int:
        return self.step

    def at(self, step: int, share: float) -> TrainingModule:
        self.step = step
        self.metrics = {"collapse/rank_share": share, "collapse/effective_rank": 64 * share}
        return self


def watched(**objective: Any) -> Watched:
    config = ObjectiveConfig(**objective)
    return Watched(WorldModel(CONFIG), config, OptimiserConfig(), timer=Timer(), seed=0)


def test_a_lasting_collapse_is_reported_once_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    alarm, module = CollapseAlarm(), watched(anti_collapse="none")
    with caplog.at_level(logging.WARNING):
        for step in range(0, COLLAPSED_STEPS, 50):
            alarm.look(module.at(step, 0.02))
        assert not caplog.records
        for step in range(COLLAPSED_STEPS, 3 * COLLAPSED_STEPS, 50):
            alarm.look(module.at(step, 0.02))
    (record,) = caplog.records
    message = record.getMessage()
    assert "effective rank 1.3 of 64 since step 0" in message
    assert "anti_collapse none" in message
    assert "\n" not in message


def test_a_rank_that_recovers_is_no_collapse(caplog: pytest.LogCaptureFixture) -> None:
    alarm, module = CollapseAlarm(), watched()
    for step in range(0, 4 * COLLAPSED_STEPS, 50):
        alarm.look(module.at(step, 0.2 if step % 400 == 0 else 0.02))
    assert not caplog.records


@pytest.mark.parametrize("kind", [*KINDS, "none"])
def test_every_cause_names_a_flag_that_exists(kind: str) -> None:
    flag = likely_cause(ObjectiveConfig(anti_collapse=kind)).split("--objective.")[1].split()[0]
    assert hasattr(ObjectiveConfig(), flag)


def test_frozen_encoders_and_pixels_need_nothing_against_collapse() -> None:
    clip = moving_squares(4)
    frozen = WorldModelConfig(**{**vars(CONFIG), "freeze_encoder": True})
    module = TrainingModule(
        WorldModel(frozen),
        ObjectiveConfig(anti_collapse="dino"),
        OptimiserConfig(),
        timer=Timer(),
        seed=0,
    )
    assert module.targets is None
    assert collapse_monitor(module, clip) == {}
    found = world_model_losses(module.model, clip, module.objective)
    assert set(found) == {
        "loss",
        "prediction",
        "rollout",
        "inverse_encoded",
        "inverse_predicted",
    }


def test_the_target_encoder_follows_and_a_momentum_of_one_is_the_identity() -> None:
    for momentum, share in ((1.0, 0.0), (0.75, 0.25), (0.0, 1.0)):
        model = WorldModel(CONFIG)
        targets = make_targets(model, ObjectiveConfig(anti_collapse="ema", ema_momentum=momentum))
        assert targets is not None
        before = [parameter.clone() for parameter in model.encoder.parameters()]
        with torch.no_grad():
            for parameter in model.encoder.parameters():
                parameter.add_(1.0)
        targets.follow(model.encoder)
        for old, slow in zip(before, targets.encoder.parameters(), strict=True):
            torch.testing.assert_close(slow, old + share)


def test_no_gradient_reaches_a_target_and_the_centre_follows_in_training_only() -> None:
    model, objective = WorldModel(CONFIG), ObjectiveConfig(anti_collapse="dino")
    targets = make_targets(model, objective)
    assert targets is not None
    assert targets.head is not None
    torch.autograd.backward(
        world_model_losses(model, moving_squares(4), objective, None, targets)["loss"]
    )
    assert all(parameter.grad is not None for parameter in targets.head.parameters())
    fixed = [p for p in targets.parameters() if not p.requires_grad]
    assert len(fixed) > len(list(targets.head.parameters()))
    assert all(parameter.grad is None for parameter in fixed)
    centre = targets.centre.clone()
    assert centre.any()
    targets.eval()
    world_model_losses(model, moving_squares(4), objective, None, targets)
    assert torch.equal(targets.centre, centre)


def test_a_run_resumes_its_targets_and_leaves_them_out_of_the_checkpoint(
    dataset: Dataset, tmp_path: Path
) -> None:
    config = TrainConfig(model=CONFIG, objective=ObjectiveConfig(anti_collapse="dino"))
    trainer = {
        "max_steps": 3,
        "accelerator": "cpu",
        "precision": "32-true",
        "logger": False,
        "enable_progress_bar": False,
    }
    summary = train_model(dataset, tmp_path / "run", config, trainer=trainer)
    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["state_dict"]
    assert state["targets.centre"].any()
    assert any(name.startswith("targets.encoder.") for name in state)
    model = load_checkpoint(summary.checkpoint).model
    assert {f"model.{name}" for name in model.state_dict()} < set(state)
    assert not any("target" in name for name in model.state_dict())
