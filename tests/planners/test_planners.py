"""Laws that every planner keeps: one signature, one meaning of its arguments and of its plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.planners import PLANNERS
from goalsight_planners import (
    CEMConfig,
    Cost,
    MPPIConfig,
    Plan,
    SearchConfig,
    cem,
    mppi,
    planner_for,
    shift,
    shift_elites,
    streams,
)
from goalsight_planners.base import make_space
from goalsight_planners.gaussian import begin, equal_weights, path_weights, refit

Small = Callable[..., SearchConfig]
BOX = (-torch.ones(2), torch.ones(2))


def bowl(targets: Sequence[Sequence[float]]) -> Cost:
    """Squared distance of every action to the target of its problem."""
    centre = torch.tensor(targets, dtype=torch.float32)[:, None, None, None, :]
    return lambda plans: ((plans - centre) ** 2).mean(dim=(2, 3, 4))


def run(name: str, cost: Cost, config: SearchConfig, seeds: Sequence[int], **changed: Any) -> Plan:
    """A plan by a planner's name."""
    arguments: dict[str, Any] = {"init": None, "bounds": BOX, "generators": streams(seeds)}
    return PLANNERS[name].function(cost=cost, config=config, **{**arguments, **changed})


def test_bounds_may_differ_between_the_problems_of_a_batch(name: str, small: Small) -> None:
    """Two boxes that do not meet, one cost: each plan ends at its own box's near corner."""
    bounds = (torch.tensor([[-1.0, -1], [0.5, 0.5]]), torch.tensor([[-0.5, -0.5], [1, 1]]))
    config = small(name, horizon=1, block=1, iterations=12)
    plan = run(name, bowl([[0.0, 0.0]] * 2), config, [0, 1], bounds=bounds)
    wanted = torch.tensor([[-0.5, -0.5], [0.5, 0.5]])[:, None, None]
    torch.testing.assert_close(plan.actions, wanted, atol=0.1, rtol=0)


def test_the_same_streams_give_the_same_plan(name: str, small: Small) -> None:
    """And other streams another one."""
    cost, config = bowl([[0.3, -0.2]]), small(name)
    first, again, other = (run(name, cost, config, [seed]) for seed in (3, 3, 4))
    assert torch.equal(first.actions, again.actions)
    assert not torch.equal(first.elites, other.elites)


@pytest.mark.parametrize("mode", ["repeat", "free"])
def test_a_block_repeats_one_action_only_where_it_was_asked_to(
    name: str, small: Small, mode: Literal["repeat", "free"]
) -> None:
    """`repeat` searches H x A numbers, `free` H x K x A."""
    config = small(name, horizon=3, block=4, action_mode=mode)
    tried: list[torch.Tensor] = []

    def cost(plans: torch.Tensor) -> torch.Tensor:
        tried.append(plans.detach())
        return bowl([[0.1, 0.2]])(plans)

    plan = run(name, cost, config, [0])
    assert plan.actions.shape == plan.mean.shape == plan.std.shape == (1, 3, 4, 2)
    assert plan.elites.shape == (1, config.elites, 3, 4, 2)
    for plans in (tried[0], tried[-1]):
        repeated = bool((plans == plans[:, :, :, :1]).all())
        assert repeated == (mode == "repeat")


def test_the_history_only_improves_and_ends_at_the_plan(name: str, small: Small) -> None:
    """Best cost never rises, its last value is the cost of the plan that is returned."""
    cost, config = bowl([[0.9, -0.4]]), small(name, iterations=6)
    plan = run(name, cost, config, [0])
    best = torch.stack([stats.best_cost for stats in plan.history])
    assert best.shape == (6, 1)
    assert bool((best.diff(dim=0) <= 0).all())
    assert torch.equal(best[-1], plan.cost)
    torch.testing.assert_close(cost(plan.actions[:, None])[:, 0], plan.cost)
    assert plan.evaluations == config.evaluations


def test_a_plan_is_never_worse_than_the_guesses_it_was_given(name: str, small: Small) -> None:
    """Several guesses are all tried, so an actor's own plan is always a candidate."""
    cost = bowl([[0.25, -0.75]])
    good = torch.tensor([0.25, -0.75]).expand(1, 1, 5, 5, 2)
    guesses = torch.cat([-good, 0 * good, good], dim=1)
    assert run(name, cost, small(name, iterations=1), [0], init=guesses).cost.item() < 1e-12
    assert run(name, cost, small(name, iterations=3), [0], init=guesses).cost.item() < 1e-12


def test_the_mean_is_a_candidate_of_the_last_iteration() -> None:
    """The plan costs no more than the warm start."""
    init = torch.tensor([0.25, -0.75]).expand(1, 5, 5, 2)
    config = CEMConfig(iterations=1, init_std=1.0)
    assert run("cem", bowl([[0.25, -0.75]]), config, [0], init=init).cost.item() == 0


def test_a_warm_start_searches_where_the_last_plan_was() -> None:
    """A narrow search from a good guess ends cheaper than the same search from mid-bounds."""
    cost = bowl([[0.9, 0.9]])
    config = CEMConfig(samples=16, elites=4, iterations=2, init_std=0.1)
    first = cem(cost, None, BOX, CEMConfig(), streams([0]))
    warm = cem(cost, shift(first), BOX, config, streams([1]))
    carried = cem(cost, shift_elites(first, count=3), BOX, config, streams([1]))
    cold = cem(cost, None, BOX, config, streams([1]))
    assert carried.cost <= warm.cost < cold.cost


@given(horizon=st.integers(1, 6), blocks=st.integers(0, 8), count=st.integers(0, 3))
def test_shifting_drops_the_executed_blocks_and_repeats_the_last(
    horizon: int, blocks: int, count: int
) -> None:
    """Block t of the warm start is block t + blocks of the plan, or its last."""
    config = CEMConfig(horizon=horizon, samples=4, elites=2, iterations=1, action_mode="free")
    plan = cem(bowl([[0.0, 0.0]]), None, BOX, config, streams([0]))
    moved, carried = shift(plan, blocks), shift_elites(plan, blocks, count)
    assert carried.shape == (1, 1 + min(count, 2), horizon, 5, 2)
    assert torch.equal(carried[:, 0], moved)
    for t in range(horizon):
        source = min(t + blocks, horizon - 1)
        assert torch.equal(moved[:, t], plan.actions[:, source])
        assert torch.equal(carried[:, 1:, t], plan.elites[:, :count, source])


def test_a_candidate_of_unknown_cost_is_never_chosen(name: str, small: Small) -> None:
    """NaN counts as infinite; with nothing else to choose from the cost says so."""

    def undefined_on_the_left(plans: torch.Tensor) -> torch.Tensor:
        costs = bowl([[-1.0, 0.0]])(plans)
        return torch.where(plans[..., 0].mean(dim=(2, 3)) < 0, torch.nan, costs)

    config = small(name, horizon=1, iterations=8)
    plan = run(name, undefined_on_the_left, config, [0])
    assert 0 <= plan.actions[..., 0].mean().item() < 0.3
    hopeless = run(name, lambda plans: torch.nan * plans.sum(dim=(2, 3, 4)), config, [0])
    assert hopeless.cost.isinf().all()
    assert bool(hopeless.actions.isfinite().all() and hopeless.mean.isfinite().all())


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**16))
def test_permuting_the_samples_changes_nothing_but_their_order(seed: int) -> None:
    """The refit sees a set: shuffled candidates give the same mean and std, to rounding."""
    config = CEMConfig(samples=24, elites=24)
    generators = streams([seed])
    space = make_space(BOX, None, config, generators)
    old = begin(space, config, space.guesses(None)[:, 0], guessed=False)
    plans = torch.rand(1, 24, 5, 1, 2, generator=generators[0])
    costs = bowl([[0.3, 0.6]])(plans)
    order = torch.randperm(24, generator=generators[0])
    for weigh in (equal_weights, lambda costs: path_weights(costs, 0.5)):
        straight = refit(old, plans, weigh(costs), space=space, config=config)
        shuffled = refit(old, plans[:, order], weigh(costs[:, order]), space=space, config=config)
        torch.testing.assert_close(straight.mean, shuffled.mean, atol=1e-6, rtol=0)
        torch.testing.assert_close(straight.std, shuffled.std, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"generators": []}, "generators is empty"),
        ({"bounds": (torch.ones(2), -torch.ones(2))}, "finite and low <= high"),
        ({"bounds": (torch.ones(2), torch.ones(3))}, r"\(A,\) or \(B, A\), got \(2,\) and \(3,\)"),
        ({"bounds": (-torch.ones(3, 2), torch.ones(3, 2))}, "bounds are for 3 problems, gen.* 1"),
        ({"init": torch.zeros(1, 5, 4, 2)}, r"\(1, 5, 5, 2\) or .*, got \(1, 5, 4, 2\)"),
        ({"init": torch.zeros(1, 99, 5, 5, 2)}, r"init must hold 1 to samples=\d+ guesses, got 99"),
        ({"cost": lambda plans: plans.mean(dim=(2, 3))}, r"return \(B, N\) = \(1, \d+\), got"),
    ],
)
def test_a_wrong_argument_is_named(
    name: str, small: Small, changed: dict[str, Any], message: str
) -> None:
    """What was wanted and what came."""
    with pytest.raises(ValueError, match=message):
        run(name, **{"cost": bowl([[0.0, 0.0]]), "config": small(name), "seeds": [0], **changed})


def test_adam_says_that_a_cost_without_a_gradient_will_not_do() -> None:
    config = PLANNERS["adam"].config()
    with pytest.raises(
        ValueError, match=r"cost gives no gradient; .* choose a planner that samples"
    ):
        run("adam", lambda plans: plans.detach().mean(dim=(2, 3, 4)), config, [0])


def test_adam_plans_where_gradients_are_switched_off() -> None:
    """An agent that acts under `inference_mode` may still plan by gradients."""
    with torch.inference_mode():
        plan = run("adam", bowl([[0.3, 0.3]]), PLANNERS["adam"].config(), [0])
    assert plan.cost.item() < 1e-2
    assert not plan.actions.requires_grad


def test_a_config_finds_its_planner() -> None:
    assert planner_for(CEMConfig()) is cem
    assert planner_for(MPPIConfig()) is mppi

    class Odd(SearchConfig):
        pass

    with pytest.raises(KeyError, match="no planner takes a Odd; there are: CEMConfig, ICEM"):
        planner_for(Odd())


@pytest.mark.parametrize(
    ("name_", "field", "value"),
    [
        ("cem", "horizon", 0),
        ("cem", "block", 0),
        ("cem", "iterations", 0),
        ("cem", "elites", 1),
        ("cem", "elites", 201),
        ("cem", "min_std", 0.0),
        ("cem", "init_std", 0.01),
        ("cem", "momentum", 1.0),
        ("cem", "action_mode", "both"),
        ("cem", "keep_elites", 21),
        ("cem", "stop_spread", -1.0),
        ("icem", "colour", 5.0),
        ("icem", "decay", 0.5),
        ("mppi", "temperature", 0.0),
        ("mppi", "std_momentum", 1.5),
        ("adam", "rate", 0.0),
        ("cma_es", "init_std", 0.0),
    ],
)
def test_a_config_out_of_range_is_refused_by_name(name_: str, field: str, value: object) -> None:
    """Each constraint is checked where it is stated."""
    with pytest.raises(ValueError, match=f"{field}.* (must be|got|in) "):
        PLANNERS[name_].config(**{field: value})  # type: ignore[arg-type]


def test_a_plan_cannot_be_shifted_back() -> None:
    """Negative blocks are a caller's mistake."""
    plan = cem(bowl([[0.0, 0.0]]), None, BOX, CEMConfig(), streams([0]))
    with pytest.raises(ValueError, match="blocks must be 0 or more, got -1"):
        shift(plan, -1)
    with pytest.raises(ValueError, match="count must be 0 or more, got -1"):
        shift_elites(plan, 1, -1)
