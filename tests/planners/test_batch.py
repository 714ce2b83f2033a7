"""What is planned for a problem does not depend on the problems beside it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from benchmarks.planners import PLANNERS
from goalsight_planners import Cost, Discrete, Plan, SearchConfig, Workspace, streams

Small = Callable[..., SearchConfig]
PROBLEMS = 100
HALF = torch.full((2,), 0.1)
BOX = torch.ones(4)


def targets(device: str = "cpu") -> Tensor:
    """(100, H=3, 1, 4) where each problem's blocks want to be."""
    generator = streams([0])[0]
    return (2 * torch.rand(PROBLEMS, 3, 1, 4, generator=generator) - 1).to(device)


def bowl_and_ripples(target: Tensor, seen: list[Tensor]) -> Cost:
    """Not convex, so that a plan depends on its samples, of problems (B, H, 1, 4)."""

    def cost(plans: Tensor) -> Tensor:
        seen.append(plans.detach().clone())
        off = plans - target[:, None]
        return (off.square() + 0.05 * (12 * off).cos()).mean(dim=(2, 3, 4))

    return cost


def plan_for(
    name: str, rows: slice, config: SearchConfig, device: str = "cpu"
) -> tuple[Plan, Tensor]:
    """The plans of some of the problems, and the first samples that were evaluated."""
    seen: list[Tensor] = []
    room = HALF.to(device)
    # bounds and positions differ from problem to problem
    high = (0.5 + 0.5 * torch.rand(PROBLEMS, 4, generator=streams([1])[0])).to(device)[rows]
    at = torch.linspace(-0.09, 0.09, PROBLEMS, device=device)[rows, None].expand(-1, 2)
    walls = Workspace(axes=(0, 1), low=-room, high=room, position=at, step=0.05)
    plan = PLANNERS[name].function(
        bowl_and_ripples(targets(device)[rows], seen),
        None,
        (-high, high),
        config,
        streams(range(PROBLEMS)[rows], device),
        limits=walls,
    )
    return plan, seen[0]


def compare(name: str, config: SearchConfig, device: str) -> None:
    together, drawn = plan_for(name, slice(PROBLEMS), config, device)
    for i in range(PROBLEMS):
        alone, own = plan_for(name, slice(i, i + 1), config, device)
        assert torch.equal(drawn[i], own[0])
        if device == "cpu":  # the cost rounds a problem alike wherever it stands
            for field in ("actions", "mean", "std", "cost", "elites"):
                mine, its = getattr(together, field)[i], getattr(alone, field)[0]
                assert torch.equal(mine, its), f"{field} of {i}"
        else:
            torch.testing.assert_close(together.cost[i], alone.cost[0], atol=1e-4, rtol=0)


def test_each_of_100_problems_is_planned_alike_alone_and_together(name: str, small: Small) -> None:
    """Bit for bit on a CPU, also elites: own bounds, walls, stream, early stop."""
    config = small(
        name, horizon=3, block=2, discrete=(Discrete(axis=3),), stop_spread=0.25, iterations=3
    )
    compare(name, config, "cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_each_of_100_problems_is_planned_alike_on_a_gpu(name: str, small: Small) -> None:
    compare(name, small(name, horizon=3, block=2, discrete=(Discrete(axis=3),)), "cuda")


def test_a_stream_ends_where_it_would_have_alone(name: str, small: Small) -> None:
    """Also after an early stop, so that the next decision is the same as well."""
    ends = []
    for rows in (slice(0, 1), slice(0, 20)):
        generators = streams(range(20)[rows])
        high = torch.ones(4)
        PLANNERS[name].function(
            bowl_and_ripples(targets()[rows], []),
            None,
            (-high, high),
            small(name, horizon=3, block=2, stop_spread=0.3),
            generators,
        )
        ends.append(generators[0].get_state())
    assert torch.equal(ends[0], ends[1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("sampler", ["cem", "icem", "mppi", "random_shooting"])
@pytest.mark.parametrize("stop_spread", [0.0, 0.3])
def test_nothing_inside_an_iteration_waits_for_the_device(
    sampler: str, stop_spread: float, small: Small
) -> None:
    """PyTorch itself raises on a host synchronisation while a cost is being evaluated."""
    high, half = BOX.cuda(), HALF.cuda()
    walls = Workspace(axes=(0, 1), low=-half, high=half, position=0 * half, step=0.05)

    def cost(plans: Tensor) -> Tensor:
        torch.cuda.set_sync_debug_mode("error")  # from the first evaluation on
        return plans.square().mean(dim=(2, 3, 4))

    config = small(sampler, discrete=(Discrete(axis=3),), stop_spread=stop_spread)
    try:
        plan = PLANNERS[sampler].function(
            cost, None, (-high, high), config, streams(range(3), "cuda"), limits=walls
        )
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert plan.actions.device.type == "cuda"
