"""The numbers behind the curves of the report, from every pair's outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goalsight.benchmark.results import HOLD, Outcome, Results
from goalsight.benchmark.statistics import SuccessRate, success_rate

Array = NDArray[np.float64]
_PAIRS_A_GROUP, _MOST_GROUPS = 10, 6


@dataclass(frozen=True, kw_only=True)
class Group:
    """Pairs whose goals are about equally far from their starts, and how a row did on them."""

    distance_m: float
    """Mean distance at the start [m]."""
    pairs: int
    success: SuccessRate
    """Terminal success."""


def of_row(results: Results, row: str) -> list[Outcome]:
    """The outcomes of one row, by pair."""
    return sorted((o for o in results.pairs if o.row == row), key=lambda o: o.pair)


def success_by_distance(outcomes: Sequence[Outcome]) -> list[Group]:
    """Terminal success in groups of equally many pairs, from the nearest goal to the farthest.

    Args:
        outcomes: of one row; rows of one run fall into the same groups.

    Returns:
        One group for every ten pairs, six at most.
    """
    nearest = sorted(outcomes, key=lambda o: (o.distance_m[0], o.pair))
    count = min(max(len(nearest) // _PAIRS_A_GROUP, 1), _MOST_GROUPS)
    return [
        Group(
            distance_m=float(np.mean([nearest[i].distance_m[0] for i in part])),
            pairs=len(part),
            success=success_rate(np.array([nearest[i].terminal for i in part])),
        )
        for part in np.array_split(np.arange(len(nearest)), count)
    ]


def inside(outcome: Outcome, threshold: float) -> NDArray[np.bool_]:
    """(budget + 1,) whether the pair was solved after each control step; never at the start.

    Runs of old did not write it down: their distances say it, and where they contradict what was
    counted (a task may ask for more than nearness), what was counted holds.

    Args:
        outcome: of one pair.
        threshold: largest distance that counts as reached [m].
    """
    solved = np.zeros(len(outcome.distance_m), bool)
    if outcome.inside is not None:
        for first, last in outcome.inside:
            solved[first : last + 1] = True
        return solved
    if outcome.anytime:
        solved[1:] = np.array(outcome.distance_m[1:]) <= threshold
    if outcome.terminal:
        solved[-HOLD:] = True
    elif solved[-HOLD:].all():
        solved[-1] = False
    return solved


def reached_so_far(outcomes: Sequence[Outcome], threshold: float) -> Array:
    """(budget + 1,) share of the pairs solved at some step so far; ends at anytime success."""
    reached = np.array([np.logical_or.accumulate(inside(o, threshold)) for o in outcomes])
    return np.asarray(reached.mean(axis=0), np.float64)


def held_so_far(outcomes: Sequence[Outcome], threshold: float) -> Array:
    """(budget + 1,) share held for the last five steps, had the budget ended here.

    Ends at terminal success.
    """
    solved = np.array([inside(o, threshold) for o in outcomes])  # (P, budget + 1), no start is
    held = solved.copy()
    for back in range(1, HOLD):
        held[:, back:] &= solved[:, :-back]
    return np.asarray(held.mean(axis=0), np.float64)


def evaluations_until_solved(outcome: Outcome, threshold: float) -> float:
    """Plans evaluated up to the step that solved the pair; infinite if none did.

    Decisions are evenly spaced over the budget: that many so far, each of so many evaluations.
    """
    solved = np.flatnonzero(inside(outcome, threshold))
    if not solved.size:
        return np.inf
    budget, decisions = len(outcome.distance_m) - 1, len(outcome.latency_ms)
    so_far = -(-int(solved[0]) * decisions // budget)  # rounded up
    return float(so_far * outcome.evaluations_per_decision)


def solved_by_evaluations(outcomes: Sequence[Outcome], threshold: float) -> tuple[Array, Array]:
    """Where the share of solved pairs rises: evaluations (n,) and the share from there on (n,)."""
    spent = np.array([evaluations_until_solved(o, threshold) for o in outcomes])
    points, counts = np.unique(spent[np.isfinite(spent)], return_counts=True)
    return points, np.cumsum(counts) / len(outcomes)


def spends(outcome: Outcome) -> bool:
    """Whether the row evaluates plans at all."""
    return bool(outcome.latency_ms) and outcome.evaluations_per_decision > 0
