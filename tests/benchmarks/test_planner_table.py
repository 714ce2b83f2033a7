"""The table spends what it says, and its problems have the optima they claim."""

from __future__ import annotations

import pytest
import torch

from benchmarks.planners import PLANNERS
from benchmarks.planners.problems import AXES, PROBLEMS
from benchmarks.planners.table import budgeted, main


@pytest.mark.parametrize("name", PLANNERS)
@pytest.mark.parametrize("evaluations", [100, 300, 1000])
def test_no_planner_spends_more_than_the_budget_or_much_less(name: str, evaluations: int) -> None:
    spent = budgeted(name, evaluations, 5, 5).evaluations
    assert 0.8 * evaluations <= spent <= evaluations


@pytest.mark.parametrize("kind", PROBLEMS)
def test_no_plan_is_better_than_the_optimum_of_a_problem(kind: str) -> None:
    """Regret is 0 or more for any plan in the bounds, and the problems differ."""
    problem = PROBLEMS[kind](range(4), 5)
    plans = 2 * torch.rand(4, 200, 5, 5, AXES, generator=torch.Generator().manual_seed(0)) - 1
    plans = plans if problem.limits is None else problem.limits(plans)
    regret = problem.regret(plans)
    assert bool((regret >= 0).all())
    assert len(set(regret[:, 0].tolist())) == 4


def test_the_command_writes_one_table_for_each_budget() -> None:
    written: list[str] = []
    main(
        [
            "--evaluations",
            "100",
            "200",
            "--planners",
            "cem",
            "random_shooting",
            "--problems",
            "bowl",
            "wall",
            "--targets",
            "2",
            "--seeds",
            "2",
        ],
        written.append,
    )
    assert len(written) == 2
    assert "| planner | evaluations | iterations | bowl | wall |" in written[0]
    rows = [line for line in written[1].splitlines() if line.startswith(("| cem", "| random"))]
    assert [row.split("|")[2].strip() for row in rows] == ["200", "200"]


def test_an_unknown_planner_or_a_budget_too_small_is_refused() -> None:
    with pytest.raises(KeyError, match="no planner 'sgd'; there are: cem, icem"):
        budgeted("sgd", 1000, 5, 5)
    with pytest.raises(ValueError, match="evaluations must be at least 100, got 10"):
        budgeted("cem", 10, 5, 5)
