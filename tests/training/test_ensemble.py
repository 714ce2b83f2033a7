"""The ensemble head: it agrees where there was data and disagrees where there was none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from goalsight.agent.config import CostConfig
from goalsight.agent.cost import PlanCost, PlanningProblem
from goalsight.checkpoint import load_checkpoint, save_checkpoint
from goalsight.cli.main import main
from goalsight.data import Dataset
from goalsight.errors import CheckpointError
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.models.heads.ensemble import Ensemble
from goalsight.training.heads import EnsembleConfig, Experience, fit_ensemble, judge_ensemble

QUICK = EnsembleConfig(members=3, width=32, steps=300, batch=64)


@pytest.fixture(scope="module")
def model() -> WorldModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return WorldModel(WorldModelConfig(image_size=32, action_dim=2, frameskip=4)).eval()


def timid(model: WorldModel, moments: int = 400) -> Experience:
    """Pairs of rows: actions are never above 0, and the latent moves by their sum."""
    generator = torch.Generator().manual_seed(0)
    blocks = -torch.rand(moments, 4, 2, generator=generator)
    z = torch.zeros(moments, 2, 1, model.latent_dim)
    z[:, 0, 0, 0] = torch.randn(moments, generator=generator)
    z[:, 1] = z[:, 0] + 0.2 * blocks.sum((1, 2))[:, None, None]
    rows = z.flatten(0, 1)
    return Experience(
        latents=rows,
        imagined=rows,
        left=torch.tensor([1, 0]).repeat(moments),
        episode=torch.arange(moments).repeat_interleave(2),
        blocks=blocks.repeat_interleave(2, 0),
    )


def test_members_disagree_about_actions_that_nobody_took(model: WorldModel) -> None:
    seen = timid(model)
    head = fit_ensemble(model, seen, QUICK)
    z, blocks = seen.latents[::2], seen.blocks[::2]  # the others are ends of chains
    known, unknown = head.disagreement(z, blocks), head.disagreement(z, -blocks)
    assert unknown.mean() > 2 * known.mean()


def test_the_same_seed_fits_the_same_head(model: WorldModel) -> None:
    config = replace(QUICK, steps=3)
    first, second = (fit_ensemble(model, timid(model), config) for _ in range(2))
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_every_plan_is_judged_by_itself() -> None:
    head = Ensemble(WorldModelConfig(frameskip=4, action_dim=2), 6, 16, members=3, width=8)
    z, blocks = torch.randn(2, 5, 3, 6, 16), torch.randn(2, 5, 3, 4, 2)
    together = head.disagreement(z, blocks)
    assert together.shape == (2, 5, 3)
    assert (together >= 0).all()
    torch.testing.assert_close(together[1, 2], head.disagreement(z[1, 2], blocks[1, 2]))
    with pytest.raises(ValueError, match="one alone agrees with itself"):
        Ensemble(WorldModelConfig(), 1, 16, members=1)


def test_doubt_is_what_the_setting_says_it_costs(model: WorldModel) -> None:
    def cost(model: WorldModel, weight: float) -> Tensor:
        z = torch.randn(1, 1, 1, model.latent_dim, generator=torch.Generator().manual_seed(1))
        plans = torch.rand(1, 6, 2, 4, 2, generator=torch.Generator().manual_seed(2))
        config = CostConfig(disagreement_weight=weight)
        problem = PlanningProblem(latents=z, goal=z[:, 0] + 1)
        return PlanCost(model, problem, config, latent_variance=1.0)(plans)

    with pytest.raises(CheckpointError, match="goalsight head ensemble"):
        cost(model, 1.0)
    with torch.random.fork_rng(devices=[]):
        able = WorldModel(replace(model.config, heads={"ensemble": {"width": 8}})).eval()
    none, one, two = (cost(able, weight) for weight in (0.0, 1.0, 2.0))
    assert (one > none).all()
    torch.testing.assert_close(two - one, one - none)


def test_the_command_writes_a_new_run_with_the_head(
    model: WorldModel, dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint(tmp_path / "model", model, {})
    command = ["head", "ensemble", "--checkpoint", str(tmp_path / "model")]
    command += ["--data", str(dataset.path), "--out", str(tmp_path / "sure"), "--steps", "3"]
    assert main([*command, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert -1 <= said["rank"] <= 1
    loaded = load_checkpoint(tmp_path / "sure" / "checkpoint")
    assert loaded.card["metrics"]["ensemble_rank"] == said["rank"]
    assert loaded.card["heads"]["ensemble"]["members"] == 4


def test_it_is_judged_by_the_error_of_the_model(model: WorldModel) -> None:
    found = judge_ensemble(model, fit_ensemble(model, timid(model), QUICK), timid(model))
    assert found["shuffled"] == pytest.approx(1, abs=0.5)  # here an action fits every latent
    assert -1 <= found["rank"] <= 1
