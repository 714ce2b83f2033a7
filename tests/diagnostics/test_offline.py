"""Offline evaluation says what is known to be true of models that know everything or nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from goalsight.checkpoint import save_checkpoint
from goalsight.cli.main import main
from goalsight.clip import Clip
from goalsight.data import Dataset
from goalsight.diagnostics import open_subject
from goalsight.diagnostics.offline import (
    Moments,
    evaluate_offline,
    rank_of_first,
    rank_plans,
    recovery_report,
)
from goalsight.models import WorldModel, WorldModelConfig

MODEL = WorldModelConfig(image_size=32, action_dim=2, frameskip=3)


def moments(count: int = 40, blocks: int = 2, seed: int = 0) -> Moments:
    """Made-up moments of eight episodes; pictures and latents say nothing."""
    generator = torch.Generator().manual_seed(seed)
    clip = Clip(
        frames=torch.zeros(count, blocks + 1, 3, 32, 32, dtype=torch.uint8),
        actions=torch.rand(count, blocks, 3, 2, generator=generator) * 2 - 1,
        proprio=torch.zeros(count, blocks + 1, 0),
    )
    return Moments(clip, torch.zeros(count, blocks + 1, 1, 4), 0, torch.arange(count) % 8)


def knows_all(found: Moments) -> object:
    def cost(index: int, plans: Tensor) -> Tensor:
        return (plans - found.plans[index]).abs().flatten(1).mean(1)

    return cost


@pytest.mark.parametrize("random", [False, True])
def test_a_cost_that_knows_what_was_done_ranks_it_first(random: bool) -> None:
    found = moments()
    report = rank_plans(knows_all(found), found, among=50, random=random)  # type: ignore[arg-type]
    assert (report.percentile, report.top_1, report.top_10) == (0, 1, 1)
    assert report.reciprocal_rank == 1
    assert report.percentile_low == report.percentile_high == 0


def test_a_cost_that_knows_nothing_is_at_chance() -> None:
    found = moments(400)
    generator = torch.Generator().manual_seed(1)
    report = rank_plans(
        lambda _, plans: torch.rand(len(plans), generator=generator), found, among=100
    )
    assert report.percentile == pytest.approx(50, abs=5)
    assert report.percentile_low < 50 < report.percentile_high
    assert report.top_10 == pytest.approx(0.1, abs=0.05)
    assert report.reciprocal_rank == pytest.approx(report.chance_reciprocal, abs=0.03)


def test_a_cost_that_never_changes_is_in_the_middle_and_not_first() -> None:
    """Else a collapsed model, to which all plans are alike, would look perfect."""
    found = moments()
    report = rank_plans(lambda _, plans: torch.ones(len(plans)), found, among=101)
    assert (report.percentile, report.mean_rank, report.top_10) == (50, 51, 0)


def test_the_rank_of_costs_that_are_not_numbers_is_the_last() -> None:
    assert rank_of_first(torch.tensor([float("nan"), 1.0, 2.0])) == 3


def test_perfect_recovery_has_no_error_and_the_mean_action_explains_nothing() -> None:
    found = moments(400)
    recorded = found.plans[:, 0]
    perfect = recovery_report(recorded, found, ["x", "y"], [0.0, 0.0])
    assert (perfect.error, perfect.high) == (0, 0)
    assert perfect.r2 == {"x": 1, "y": 1}
    mean = recorded.mean((0, 1))
    nothing = recovery_report(mean.expand_as(recorded), found, ["x", "y"], mean.tolist())
    assert nothing.error == pytest.approx(nothing.baseline, rel=1e-4)
    assert nothing.r2 == pytest.approx({"x": 0, "y": 0}, abs=1e-4)


def test_how_an_action_is_spread_over_its_block_does_not_matter() -> None:
    found = moments()
    turned = found.plans[:, 0].flip(1)
    assert recovery_report(turned, found, ["x", "y"], [0, 0]).error == pytest.approx(0, abs=1e-6)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("offline") / "model"
    save_checkpoint(folder, WorldModel(MODEL), {})
    return folder


def test_a_model_that_looks_back_is_given_its_history(squares: Dataset, tmp_path: Path) -> None:
    config = WorldModelConfig(
        image_size=32,
        action_dim=2,
        frameskip=3,
        context=2,
        proprio_dim=3,
        predictor="transformer",
        inverse=False,
    )
    save_checkpoint(tmp_path / "model", WorldModel(config), {})
    subject = open_subject(tmp_path / "model", squares.path)
    report = evaluate_offline(subject, blocks=2, windows=4, goal_blocks=1, moments=3, plans=5)
    assert report.inverse is None
    assert report.planned.moments == 3


def test_the_command_writes_numbers_and_a_picture_and_prints_words(
    checkpoint: Path, squares: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["eval-offline", "--checkpoint", str(checkpoint), "--data", str(squares.path)]
    few = ["--blocks", "3", "--windows", "8", "--moments", "4", "--plans", "20"]
    assert main([*given, *few, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert main([*given, *few, "--out", str(tmp_path)]) == 0
    words = capsys.readouterr().out
    written = json.loads((tmp_path / "offline.json").read_text())
    assert {key: written[key] for key in printed} == printed  # the same seed, the same numbers
    assert len(written["drift"]["model"]) == 3
    assert written["ranking"]["among"] == 20
    assert (tmp_path / "offline.png").read_bytes().startswith(b"\x89PNG")
    for word in ("copy-last", "planned block", "chance 50", "judged on"):
        assert word in words
    assert main([*given, "--plans", "1"]) == 2
    assert "--moments and --plans must be at least 2" in capsys.readouterr().err
