"""`benchmarks.sweep`: equal work a line, and a line for what cannot be measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import sweep as script
from goalsight.agent import Agent
from goalsight.agent.config import agent_config
from goalsight.benchmark import Manifest, Results, save_manifest
from goalsight.benchmark.results import CheckpointRef, Latency
from goalsight.checkpoint import Checkpoint, save_checkpoint
from goalsight.errors import UserError
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.paths import config_dir

SHIPPED = config_dir() / "bench" / "switches.yaml"
HEADS: dict[str, dict[str, Any]] = {
    "actor": {"width": 8, "depth": 1, "furthest": 20},
    "ensemble": {"width": 8},
    "probe": {"variables": {"state.cube_pos": {"width": 3, "unit": "m"}}, "hidden": 8},
}


def model_of(**heads: dict[str, Any]) -> WorldModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return WorldModel(WorldModelConfig(image_size=32, heads=heads)).eval()


def sweep_of(checkpoint: Path) -> script.Sweep:
    return script.Sweep(
        checkpoint=checkpoint,
        memory=None,
        manifest="push-near-dev",
        pairs=1,
        workers=1,
        device="cpu",
        out=checkpoint,
    )


def test_every_switch_that_searches_evaluates_as_many_plans_a_control_step() -> None:
    """As the shipped file says: to 1 %; with all heads there is nothing that it cannot try."""
    model, spent = model_of(**HEADS), {}
    for name, switch in script.read_switches(SHIPPED).items():
        checkpoint = Checkpoint(model, model.config, {}, "0" * 64)
        agent = Agent(checkpoint, config=agent_config(switch.settings))
        spent[name] = agent.evaluations_per_decision / agent.config.executed_steps
    assert spent.pop("actor alone") == 0.2
    assert next(iter(spent.values())) == 200
    assert {name: plans for name, plans in spent.items() if not 198 <= plans <= 202} == {}
    assert len(spent) == 12


def test_what_a_checkpoint_lacks_is_said_and_nothing_is_played(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "model", model_of(), {})
    plan, switches = sweep_of(tmp_path / "model"), script.read_switches(SHIPPED)
    told = {
        name: script.measure(plan, name, switch)
        for name, switch in switches.items()
        if isinstance(script.agent_of(plan, switch, "near"), str)
    }
    assert told["sub-goals"] == "needs --memory"
    assert "has no actor" in str(told["hybrid"])
    assert "probe head, this one has none" in str(told["decoded cost"])
    assert set(told) == set(switches) - {
        "search",
        "decision every control step",
        "decision every two blocks",
        "commitment",
    }


def test_a_switch_that_is_not_to_be_played_now_is_left_out(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "model", model_of(), {})
    plan = replace(sweep_of(tmp_path / "model"), out=tmp_path / "new")
    assert script.measure(plan, "search", script.Switch(), play=False) is None
    assert not (tmp_path / "new").exists()


def agents(made: Callable[..., Results], outcomes: list[int]) -> Results:
    """Results as an agent leaves them: decisions of 12 ms, two in a budget of ten steps."""
    found = made(agent=outcomes)
    row = replace(
        found.rows[0],
        latency_ms=Latency(p50=12.0, p95=20.0),
        evaluations_per_decision=1000,
        decisions_per_episode=2.0,
    )
    ref = CheckpointRef(name="push", sha256="c" * 64, labels_used=["state.cube_pos"], card={})
    manifest = replace(found.manifest, budget=10)
    return replace(found, rows=[row], checkpoint=ref, manifest=manifest, commit="f" * 40)


@pytest.mark.parametrize("budget", [100, 300, 1000])
def test_every_planner_stays_within_its_budget_and_near_it(budget: int) -> None:
    for switch in script.planner_switches([budget]).values():
        config = agent_config(switch.settings)
        assert 0.9 * budget < config.planner.evaluations <= budget


def test_budgets_are_drawn(results_of: Callable[..., Results], tmp_path: Path) -> None:
    found: dict[str, script.Found] = {
        name: agents(results_of, [0, 1]) for name in script.planner_switches([100, 300])
    }
    script.draw(found, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 5000


def test_a_line_has_rates_and_the_pairs_won_and_lost(results_of: Callable[..., Results]) -> None:
    switches = {
        name: script.Switch(settings=settings)
        for name, settings in {
            "base": "",
            "better": "mode=hybrid",
            "other": "cost.decoded_weight=1",
        }.items()
    }
    found: dict[str, script.Found] = {
        "base": agents(results_of, [0] * 8 + [1, 1]),
        "better": agents(results_of, [1] * 9 + [0]),
        "other": "needs a probe head",
    }
    lines = script.render(switches, found).splitlines()
    assert lines[2].startswith("| base |  | 20 % [6, 51] | 20 % [6, 51] |  | 200 | 12 ms |")
    assert "| 90 % [60, 98] | 90 % [60, 98] | 8 won, 1 lost, p = 0.039 | 200 |" in lines[3]
    assert lines[4].startswith(
        "| other | `cost.decoded_weight=1` | not measured: needs a probe head |"
    )
    assert {line.count("|") for line in lines[:5]} == {8}
    assert "against the row base" in lines[6]
    assert "labels used: state.cube_pos" in lines[6]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rows: {base: {settings: depth=3}}", "no agent setting 'depth'"),
        ("rows: {base: {sttings: ''}}", "is not a file of switches"),
        ("rows: [", "is not a file of switches"),
        ("rows: {}", "is not a file of switches"),
    ],
)
def test_a_file_that_is_not_one_of_switches_is_refused(
    text: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "switches.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        script.read_switches(path)


def test_a_second_run_plays_nothing_and_the_page_holds_the_table(
    reach: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint(tmp_path / "model", model_of(), {})
    (tmp_path / "page.md").write_text("<!-- switches: by hand -->\n<!-- /switches -->\n")
    (tmp_path / "two.yaml").write_text(
        "rows:\n  few: {settings: 'planner.samples=8,planner.iterations=2'}\n"
        "  probed: {settings: cost.decoded_weight=1}\n"
    )
    pairs = save_manifest(reach, tmp_path / "pairs")
    command = ["--checkpoint", str(tmp_path / "model"), "--manifest", str(pairs), "--pairs", "1"]
    command += ["--out", str(tmp_path / "out"), "--page", str(tmp_path / "page.md")]
    command += ["--switches", str(tmp_path / "two.yaml")]
    assert script.main(command) == 0
    first = capsys.readouterr().out
    assert "goalsight bench" in first
    page = (tmp_path / "page.md").read_text()
    assert "| few | `planner.samples=8,planner.iterations=2` |" in page
    assert "not measured: a decoded-state cost needs" in page
    assert script.main(command) == 0
    second = capsys.readouterr().out
    assert "goalsight bench" not in second
    assert second.strip() == (tmp_path / "out" / "table.md").read_text().strip()
    assert script.main([*command, "--only", "none"]) == 2
    assert "no switch 'none'; there are: few, probed" in capsys.readouterr().err
