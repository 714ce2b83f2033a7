"""Behaviour as an objective: windows with goals, and an encoder that learns what actions need."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from goalsight.agent import Agent, AgentConfig
from goalsight.checkpoint import load_checkpoint
from goalsight.data import Dataset, Windows
from goalsight.errors import UserError
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.models.heads.actor import Actor
from goalsight.training.data import GoalWindows, WindowsConfig
from goalsight.training.objective import ObjectiveConfig, world_model_losses
from goalsight.training.run import TrainConfig, train_model

K = 2
BEHAVIOUR = ObjectiveConfig(behaviour=0.1)


def goals_of(dataset: Dataset, furthest: int = 12, seed: int = 0) -> GoalWindows:
    windows = Windows(dataset, range(len(dataset.episodes)), 4, K)
    return GoalWindows(windows, furthest, seed)


def test_a_goal_is_what_the_same_episode_showed_so_much_later(dataset: Dataset) -> None:
    windows = Windows(dataset, range(len(dataset.episodes)), 4, K)
    goals = GoalWindows(windows, 12, 0)
    clip = goals.__getitems__(list(range(len(goals))))
    assert clip.goal.shape == (len(goals), 1, 3, 32, 32)
    times = set()
    for i in range(len(goals)):
        episode, start = windows.locate(i)
        ahead = int(clip.time[i])
        shown = Windows(dataset, [episode], 1, 1).pictures(np.array([[start + ahead]]))
        assert torch.equal(shown[0], clip.goal[i])
        times.add(ahead)
    assert times == set(range(3 * K, 13))


def test_goals_are_drawn_anew_for_other_batches_and_alike_for_the_same(dataset: Dataset) -> None:
    goals = goals_of(dataset)
    one, again, other = (goals.__getitems__(rows) for rows in ([3, 4, 5], [3, 4, 5], [3, 4, 6]))
    assert torch.equal(one.time, again.time)
    assert not torch.equal(one.time[:2], other.time[:2])
    seeds = [goals_of(dataset, seed=seed).__getitems__(range(9)).time for seed in (0, 1)]
    assert not torch.equal(*seeds)


def model_with_actor() -> WorldModel:
    torch.manual_seed(0)
    heads: dict[str, Any] = {"actor": {"width": 16, "depth": 1, "furthest": 12}}
    return WorldModel(WorldModelConfig(image_size=32, action_dim=2, frameskip=K, heads=heads))


def test_its_gradient_reaches_the_encoder_and_its_weight_switches_it_off(dataset: Dataset) -> None:
    clip = goals_of(dataset).__getitems__(range(8))
    nothing = ObjectiveConfig(
        anti_collapse="none", prediction=0, rollout=0, inverse_encoded=0, inverse_predicted=0
    )
    model = model_with_actor()
    off = world_model_losses(model, clip, nothing)
    assert set(off) == {"loss"}
    on = world_model_losses(model, clip, replace(nothing, behaviour=0.5))
    assert on["loss"].item() == pytest.approx(0.5 * on["behaviour"].item())
    weights = list(model.encoder.parameters())
    assert all(bool(slope.any()) for slope in torch.autograd.grad(on["loss"], weights)[:2])


def test_every_frame_of_a_window_is_asked_with_the_time_that_it_has_left(dataset: Dataset) -> None:
    """The likelihood is that of the actor called frame by frame."""
    clip, model = goals_of(dataset).__getitems__(range(8)), model_with_actor().eval()
    found = world_model_losses(model, clip, BEHAVIOUR)["behaviour"]
    actor = model.heads["actor"]
    assert isinstance(actor, Actor)
    z, there = model.encode(clip.frames), model.encode(clip.goal)[:, 0]
    likely = [
        actor.log_prob(z[:, t], there, clip.time - K * t, clip.actions[:, t]) for t in range(3)
    ]
    assert found.item() == pytest.approx(-torch.stack(likely).mean().item() / (K * 2), rel=1e-4)


def run(dataset: Dataset, out: Path, *, steps: int = 4, **changes: Any) -> Path:
    model = WorldModelConfig(image_size=32, action_dim=2, frameskip=K, latent=24)
    windows = WindowsConfig(batch=8, validation=0.25, furthest=12)
    values: dict[str, Any] = {"model": model, "objective": BEHAVIOUR, "windows": windows}
    trainer = {
        "max_steps": steps,
        "accelerator": "cpu",
        "precision": "32-true",
        "logger": False,
        "enable_progress_bar": False,
    }
    config = TrainConfig(**{**values, **changes}, save_every_s=0.0)
    return train_model(dataset, out, config, trainer=trainer).checkpoint


def test_a_run_ends_with_an_actor_that_acts_on_latents_as_wide_as_asked_for(
    dataset: Dataset, tmp_path: Path
) -> None:
    checkpoint = run(dataset, tmp_path / "run")
    loaded = load_checkpoint(checkpoint)
    assert loaded.model.latent_dim == 24
    assert loaded.config.heads["actor"]["furthest"] == 12
    assert "validation/behaviour" in loaded.card["metrics"]
    agent = Agent.load(str(checkpoint), config=AgentConfig(mode="actor"))
    picture = np.full((32, 32, 3), 90, np.uint8)
    agent.reset(picture, 0)
    assert agent.act(picture, np.zeros(2, np.float32)).shape == (2,)


def test_the_card_says_that_somebody_demonstrated(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = run(dataset, tmp_path / "plain")
    assert load_checkpoint(plain).card["labels_used"] == []
    monkeypatch.setitem(vars(dataset.provenance), "policy", "expert")
    for name, objective, labels in (
        ("shown", BEHAVIOUR, ["scripted demonstrations"]),
        ("unseen", ObjectiveConfig(), []),
    ):
        checkpoint = run(dataset, tmp_path / name, objective=objective)
        assert load_checkpoint(checkpoint).card["labels_used"] == labels


def test_a_frozen_encoder_has_nothing_to_learn_from_it(dataset: Dataset, tmp_path: Path) -> None:
    frozen = WorldModelConfig(image_size=32, action_dim=2, frameskip=K, freeze_encoder=True)
    with pytest.raises(UserError, match="train an actor on the finished model instead"):
        run(dataset, tmp_path / "run", model=frozen)


def test_neither_a_goal_that_is_missing_nor_a_width_without_use_is_passed_over(
    dataset: Dataset,
) -> None:
    plain = Windows(dataset, [0], 4, K).__getitems__(range(4))
    with pytest.raises(ValueError, match="behaviour needs windows with goals"):
        world_model_losses(model_with_actor(), plain, BEHAVIOUR)
    with pytest.raises(ValueError, match="latent is the width of encoder conv"):
        WorldModel(WorldModelConfig(image_size=32, encoder="conv-grid", latent=24))
    with pytest.raises(ValueError, match="latent must not be negative"):
        WorldModelConfig(latent=-1)
