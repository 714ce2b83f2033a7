"""`examples/own_planner.py`: a search that agents take by name."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from goalsight.benchmark import load_results
from goalsight.benchmark.policies import PolicySpec
from goalsight.checkpoint import save_checkpoint
from goalsight.cli.main import main
from goalsight.errors import UserError
from goalsight.models import WorldModel, WorldModelConfig
from goalsight_planners import PLANNERS, Plan, SearchConfig, random_shooting, streams
from goalsight_planners.registry import Entry

EXAMPLES = Path(__file__).parents[2] / "examples"
BOUNDS = (torch.full((2,), -1.0), torch.tensor([1.0, 0.5]))


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, importable by name as in `PYTHONPATH=examples`."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    example = import_module("own_planner")
    PLANNERS.pop("climb", None)  # for this test alone: others count the shipped ones
    monkeypatch.setitem(PLANNERS, "climb", Entry(example.climb, example.ClimbConfig))
    return example


def bowls(targets: Tensor) -> Any:
    """Costs of B problems: squared distance of every action from a target (B, A)."""
    return lambda plans: (plans - targets[:, None, None, None]).square().mean((2, 3, 4))


def climb(example: Any, targets: Tensor, seeds: list[int], **asked: Any) -> Plan:
    config = example.ClimbConfig(horizon=3, block=2, samples=50, iterations=8, elites=5)
    plan: Plan = example.climb(
        bowls(targets), asked.pop("init", None), BOUNDS, config, streams(seeds), **asked
    )
    return plan


def test_it_climbs_down_to_the_nearest_action_inside_the_bounds(example: Any) -> None:
    """A target outside: what is left is the square of how far outside, over two axes."""
    plan = climb(example, torch.tensor([[0.3, 0.1], [-0.6, 0.9]]), [0, 1])
    assert plan.cost[0] < 0.02
    assert plan.cost[1] == pytest.approx(0.4**2 / 2, abs=0.02)
    assert plan.actions.shape == (2, 3, 2, 2)
    assert (plan.actions <= BOUNDS[1]).all()
    assert (plan.actions >= BOUNDS[0]).all()
    assert plan.evaluations == 400
    config = SearchConfig(horizon=3, block=2, samples=50, iterations=8, elites=5)
    blind = random_shooting(bowls(torch.tensor([[0.3, 0.1]])), None, BOUNDS, config, streams([0]))
    assert plan.cost[0] < 0.5 * blind.cost[0]


def test_a_problem_alone_gets_the_plan_it_gets_beside_another(example: Any) -> None:
    targets = torch.tensor([[0.3, 0.1], [-0.6, 0.4]])
    both = climb(example, targets, [3, 4])
    for number, seed in enumerate([3, 4]):
        alone = climb(example, targets[number : number + 1], [seed])
        torch.testing.assert_close(alone.actions[0], both.actions[number])


def test_it_keeps_what_it_was_given_and_ends_when_its_time_is_up(example: Any) -> None:
    target = torch.tensor([[0.3, 0.1]])
    best = target[:, None, None].expand(1, 3, 2, 2)
    guesses = torch.stack([torch.zeros(1, 3, 2, 2), best], dim=1)
    assert climb(example, target, [0], init=best).cost.item() == 0
    assert climb(example, target, [0], init=guesses).cost.item() == 0
    assert len(climb(example, target, [0], stop=lambda: True).history) == 1
    held = climb(example, target, [0], limits=lambda plans: plans.clamp(max=0.0))
    assert held.elites.max() <= 0


def test_the_command_that_the_page_shows_benches_it(example: Any, tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = WorldModel(WorldModelConfig(image_size=32)).eval()
        for weight in model.predictor.parameters():  # an untrained one imagines that nothing moves
            torch.nn.init.normal_(weight, std=0.05)
    save_checkpoint(tmp_path / "model", model, {})
    command = ["bench", "--player", "own_planner:player", "--checkpoint", str(tmp_path / "model")]
    command += ["--manifest", "reach-near-dev", "--rows", "agent", "--pairs", "1", "--workers", "1"]
    settings = ["--settings", "planner.samples=8,planner.iterations=2"]
    assert main([*command, *settings, "--out", str(tmp_path / "run")]) == 0
    results = load_results(tmp_path / "run" / "results.json")
    agent, player = results.rows
    assert (agent.row, player.row) == ("agent", "player")
    assert agent.evaluations_per_decision == player.evaluations_per_decision == 16
    paths = {one.row: one.distance_m for one in results.pairs}
    assert paths["agent"] != paths["player"], "both rows were played by one planner"


def test_without_a_model_it_says_what_to_add(example: Any) -> None:
    with pytest.raises(UserError, match="add --checkpoint RUN"):
        example.player(PolicySpec(checkpoint=None, device="cpu"))
