"""The two statistics of the protocol: Wilson's interval and McNemar's exact test.

scipy.stats takes most of a second to import, so it is imported where it is used: workers never are
kept waiting for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class SuccessRate:
    """Successes out of pairs, with a 95 % Wilson interval."""

    successes: int
    rate: float
    """Successes / pairs, in [0, 1]."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """Two rows on the same pairs, compared by McNemar's exact test."""

    rows: tuple[str, str]
    only_first: int
    """Pairs that the first row alone solved."""
    only_second: int
    """Pairs that the second row alone solved."""
    p: float
    """Two-sided probability of a split at least this uneven if the rows were equally good."""


def success_rate(outcomes: NDArray[np.bool_]) -> SuccessRate:
    """Rate and 95 % Wilson interval (Wilson 1927, JASA 22:209) of independent outcomes.

    Args:
        outcomes: (P,) True where a pair succeeded.

    Raises:
        ValueError: if there are no outcomes.

    >>> rate = success_rate(np.array([True] * 45 + [False] * 5))
    >>> round(rate.low, 3), rate.rate, round(rate.high, 3)
    (0.786, 0.9, 0.957)
    """
    from scipy.stats import binomtest

    if outcomes.size == 0:
        raise ValueError("a success rate needs at least one pair")
    test = binomtest(int(outcomes.sum()), outcomes.size)
    interval = test.proportion_ci(confidence_level=0.95, method="wilson")
    return SuccessRate(
        successes=int(outcomes.sum()),
        rate=float(outcomes.mean()),
        low=float(interval.low),
        high=float(interval.high),
    )


def mcnemar(
    rows: tuple[str, str], first: NDArray[np.bool_], second: NDArray[np.bool_]
) -> PairedTest:
    """Exact McNemar test (McNemar 1947): only pairs on which the rows differ say anything.

    Args:
        rows: names of the two rows.
        first: (P,) outcomes of the first row.
        second: (P,) outcomes of the second on the same pairs.

    Raises:
        ValueError: if the rows were not run on equally many pairs.

    >>> mcnemar(("a", "b"), np.array([True] * 5 + [False]), np.zeros(6, bool)).p
    0.0625
    """
    from scipy.stats import binomtest

    if first.shape != second.shape:
        raise ValueError(f"rows must share their pairs, got {first.size} and {second.size}")
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    differ = only_first + only_second
    p = float(binomtest(only_first, differ).pvalue) if differ else 1.0
    return PairedTest(rows=rows, only_first=only_first, only_second=only_second, p=p)


def p_value(p: float) -> str:
    """A probability with as many digits as say something.

    >>> p_value(2e-7), p_value(0.0526), p_value(0.8918)
    ('p < 0.001', 'p = 0.053', 'p = 0.89')
    """
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.3f}" if p < 0.095 else f"p = {p:.2f}"
