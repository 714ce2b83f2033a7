"""The script of the equal-evaluation curves spends what it says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from goalsight.agent.settings import agent_config

SCRIPT = Path(__file__).parents[1] / "scripts" / "planner_curves.py"
_spec = importlib.util.spec_from_file_location("planner_curves", SCRIPT)
assert _spec is not None
assert _spec.loader is not None
planner_curves = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(planner_curves)


@pytest.mark.parametrize("planner", planner_curves.USABLE)
@pytest.mark.parametrize("budget", [100, 300, 1000])
def test_every_planner_stays_within_its_budget_and_near_it(planner: str, budget: int) -> None:
    config = agent_config(planner_curves.settings(planner, budget))
    assert 0.9 * budget < config.planner.evaluations <= budget


def test_a_table_has_a_line_for_each_planner_and_budget(tmp_path: Path) -> None:
    rate = {"rate": 0.5, "low": 0.4, "high": 0.6}
    row = {"terminal": rate, "latency_ms": {"p50": 12.0}, "evaluations_per_decision": 100}
    found = {("reach-near-dev", name, 100): row for name in ("cem", "icem")}
    assert "| icem | 100 | 50 % [40, 60] | 12 ms |" in planner_curves.render(found)
    planner_curves.draw(found, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 5000
