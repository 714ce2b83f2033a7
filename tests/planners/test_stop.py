"""A search that is told to stop returns what it has; one that is not is as if nobody asked."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.planners import PLANNERS
from benchmarks.planners.problems import AXES, bowl
from goalsight_planners import Plan, SearchConfig, streams

Small = Callable[..., SearchConfig]


class After:
    """Says stop when it was asked so many times."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def search(config: SearchConfig, stop: Callable[[], bool] | None = None) -> Plan:
    ones = torch.ones(AXES)
    regret = bowl([0, 1], config.horizon).regret
    (planner,) = (one.function for one in PLANNERS.values() if one.config is type(config))
    return planner(regret, None, (-ones, ones), config, streams([0, 1]), stop=stop)


def values(plan: Plan) -> list[Tensor]:
    return [plan.actions, plan.mean, plan.std, plan.elites, plan.cost]


def test_a_search_that_is_not_stopped_is_bit_for_bit_the_same(name: str, small: Small) -> None:
    config = small(name)
    asked = After(1000)
    with_stop = search(config, asked)
    assert all(map(torch.equal, values(search(config)), values(with_stop)))
    assert asked.left == 1000 - (config.iterations - 1)  # not before the first
    assert len(with_stop.history) == config.iterations
    assert with_stop.evaluations == config.evaluations


def test_one_iteration_always_runs(name: str, small: Small) -> None:
    config = small(name)
    plan = search(config, After(0))
    assert len(plan.history) == 1
    assert plan.cost.isfinite().all()
    assert plan.actions.abs().max() <= 1
    drawn = 3 * config.samples if name == "adam" else config.samples  # a gradient counts as three
    assert plan.evaluations == drawn


def test_it_returns_the_best_of_the_iterations_that_ran(name: str, small: Small) -> None:
    config = small(name)
    whole = search(config)
    part = search(config, After(2))
    assert len(part.history) == 3
    assert part.evaluations < whole.evaluations
    assert torch.equal(part.cost, whole.history[2].best_cost)


def test_every_planner_is_asked() -> None:
    assert set(PLANNERS) == {"cem", "icem", "mppi", "adam", "cma_es", "random_shooting"}
