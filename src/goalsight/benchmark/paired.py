"""Rows of two runs compared pair by pair."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goalsight.benchmark.results import Results
from goalsight.benchmark.statistics import PairedTest, mcnemar, p_value
from goalsight.errors import UserError


def compare_runs(
    first: Results,
    second: Results,
    rows: tuple[str, str] = ("agent", "agent"),
    *,
    pairs: int | None = None,
) -> PairedTest:
    """McNemar's exact test on the terminal success of a row of one run and a row of another.

    Args:
        first: results of one run.
        second: results of the other, on the same manifest.
        rows: whose row of each.
        pairs: compare the first so many pairs; None wants both runs to have played the same ones.

    Returns:
        `only_first` are the pairs that `first` won, `only_second` those it lost.

    Raises:
        UserError: if the runs are of two manifests or of different pairs, a row is missing, or
            pairs is not a number of pairs.
    """
    one, other = first.manifest, second.manifest
    if one.sha256 != other.sha256:
        raise UserError(
            f"the runs are of two manifests, {one.name} ({one.sha256[:12]}) and {other.name} "
            f"({other.sha256[:12]}); only identical pairs can be compared"
        )
    if pairs is not None and pairs < 1:
        raise UserError(f"pairs must be at least 1, got {pairs}")
    won, lost = _terminal(first, rows[0]), _terminal(second, rows[1])
    if pairs is not None:
        won, lost = _first(won, pairs), _first(lost, pairs)
    if won.keys() != lost.keys():
        most = min(len(won), len(lost))
        raise UserError(
            f"the runs played {len(won)} and {len(lost)} pairs of {one.name}; compare the first "
            f"ones of both with --pairs {most}"
        )
    order = sorted(won)
    return mcnemar(rows, _outcomes(won, order), _outcomes(lost, order))


def verdict(test: PairedTest) -> str:
    """The test in words, the first run's wins first.

    >>> verdict(PairedTest(rows=("a", "b"), only_first=45, only_second=23, p=0.0103))
    '45 won, 23 lost, p = 0.010'
    """
    return f"{test.only_first} won, {test.only_second} lost, {p_value(test.p)}"


def _terminal(results: Results, row: str) -> dict[int, bool]:
    found = {outcome.pair: outcome.terminal for outcome in results.pairs if outcome.row == row}
    if not found:
        names = ", ".join(one.row for one in results.rows)
        raise UserError(f"no row {row!r} in the run of {results.manifest.name}; it has: {names}")
    return found


def _first(outcomes: dict[int, bool], pairs: int) -> dict[int, bool]:
    """The first so many pairs of the manifest; what was not played of them stays missing."""
    return {pair: terminal for pair, terminal in outcomes.items() if pair < pairs}


def _outcomes(found: dict[int, bool], order: list[int]) -> NDArray[np.bool_]:
    return np.array([found[pair] for pair in order], bool)
