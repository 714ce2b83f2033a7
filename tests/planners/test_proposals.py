"""A search that stays near what it was given, and samples that owe it nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from benchmarks.planners import PLANNERS
from goalsight_planners import CEMConfig, Plan, SearchConfig, cem, shift, shift_steps
from goalsight_planners import streams as make_streams

Small = Callable[..., SearchConfig]
H, K, A = 3, 2, 2
ONES = torch.ones(A)
GAUSSIAN = ("cem", "icem", "mppi")


class Seen:
    """A bowl at a point that remembers every plan it was asked about."""

    def __init__(self, at: float = 0.9) -> None:
        self.at = at
        self.plans: list[Tensor] = []

    def __call__(self, plans: Tensor) -> Tensor:
        self.plans.append(plans.clone())
        return (plans - self.at).square().mean(dim=(2, 3, 4))


def search(name: str, config: SearchConfig, init: Tensor | None, seen: Seen) -> Plan:
    return PLANNERS[name].function(seen, init, (-ONES, ONES), config, make_streams([0]))


@pytest.mark.parametrize("name", GAUSSIAN)
def test_a_fixed_spread_stays_while_the_mean_moves(name: str, small: Small) -> None:
    config = small(name, horizon=H, block=K, fixed_std=0.1, samples=64, iterations=6)
    init = torch.full((1, H, K, A), -0.5)
    plan = search(name, config, init, Seen())
    torch.testing.assert_close(plan.std, torch.full_like(plan.std, 0.1))
    assert float(plan.mean.mean()) > -0.35
    free_config = small(name, horizon=H, block=K, samples=64, iterations=6)
    free = search(name, free_config, init, Seen())
    assert not torch.allclose(free.std, torch.full_like(free.std, 0.1))


def test_a_search_with_a_fixed_spread_begins_near_its_guess() -> None:
    seen = Seen()
    config = CEMConfig(horizon=H, block=K, fixed_std=0.1, samples=200, iterations=1)
    search("cem", config, torch.full((1, H, K, A), -0.5), seen)
    assert float((seen.plans[0] + 0.5).abs().max()) < 0.1 * 5
    assert float(seen.plans[0].std()) == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize("name", GAUSSIAN)
def test_samples_from_the_prior_are_the_same_whatever_was_guessed_or_found(
    name: str, small: Small
) -> None:
    """The last quarter of every iteration, and only that."""
    config = small(name, horizon=H, block=K, fixed_std=0.1, prior_fraction=0.25, samples=32)
    runs = []
    for guess, at in ((-0.5, 0.9), (0.4, -0.9)):
        seen = Seen(at)
        search(name, config, torch.full((1, 3, H, K, A), guess), seen)
        runs.append(seen.plans)
    for one, other in zip(*runs, strict=True):
        fresh = round(0.25 * one.shape[1])
        assert torch.equal(one[:, -fresh:], other[:, -fresh:])
        assert float(one[:, -fresh:].std()) > 0.4
        assert not (one[:, :-fresh] == other[:, :-fresh]).all(dim=(2, 3, 4)).any()


def test_without_them_the_search_is_what_it_was() -> None:
    """The same noise is drawn: a search that asks for neither finds the same plan."""
    config = CEMConfig(horizon=H, block=K, samples=32, iterations=3)
    plain = search("cem", config, None, Seen())
    assert (config.fixed_std, config.prior_fraction) == (0.0, 0.0)
    mixed, seen = replace(config, prior_fraction=0.25), Seen()
    search("cem", mixed, None, seen)
    untouched = Seen()
    again = search("cem", config, None, untouched)
    assert torch.equal(plain.actions, again.actions)
    assert torch.equal(seen.plans[0], untouched.plans[0])  # both begin at the widest there is


def test_guesses_may_not_take_the_place_of_samples_from_the_prior() -> None:
    config = CEMConfig(horizon=H, block=K, samples=8, elites=2, prior_fraction=0.5)
    guesses = torch.zeros(1, 5, H, K, A)
    with pytest.raises(
        ValueError, match="init holds 5 guesses; of 8 samples 4 are not independent"
    ):
        cem(Seen(), guesses, (-ONES, ONES), config, make_streams([0]))
    cem(Seen(), guesses[:, :4], (-ONES, ONES), config, make_streams([0]))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("fixed_std", -0.1, "fixed_std must be at least 0, got -0.1"),
        ("prior_fraction", 1.0, r"prior_fraction must be in \[0, 1\), got 1.0"),
    ],
)
def test_values_out_of_range_are_refused(field: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CEMConfig(**{field: value})  # type: ignore[arg-type]


def test_a_plan_is_moved_on_by_control_steps_too() -> None:
    actions = torch.arange(float(H * K)).reshape(1, H, K, 1)
    plan = Plan(
        actions=actions,
        mean=actions,
        std=actions,
        elites=actions[:, None],
        cost=torch.zeros(1),
        history=(),
        evaluations=1,
    )
    for blocks in range(H + 2):
        assert torch.equal(shift_steps(plan, blocks * K), shift(plan, blocks))
    assert shift_steps(plan, 1).flatten().tolist() == [1, 2, 3, 4, 5, 4]
    assert shift_steps(plan, 3).flatten().tolist() == [3, 4, 5, 4, 5, 4]
    with pytest.raises(ValueError, match="cannot be moved back"):
        shift_steps(plan, -1)
