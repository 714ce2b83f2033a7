"""How near each planner comes to optima that are known."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.planners import PLANNERS
from benchmarks.planners.problems import PROBLEMS
from benchmarks.planners.table import budgeted
from goalsight_planners import (
    CEMConfig,
    ICEMConfig,
    MPPIConfig,
    SearchConfig,
    cem,
    icem,
    mppi,
    random_shooting,
    streams,
)

BOX = (-torch.ones(4), torch.ones(4))
SEEDS = range(10)
HARD: dict[str, SearchConfig] = {  # 2000 evaluations or a little more
    "cem": CEMConfig(samples=100, iterations=20, elites=10, min_std=0.01),
    "icem": ICEMConfig(samples=150, iterations=20, elites=10, keep_elites=3, min_std=0.01),
    "mppi": MPPIConfig(samples=100, iterations=20, min_std=0.01),
}
CLOSE = {  # horizon, and the most that the median of 10 problems may miss the optimum by
    "bowl": (5, 0.04),
    "edge": (1, 0.01),
    "glide": (5, 0.03),
    "wall": (5, 1e-4),
    "gripper": (5, 0.04),
}
numbers = st.floats(-2, 2, width=32)


def regrets(name: str, kind: str, config: SearchConfig) -> torch.Tensor:
    """Cost above the optimum of ten problems."""
    problem = PROBLEMS[kind](SEEDS, config.horizon)
    plan = PLANNERS[name].function(
        problem.regret,
        None,
        BOX,
        replace(config, discrete=problem.discrete),
        streams(range(100, 110)),
        limits=problem.limits,
    )
    return plan.cost


@settings(deadline=None, max_examples=25)
@given(target=st.lists(numbers, min_size=2, max_size=2), seed=st.integers(0, 2**16))
def test_cem_lands_on_the_nearest_feasible_action(target: list[float], seed: int) -> None:
    """Quadratic bowl, known optimum: the target clipped to the action bounds."""
    wanted = torch.tensor(target)
    config = CEMConfig(horizon=1, iterations=12, min_std=0.005)
    plan = cem(
        lambda plans: (plans - wanted).square().mean(dim=(2, 3, 4)),
        None,
        (-torch.ones(2), torch.ones(2)),
        config,
        streams([seed]),
    )
    # the sampling spread ends at its floor, 0.005: the best of 200 draws lies well inside 4 of it
    best = wanted.clamp(-1, 1).expand_as(plan.actions)
    torch.testing.assert_close(plan.actions, best, atol=0.02, rtol=0)


@pytest.mark.parametrize("kind", CLOSE)
def test_a_planner_ends_near_the_optimum(name: str, kind: str) -> None:
    """Inside the bounds, in a corner, behind an integrator, at a wall, with a gripper to close."""
    if name == "random_shooting" or (name == "adam" and kind == "gripper"):
        return  # the one does not learn; the other has no gradient through a gripper
    horizon, most = CLOSE[kind]
    config = replace(HARD.get(name, budgeted(name, 2000, 5, 5)), horizon=horizon)
    assert regrets(name, kind, config).median().item() < most


@pytest.mark.parametrize("kind", ["bowl", "edge", "glide", "gripper"])
def test_every_search_beats_random_shooting_at_equal_evaluations(name: str, kind: str) -> None:
    """On the median of ten problems."""
    if name == "random_shooting":
        return
    learnt, random = (
        regrets(one, kind, budgeted(one, 1000, 5, 5)).median() for one in (name, "random_shooting")
    )
    assert learnt < random


def test_restarts_find_a_valley_that_one_start_misses() -> None:
    """Rastrigin: Adam from one start stays in the first valley, from sixteen it is nearer."""
    one, many = (
        PLANNERS["adam"].function(
            PROBLEMS["hills"](SEEDS, 1).regret,
            None,
            BOX,
            PLANNERS["adam"].config(horizon=1, samples=samples, elites=2, iterations=40),
            streams(SEEDS),
        )
        for samples in (2, 64)
    )
    assert many.cost.median() < one.cost.median()


def test_coloured_noise_needs_fewer_samples_where_every_step_is_free() -> None:
    """Wanted actions that last a block, 25 free control steps, 300 evaluations: iCEM is nearer."""
    costs = [
        regrets(name, "bowl", replace(budgeted(name, 300, 5, 5), action_mode="free"))
        for name in ("icem", "cem")
    ]
    assert costs[0].median() < 0.8 * costs[1].median()


def test_mppi_that_never_narrows_keeps_its_spread() -> None:
    """`std_momentum` 1 is the original; the default narrows as CEM does."""
    problem = PROBLEMS["bowl"](SEEDS, 5)
    fixed, narrowed = (
        mppi(problem.regret, None, BOX, MPPIConfig(std_momentum=share), streams(SEEDS)).history[-1]
        for share in (1.0, 0.0)
    )
    torch.testing.assert_close(fixed.spread, torch.full((10,), 0.7), atol=1e-5, rtol=0)
    assert bool((narrowed.spread < 0.3).all())


def test_a_cost_scaled_or_moved_gives_mppi_the_same_plan() -> None:
    """Its temperature is relative to the spread of the costs."""
    problem = PROBLEMS["bowl"](SEEDS, 5)
    first = mppi(problem.regret, None, BOX, MPPIConfig(), streams(SEEDS))
    again = mppi(lambda p: 8 * problem.regret(p), None, BOX, MPPIConfig(), streams(SEEDS))
    torch.testing.assert_close(first.mean, again.mean, atol=1e-4, rtol=0)


def test_icem_spends_fewer_evaluations_from_one_iteration_to_the_next() -> None:
    config = PLANNERS["icem"].config(samples=100, elites=10, iterations=4)
    drawn: list[int] = []

    def cost(plans: torch.Tensor) -> torch.Tensor:
        drawn.append(plans.shape[1])
        return plans.square().mean(dim=(2, 3, 4))

    plan = icem(cost, None, BOX, config, streams([0]))  # type: ignore[arg-type]
    assert drawn == [100, 80, 64, 51]
    assert plan.evaluations == config.evaluations == sum(drawn)


def test_random_shooting_spreads_over_the_whole_box() -> None:
    """Uniform: a mean of 0 and a deviation of 1 / sqrt 3 in normalised units."""
    seen: list[torch.Tensor] = []

    def cost(plans: torch.Tensor) -> torch.Tensor:
        seen.append(plans)
        return plans.square().mean(dim=(2, 3, 4))

    random_shooting(cost, None, BOX, SearchConfig(samples=2000, iterations=1), streams([0]))
    # 40,000 numbers: three standard errors are 0.009
    assert seen[0].mean().item() == pytest.approx(0, abs=0.009)
    assert seen[0].std().item() == pytest.approx(3**-0.5, abs=0.009)
