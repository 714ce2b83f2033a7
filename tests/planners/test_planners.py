"""Laws that every planner keeps, and how good they are on problems with a known optimum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from goalsight_planners import CEMConfig, Cost, Plan, cem, random_shooting, shift
from goalsight_planners.cem import _begin, _refit
from goalsight_planners.space import make_space

Planner = Callable[..., Plan]
Mode = Literal["repeat", "free"]
BOX = (-torch.ones(2), torch.ones(2))
both = pytest.mark.parametrize("planner", [cem, random_shooting], ids=lambda f: f.__name__)
modes = pytest.mark.parametrize("mode", ["repeat", "free"])
numbers = st.floats(-2, 2, width=32)
seeds = st.integers(0, 2**16)


def streams(*seeds: int) -> list[torch.Generator]:
    """One random stream a problem."""
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def bowl(targets: Sequence[Sequence[float]]) -> Cost:
    """Squared distance of every action to the target of its problem."""
    centre = torch.tensor(targets, dtype=torch.float32)[:, None, None, None, :]
    return lambda plans: ((plans - centre) ** 2).mean(dim=(2, 3, 4))


@settings(deadline=None, max_examples=25)
@given(target=st.lists(numbers, min_size=2, max_size=2), seed=seeds)
def test_cem_lands_on_the_nearest_feasible_action(target: list[float], seed: int) -> None:
    """Quadratic bowl, known optimum: the target clipped to the action bounds."""
    config = CEMConfig(horizon=1, iterations=12, min_std=0.005)
    plan = cem(bowl([target]), None, BOX, config, streams(seed))
    wanted = torch.tensor(target).clamp(-1, 1).expand_as(plan.actions)
    # the sampling spread ends at its floor, 0.005: the best of 200 draws lies well inside 4 of it
    torch.testing.assert_close(plan.actions, wanted, atol=0.02, rtol=0)


@settings(deadline=None, max_examples=15)
@given(seed=seeds, low=st.floats(-3, 0), width=st.floats(0, 3), guess=numbers)
@both
@modes
def test_every_plan_that_is_tried_or_returned_is_in_bounds(
    planner: Planner, mode: Mode, seed: int, low: float, width: float, guess: float
) -> None:
    """Also where the first guess is outside and where a bound leaves no room at all."""
    bounds = (torch.tensor([low, -1.0]), torch.tensor([low + width, 1.0]))
    config = CEMConfig(
        horizon=2, block=3, samples=16, elites=4, momentum=0.3, keep_elites=2, action_mode=mode
    )
    tried: list[Tensor] = []

    def cost(plans: Tensor) -> Tensor:
        tried.append(plans)
        return bowl([[5.0, 0.2]])(plans)

    init = torch.full((1, 2, 3, 2), guess)
    plan = planner(cost, init, bounds, config, streams(seed))
    for actions in (*tried, plan.actions, plan.mean):
        assert bool((actions >= bounds[0]).all())
        assert bool((actions <= bounds[1]).all())


@settings(deadline=None, max_examples=15)
@given(seeds=st.lists(seeds, min_size=2, max_size=5), data=st.data())
@both
def test_a_problem_is_planned_alike_alone_and_in_a_batch(
    planner: Planner, seeds: list[int], data: st.DataObject
) -> None:
    """Each problem draws from its own stream: the batch around it does not matter."""
    targets = [data.draw(st.lists(numbers, min_size=2, max_size=2)) for _ in seeds]
    config = CEMConfig(samples=32, elites=5, iterations=3, keep_elites=2, momentum=0.1)
    together = planner(bowl(targets), None, BOX, config, streams(*seeds))
    for i, (target, seed) in enumerate(zip(targets, seeds, strict=True)):
        alone = planner(bowl([target]), None, BOX, config, streams(seed))
        # float32 rounding of means over a batch axis of another size
        torch.testing.assert_close(together.actions[i], alone.actions[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(together.mean[i], alone.mean[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(together.cost[i], alone.cost[0], atol=1e-5, rtol=0)


@both
def test_bounds_may_differ_between_the_problems_of_a_batch(planner: Planner) -> None:
    """Two boxes that do not meet, one cost: each plan ends at its own box's near corner."""
    bounds = (torch.tensor([[-1.0, -1], [0.5, 0.5]]), torch.tensor([[-0.5, -0.5], [1, 1]]))
    config = CEMConfig(horizon=1, block=1)
    plan = planner(bowl([[0.0, 0.0]] * 2), None, bounds, config, streams(0, 1))
    wanted = torch.tensor([[-0.5, -0.5], [0.5, 0.5]])[:, None, None]
    torch.testing.assert_close(plan.actions, wanted, atol=0.06, rtol=0)


@both
def test_the_same_streams_give_the_same_plan(planner: Planner) -> None:
    """And other streams another one."""
    cost, config = bowl([[0.3, -0.2]]), CEMConfig(samples=16, elites=4)
    first, again, other = (planner(cost, None, BOX, config, streams(s)).actions for s in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@modes
def test_a_block_repeats_one_action_only_where_it_was_asked_to(mode: Mode) -> None:
    """`repeat` searches H x A numbers, `free` H x K x A."""
    config = CEMConfig(horizon=3, block=4, action_mode=mode)
    plan = cem(bowl([[0.1, 0.2]]), None, BOX, config, streams(0))
    assert plan.actions.shape == plan.mean.shape == plan.std.shape == (1, 3, 4, 2)
    repeated = bool((plan.actions == plan.actions[:, :, :1]).all())
    assert repeated == (mode == "repeat")


@both
def test_the_history_only_improves_and_ends_at_the_plan(planner: Planner) -> None:
    """Best cost never rises, its last value is the cost of the plan that is returned."""
    cost, config = bowl([[0.9, -0.4]]), CEMConfig(samples=20, elites=4, iterations=6)
    plan = planner(cost, None, BOX, config, streams(0))
    best = torch.stack([stats.best_cost for stats in plan.history])
    assert best.shape == (6, 1)
    assert bool((best.diff(dim=0) <= 0).all())
    assert torch.equal(best[-1], plan.cost)
    torch.testing.assert_close(cost(plan.actions[:, None])[:, 0], plan.cost)
    assert plan.evaluations == 120


def test_cem_beats_random_shooting_at_equal_evaluations() -> None:
    """Twenty searched numbers, twenty problems: CEM is cheaper on every one of them."""
    targets = torch.rand(20, 2, generator=streams(9)[0]).mul(1.6).sub(0.8).tolist()
    config = CEMConfig(horizon=10)
    plans = [
        f(bowl(targets), None, BOX, config, streams(*range(20))) for f in (cem, random_shooting)
    ]
    assert plans[0].evaluations == plans[1].evaluations == 1000
    assert bool((plans[0].cost < plans[1].cost).all())


def test_kept_elites_and_the_mean_never_make_the_last_distribution_worse() -> None:
    """The mean is a candidate of the last iteration: the plan costs no more than the warm start."""
    cost = bowl([[0.25, -0.75]])
    init = torch.tensor([0.25, -0.75]).expand(1, 5, 5, 2)
    config = CEMConfig(iterations=1, init_std=1.0)
    assert cem(cost, init, BOX, config, streams(0)).cost.item() == 0
    assert random_shooting(cost, init, BOX, config, streams(0)).cost.item() == 0


def test_a_warm_start_searches_where_the_last_plan_was() -> None:
    """A narrow search from a good guess ends cheaper than the same search from mid-bounds."""
    cost = bowl([[0.9, 0.9]])
    config = CEMConfig(samples=16, elites=4, iterations=2, init_std=0.1)
    first = cem(cost, None, BOX, CEMConfig(), streams(0))
    warm = cem(cost, shift(first), BOX, config, streams(1))
    cold = cem(cost, None, BOX, config, streams(1))
    assert warm.cost.item() < cold.cost.item()


@given(horizon=st.integers(1, 6), blocks=st.integers(0, 8))
def test_shifting_drops_the_executed_blocks_and_repeats_the_last(horizon: int, blocks: int) -> None:
    """Block t of the warm start is block t + blocks of the plan, or its last."""
    config = CEMConfig(horizon=horizon, samples=4, elites=2, iterations=1, action_mode="free")
    plan = cem(bowl([[0.0, 0.0]]), None, BOX, config, streams(0))
    moved = shift(plan, blocks)
    for t in range(horizon):
        assert torch.equal(moved[:, t], plan.actions[:, min(t + blocks, horizon - 1)])


@both
def test_a_candidate_of_unknown_cost_is_never_chosen(planner: Planner) -> None:
    """NaN counts as infinite; with nothing else to choose from the cost says so."""

    def undefined_on_the_left(plans: Tensor) -> Tensor:
        costs = bowl([[-1.0, 0.0]])(plans)
        return torch.where(plans[..., 0].mean(dim=(2, 3)) < 0, torch.nan, costs)

    config = CEMConfig(horizon=1)
    plan = planner(undefined_on_the_left, None, BOX, config, streams(0))
    assert 0 <= plan.actions[..., 0].mean().item() < 0.2
    hopeless = planner(
        lambda plans: torch.full(plans.shape[:2], torch.nan), None, BOX, config, streams(0)
    )
    assert hopeless.cost.isinf().all()
    assert bool(hopeless.actions.isfinite().all())


@settings(deadline=None, max_examples=15)
@given(seed=seeds)
def test_permuting_the_samples_changes_nothing_but_their_order(seed: int) -> None:
    """The refit sees a set: shuffled candidates give the same mean, std and best plan."""
    config = CEMConfig(samples=24, elites=6, keep_elites=2)
    generators = streams(seed)
    space = make_space(BOX, None, generators, horizon=5, block=5, repeat=True)
    search = _begin(space, config, None)
    points = torch.rand(1, 24, 5, 1, 2, generator=generators[0])
    costs = bowl([[0.3, 0.6]])(space.blocks(points))
    order = torch.randperm(24, generator=generators[0])
    straight, _ = _refit(search, points, costs, space, config)
    shuffled, _ = _refit(search, points[:, order], costs[:, order], space, config)
    for name in ("mean", "std", "kept", "kept_cost", "best", "best_cost"):
        assert torch.equal(getattr(straight, name), getattr(shuffled, name)), name


@both
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_nothing_inside_an_iteration_waits_for_the_device(planner: Planner) -> None:
    """PyTorch itself raises on a host synchronisation while a cost is being evaluated."""
    bounds = (BOX[0].cuda(), BOX[1].cuda())
    generators = [torch.Generator("cuda").manual_seed(i) for i in range(3)]

    def cost(plans: Tensor) -> Tensor:
        torch.cuda.set_sync_debug_mode("error")  # from the first evaluation on
        return plans.square().mean(dim=(2, 3, 4))

    try:
        plan = planner(cost, None, bounds, CEMConfig(keep_elites=2, momentum=0.1), generators)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert plan.actions.device.type == "cuda"


@both
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"generators": []}, "generators is empty"),
        ({"bounds": (torch.ones(2), -torch.ones(2))}, "finite and low <= high"),
        ({"bounds": (torch.ones(2), torch.ones(3))}, r"\(A,\) or \(B, A\), got \(2,\) and \(3,\)"),
        ({"bounds": (-torch.ones(3, 2), torch.ones(3, 2))}, "bounds are for 3 problems, gen.* 1"),
        ({"init": torch.zeros(1, 5, 4, 2)}, r"\(1, 5, 5, 2\), got \(1, 5, 4, 2\)"),
        ({"cost": lambda plans: plans.mean(dim=(2, 3))}, r"return \(B, N\) = \(1, 200\), got"),
    ],
)
def test_a_wrong_argument_is_named(
    planner: Planner, changed: dict[str, object], message: str
) -> None:
    """What was wanted and what came."""
    arguments = {
        "cost": bowl([[0.0, 0.0]]),
        "init": None,
        "bounds": BOX,
        "config": CEMConfig(),
        "generators": streams(0),
    }
    with pytest.raises(ValueError, match=message):
        planner(**{**arguments, **changed})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("horizon", 0),
        ("block", 0),
        ("iterations", 0),
        ("elites", 1),
        ("elites", 201),
        ("min_std", 0.0),
        ("init_std", 0.01),
        ("momentum", 1.0),
        ("action_mode", "both"),
        ("keep_elites", 21),
    ],
)
def test_a_config_out_of_range_is_refused_by_name(field: str, value: object) -> None:
    """Each constraint is checked where it is stated."""
    with pytest.raises(ValueError, match=f"{field}.* (must be|got|in) "):
        CEMConfig(**{field: value})  # type: ignore[arg-type]


def test_a_plan_cannot_be_shifted_back() -> None:
    """Negative blocks are a caller's mistake."""
    plan = cem(bowl([[0.0, 0.0]]), None, BOX, CEMConfig(), streams(0))
    with pytest.raises(ValueError, match="blocks must be 0 or more, got -1"):
        shift(plan, -1)
