"""The temporal-distance head: blocks apart on a walk whose answer is known."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from goalsight.agent import AgentConfig
from goalsight.agent.config import CostConfig
from goalsight.agent.cost import PlanCost
from goalsight.checkpoint import load_checkpoint, save_checkpoint
from goalsight.cli.main import main
from goalsight.data import Dataset, open_dataset
from goalsight.data.collect import CollectConfig, Seeking, collect
from goalsight.errors import CheckpointError, DatasetError
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.models.heads.temporal_distance import TemporalDistance
from goalsight.training.distance import (
    DistanceConfig,
    draw_pairs,
    fit_distance,
    judge_distance,
)
from goalsight.training.heads import Experience, Sought, experience_of, sought_by

QUICK = DistanceConfig(blocks=6, width=64, steps=250, batch=128, rate=3e-3)


@pytest.fixture(scope="module")
def model() -> WorldModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return WorldModel(WorldModelConfig(image_size=32, action_dim=2, frameskip=4)).eval()


def walks(model: WorldModel, episodes: int = 6, length: int = 15) -> Experience:
    """Episode e walks along axis 0 from 0 up, at its own place on axis 1."""
    z = torch.zeros(episodes, length, model.patches, model.latent_dim)
    z[..., 0, 0] = torch.arange(length) / 3
    z[..., 0, 1] = torch.arange(episodes)[:, None].float()
    z[..., 0, 2:] = torch.randn(2, generator=torch.Generator().manual_seed(0)).mean()
    flat = z.flatten(0, 1)
    return Experience(
        latents=flat,
        imagined=flat + 0.02,
        left=torch.arange(length - 1, -1, -1).repeat(episodes),
        episode=torch.arange(episodes).repeat_interleave(length),
        blocks=torch.ones(len(flat), 4, 2),
    )


def test_on_a_walk_it_counts_the_blocks_and_knows_another_walk(model: WorldModel) -> None:
    head = fit_distance(model, walks(model), QUICK)
    found = judge_distance(head, walks(model), pairs=500)
    assert found["error_blocks"] < 0.6
    assert found["error_imagined_blocks"] < 0.8
    assert found["rank"] > 0.9
    assert found["never"] > 0.95


def test_moments_that_failed_to_reach_a_goal_count_as_far(model: WorldModel) -> None:
    """As near as two blocks on the walk, but on policy it never came to that."""
    seen = walks(model)
    rows = torch.arange(0, 8)
    failed = Sought(
        latents=seen.latents[rows], goals=seen.latents[rows + 2], blocks=torch.full((8,), torch.inf)
    )
    config = replace(QUICK, failures=0.5)
    trusting = fit_distance(model, seen, config)
    warned = fit_distance(model, seen, config, [failed])
    before = trusting.distance(failed.latents, failed.goals)
    after = warned.distance(failed.latents, failed.goals)
    assert before.mean() < 3
    assert after.mean() > before.mean() + 2


def test_pairs_are_labelled_by_the_blocks_between_them(model: WorldModel) -> None:
    seen = walks(model)
    config = replace(QUICK, batch=400, others=0.25, imagined=0.0)
    here, there, classes = draw_pairs(seen, [], config, torch.Generator().manual_seed(3))
    apart = 3 * (there - here)[:, 0, 0]
    same = here[:, 0, 1] == there[:, 0, 1]
    assert (~same).sum() > 50
    assert (classes[~same] == 7).all()
    assert torch.equal(classes[same], apart[same].round().long().clamp_max(7))


def test_the_same_seed_fits_the_same_head(model: WorldModel) -> None:
    config = replace(QUICK, steps=5)
    first, second = (fit_distance(model, walks(model), config) for _ in range(2))
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_head_takes_grids_and_shares_axes() -> None:
    head = TemporalDistance(WorldModelConfig(), 196, 48, blocks=3, width=8)
    z, goal = torch.randn(2, 5, 4, 196, 48), torch.randn(2, 1, 1, 196, 48)
    distance = head.distance(z, goal)
    assert distance.shape == (2, 5, 4)
    assert ((distance >= 0) & (distance <= 5.5)).all()
    torch.testing.assert_close(distance[1, 2], head.distance(z[1, 2], goal[1, 0]))
    with pytest.raises(ValueError, match="blocks and width"):
        TemporalDistance(WorldModelConfig(), 1, 8, blocks=0)


# -- from a dataset --------------------------------------------------------------------------


def test_experience_is_in_chains_a_block_apart_and_imagined_from_recorded_actions(
    model: WorldModel, dataset: Dataset
) -> None:
    """4 episodes of 30 steps in blocks of 4: chains of 8, 8, 7, 7 rows."""
    seen = experience_of(model, dataset, [1])
    assert seen.left.tolist() == [*range(7, -1, -1)] * 2 + [*range(6, -1, -1)] * 2
    frames = np.load(next((dataset.path / "cache").rglob("episode-000001.npy")))
    actions = torch.from_numpy(dataset.columns(["action"], [1])["action"])
    chain = torch.from_numpy(frames[1::4]).permute(0, 3, 1, 2)
    with torch.no_grad():
        z = model.encode(chain)
        torch.testing.assert_close(seen.latents[8:16], z, atol=1e-5, rtol=0)
        for start, blocks in ((0, 5), (5, 2)):
            plan = actions[1 + 4 * start :][: 4 * blocks].reshape(1, blocks, 4, 2)
            wanted = model.rollout(z[start : start + 1], plan)[0]
            got = seen.imagined[8 + start + 1 :][:blocks]
            torch.testing.assert_close(got, wanted, atol=1e-4, rtol=0)
    torch.testing.assert_close(seen.imagined[8], seen.latents[8])  # nothing leads to a first row


def sought_data(folder: Path, policy: str) -> Dataset:
    fake_env = import_module("fake_env")
    config = CollectConfig(
        env="fake_env:Fake/Goal-v0", episodes=2, out=folder / policy, size=32, steps=12,
        video="none", policy="agent",
    )  # fmt: skip
    collect(config, seeking=Seeking(make=getattr(fake_env, policy), facts={}))
    return open_dataset(config.out)


def test_what_was_sought_is_so_many_blocks_away_or_never_reached(
    model: WorldModel, tmp_path: Path, dataset: Dataset
) -> None:
    reached = sought_data(tmp_path, "toward")
    frame = (reached.records[0].goal or {})["frame"]
    found = sought_by(model, reached)
    assert found.goals.shape == found.latents.shape
    assert found.blocks[:12].tolist() == [max(0, frame - t) / 4 for t in range(12)]
    assert sought_by(model, sought_data(tmp_path, "away")).blocks.isinf().all()
    with pytest.raises(DatasetError, match="were not after goal images"):
        sought_by(model, dataset)


def test_the_command_writes_a_new_run_that_an_agent_can_count_blocks_with(
    model: WorldModel, dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint(tmp_path / "model", model, {})
    sought_data(tmp_path, "away")
    command = ["head", "distance", "--checkpoint", str(tmp_path / "model")]
    command += ["--data", str(dataset.path), "--out", str(tmp_path / "far")]
    command += ["--on-policy", str(tmp_path / "away"), "--steps", "3", "--blocks", "4"]
    assert main([*command, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert 0 <= said["error_blocks"] <= 7
    loaded = load_checkpoint(tmp_path / "far" / "checkpoint")
    assert loaded.card["heads"]["temporal_distance"]["failures"] == 0.2
    assert isinstance(loaded.model.heads["temporal_distance"], TemporalDistance)
    assert main(command) == 2
    assert "already holds something" in capsys.readouterr().err


# -- in the cost -----------------------------------------------------------------------------


def cost_of(model: WorldModel, plans: Tensor, **settings: Any) -> Tensor:
    z = torch.randn(1, 1, 1, model.latent_dim, generator=torch.Generator().manual_seed(1))
    config = AgentConfig(cost=CostConfig(**settings))
    return PlanCost(model, z, z[:, 0] + 1, config, latent_variance=1.0)(plans)


def test_each_block_left_to_go_costs_what_the_setting_says(model: WorldModel) -> None:
    plans = torch.rand(1, 6, 2, 4, 2, generator=torch.Generator().manual_seed(2))
    with pytest.raises(CheckpointError, match="goalsight head distance"):
        cost_of(model, plans, distance=0.1)
    with torch.random.fork_rng(devices=[]):
        config = replace(model.config, heads={"temporal_distance": {"blocks": 5, "width": 8}})
        able = WorldModel(config).eval()
    plain, counted = (cost_of(able, plans, distance=weight) for weight in (0.0, 0.1))
    assert ((counted - plain) > 0).all()
    assert ((counted - plain) <= 0.1 * 1.02 * 8.5 + 1e-5).all()
