"""`examples/own_model.py`: a model that knows nothing of goalsight, behind its agent."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from goalsight.agent import Agent
from goalsight.agent.config import agent_config
from goalsight.benchmark import load_results
from goalsight.benchmark.policies import PolicySpec
from goalsight.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from goalsight.cli.main import main
from goalsight.errors import CheckpointError
from goalsight.models import WorldModel, WorldModelConfig

EXAMPLES = Path(__file__).parents[2] / "examples"
FEW = "planner.samples=8,planner.iterations=2"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, importable by name as in `PYTHONPATH=examples`."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return import_module("own_model")


def agent_of(example: Any, checkpoint: Path | None = None) -> Any:
    with torch.random.fork_rng(devices=[]):
        return example.player(PolicySpec(checkpoint=checkpoint, device="cpu", settings=FEW))


def pictures(count: int) -> torch.Tensor:
    drawn = np.random.default_rng(0).integers(0, 256, (count, 3, 64, 64), np.uint8)
    return torch.from_numpy(drawn)


def test_what_the_agent_sees_and_imagines_is_what_the_model_says(example: Any) -> None:
    """Encoding and a rollout of 2 blocks of 5, against the model's own functions step by step."""
    model = agent_of(example).model
    theirs = model.encoder.theirs
    with torch.no_grad():
        z = model.encode(pictures(1)[None])  # one problem, one frame
        state = theirs.embed(pictures(1).movedim(1, -1) / 255)
        assert torch.equal(z[0, 0], state)
        plans = torch.rand(1, 3, 2, 5, 4, generator=torch.Generator().manual_seed(0))
        imagined = model.rollout(z, plans)
        for number, plan in enumerate(plans[0]):
            now = state
            for block, actions in enumerate(plan):
                for action in actions:
                    now = theirs.step(now, action[None])
                torch.testing.assert_close(imagined[0, number, block], now)


def test_its_weights_are_read_from_a_file_and_are_its_identity(
    example: Any, tmp_path: Path
) -> None:
    plain = agent_of(example)
    weights = plain.model.encoder.theirs.state_dict()
    torch.save({name: value + 1 for name, value in weights.items()}, tmp_path / "theirs.pt")
    other = agent_of(example, tmp_path / "theirs.pt")
    assert other.checkpoint_sha256 != plain.checkpoint_sha256
    assert plain.checkpoint_sha256 == agent_of(example).checkpoint_sha256
    assert torch.equal(other.model.encoder.theirs.change.bias, weights["change.bias"] + 1)


def test_parts_from_elsewhere_plan_what_the_same_parts_plan_at_home() -> None:
    """An agent whose own parts are those that the config would build acts bit for bit the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        home = WorldModel(WorldModelConfig(image_size=32)).eval()
        for weight in home.predictor.parameters():
            torch.nn.init.normal_(weight, std=0.05)
    away = WorldModel(home.config, own=(home.encoder, home.predictor)).eval()
    seen = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    acts = []
    for model in (home, away):
        checkpoint = Checkpoint(model, model.config, {}, "0" * 64)
        agent = Agent(checkpoint, config=agent_config(FEW))
        agent.reset(seen[0], seed=1)
        acts.append(agent.act(seen[1], np.zeros(11, np.float32)))
    assert acts[0].tolist() == acts[1].tolist()
    assert np.abs(acts[0]).max() > 0.01


def test_a_model_of_other_parts_says_so_and_its_checkpoint_is_refused(
    example: Any, tmp_path: Path
) -> None:
    """The config cannot say how to build them; better no model than another one."""
    model = agent_of(example).model
    assert model.config.encoder == "own"
    save_checkpoint(tmp_path / "saved", model, {})
    with pytest.raises(CheckpointError, match=r"encoder must be one of conv, .*, got 'own'"):
        load_checkpoint(tmp_path / "saved")


def test_the_command_that_the_page_shows_benches_it(example: Any, tmp_path: Path) -> None:
    torch.save(example.TheirModel().state_dict(), tmp_path / "theirs.pt")
    command = ["bench", "--player", "own_model:player", "--manifest", "push-near-dev"]
    command += ["--checkpoint", str(tmp_path / "theirs.pt"), "--settings", FEW, "--rows", "random"]
    assert main([*command, "--pairs", "1", "--workers", "1", "--out", str(tmp_path / "run")]) == 0
    results = load_results(tmp_path / "run" / "results.json")
    assert [row.row for row in results.rows] == ["random", "player"]
    row = results.rows[1]
    assert row.evaluations_per_decision == 16
    assert row.decisions_per_episode == 10  # a budget of 50 control steps, a block of 5 each
    assert results.player is not None
    assert results.player["labels_used"] == []
