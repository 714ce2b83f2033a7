"""Wilson's interval and McNemar's test, against their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalsight.benchmark.results import mcnemar, success_rate

outcomes = st.lists(st.booleans(), min_size=1, max_size=300).map(np.array)
paired = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=200).map(np.array)


@given(outcomes)
def test_the_interval_is_wilsons(found: np.ndarray) -> None:
    """Solved by hand: the rates p with |p_hat - p| = z sqrt(p (1 - p) / n)."""
    rate, n, z = success_rate(found), found.size, 1.959963984540054
    centre = (rate.rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate.rate * (1 - rate.rate) / n + (z / 2 / n) ** 2)
    assert rate.low == pytest.approx(centre - half, abs=1e-9)
    assert rate.high == pytest.approx(centre + half, abs=1e-9)
    assert 0 <= rate.low <= rate.rate + 1e-12
    assert rate.rate <= rate.high + 1e-12


@given(paired)
def test_the_order_of_two_rows_does_not_change_their_test(both: np.ndarray) -> None:
    first, second = both.T
    there, back = mcnemar(("a", "b"), first, second), mcnemar(("b", "a"), second, first)
    assert there.p == back.p
    assert (there.only_first, there.only_second) == (back.only_second, back.only_first)


@given(paired, st.booleans())
def test_pairs_on_which_rows_agree_say_nothing(both: np.ndarray, agreed: bool) -> None:
    more = np.concatenate([both, np.full((20, 2), agreed)])
    assert mcnemar(("a", "b"), *both.T) == mcnemar(("a", "b"), *more.T)


def test_the_exact_probability_of_nine_to_one() -> None:
    """Two-sided: 2 x (1 + 10) / 2^10."""
    first = np.array([True] * 9 + [False])
    assert mcnemar(("a", "b"), first, ~first).p == pytest.approx(22 / 1024)


def test_rows_on_different_pairs_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="share their pairs, got 2 and 3"):
        mcnemar(("a", "b"), np.zeros(2, bool), np.zeros(3, bool))


def test_nothing_has_no_rate() -> None:
    with pytest.raises(ValueError, match="at least one pair"):
        success_rate(np.zeros(0, bool))
