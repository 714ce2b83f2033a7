"""The curves end where the table stands, and sentences say what the tests found."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalsight.benchmark.results import (
    Outcome,
    Results,
    compare,
    outcome_from_json,
    row_result,
    stretches,
    success_rate,
)
from goalsight.report.figures import (
    distance_over_time,
    evaluations_until_solved,
    held_so_far,
    inside,
    latency_histogram,
    reached_so_far,
    solved_by_evaluations,
    success_by_distance,
    success_over_evaluations,
    success_over_start,
    success_over_time,
)
from goalsight.report.table import comparisons, leading_row, looks

THRESHOLD = 0.04


def played(steps: Sequence[bool], row: str = "agent", pair: int = 0) -> Outcome:
    """A pair that was solved after the steps given, deciding every second step."""
    return Outcome(
        row=row,
        pair=pair,
        terminal=all(steps[-5:]),
        anytime=any(steps),
        distance_m=(0.2, *(0.01 if solved else 0.1 for solved in steps)),
        latency_ms=(10.0,) * (len(steps) // 2),
        evaluations_per_decision=100,
        inside=stretches(steps),
    )


STEPS = st.lists(st.booleans(), min_size=10, max_size=10)


@given(runs=st.lists(STEPS, min_size=1, max_size=6))
def test_curves_end_at_the_numbers_of_the_table(runs: list[list[bool]]) -> None:
    pairs = [played(steps, pair=i) for i, steps in enumerate(runs)]
    row = row_result("agent", pairs)
    held, reached = held_so_far(pairs, THRESHOLD), reached_so_far(pairs, THRESHOLD)
    assert held[-1] == pytest.approx(row.terminal.rate)
    assert reached[-1] == pytest.approx(row.anytime.rate)
    assert held[0] == reached[0] == 0
    assert (np.diff(reached) >= 0).all()
    assert (held <= reached).all()
    _, shares = solved_by_evaluations(pairs, THRESHOLD)
    assert (shares[-1] if len(shares) else 0) == pytest.approx(row.anytime.rate)


@given(steps=STEPS)
def test_a_run_of_old_says_by_its_distances_what_a_new_one_notes(steps: list[bool]) -> None:
    new = played(steps)
    old = replace(new, inside=None)
    assert inside(old, THRESHOLD).tolist() == inside(new, THRESHOLD).tolist() == [False, *steps]


def test_where_distance_and_count_disagree_the_count_holds() -> None:
    """Near all the time, but the gripper never opened."""
    carried = replace(played([True] * 10), anytime=False, terminal=False, inside=None)
    assert not inside(carried, THRESHOLD).any()
    late = replace(carried, anytime=True)
    assert held_so_far([late], THRESHOLD)[-1] == 0


def test_an_outcome_reads_back_with_its_stretches() -> None:
    outcome = played([False, True, True, False] + [True] * 6)
    assert outcome.inside == ((2, 3), (5, 10))
    assert outcome_from_json({**vars(outcome), "inside": [[2, 3], [5, 10]]}) == outcome


@pytest.mark.parametrize(("first", "evaluations"), [(1, 100), (2, 100), (3, 200), (10, 500)])
def test_evaluations_are_those_of_the_decisions_so_far(first: int, evaluations: int) -> None:
    """Five decisions in ten steps: the second is made before the third step."""
    steps = [step >= first for step in range(1, 11)]
    assert evaluations_until_solved(played(steps), THRESHOLD) == evaluations


def test_a_pair_never_solved_spends_without_end() -> None:
    assert evaluations_until_solved(played([False] * 10), THRESHOLD) == np.inf


def test_groups_hold_every_pair_once_from_near_to_far() -> None:
    rng = np.random.default_rng(0)
    pairs = [
        replace(played([bool(rng.random() < 0.5)] * 10, pair=i), distance_m=(rng.random(),) * 11)
        for i in range(47)
    ]
    groups = success_by_distance(pairs)
    assert sum(group.pairs for group in groups) == 47
    assert sum(group.success.successes for group in groups) == sum(o.terminal for o in pairs)
    assert len(groups) == 4
    distances = [group.distance_m for group in groups]
    assert distances == sorted(distances)
    nearest = sorted(pairs, key=lambda o: o.distance_m[0])[:12]
    assert groups[0].success == success_rate(np.array([o.terminal for o in nearest]))


def table(results: Results, solved: dict[str, int], pairs: int = 12) -> Results:
    """Results in which each row solves its first pairs."""
    outcomes = [
        played([pair < count] * 10, row, pair)
        for row, count in solved.items()
        for pair in range(pairs)
    ]
    rows = [row_result(row, [o for o in outcomes if o.row == row]) for row in solved]
    return replace(results, rows=rows, pairs=outcomes, mcnemar=compare(list(solved), outcomes))


def test_sentences_name_the_winner_first_and_only_where_the_test_does(results: Results) -> None:
    told = comparisons(table(results, {"a": 2, "b": 12, "c": 10}))
    assert [one.verdict for one in told] == [
        "No difference shown between b and c",
        "c beats a",
        "b beats a",
    ]
    assert told[1].evidence == "c alone solved 8 pairs, a alone none (p\xa0=\xa00.008)."


def test_of_many_rows_the_neighbours_in_rank_are_told_first(results: Results) -> None:
    counts = {"a": 0, "b": 12, "c": 6, "d": 9, "e": 3}
    told = comparisons(table(results, counts))
    assert len(told) == len(list(combinations(counts, 2)))
    assert sum(one.ranked for one in told) == len(counts) - 1
    assert all(one.ranked for one in told[: len(counts) - 1])


def test_the_page_opens_with_the_best_row_that_sees_pictures_alone(results: Results) -> None:
    assert (
        leading_row(table(results, {"expert": 12, "search": 7, "hybrid": 9, "gcbc": 8})) == "hybrid"
    )
    assert leading_row(table(results, {"actor": 7, "search": 7})) == "search"
    assert leading_row(table(results, {"expert": 12})) == "expert"


def test_no_two_rows_look_alike() -> None:
    rows = [f"row {i}" for i in range(20)]
    assert len({(look.number, look.dash, look.marker) for look in looks(rows).values()}) == 20
    assert len({look.number for look in looks(rows[:10]).values()}) == 10


@pytest.mark.parametrize(
    "plot",
    [
        distance_over_time,
        latency_histogram,
        success_over_evaluations,
        success_over_start,
        success_over_time,
    ],
)
def test_plots_take_ink_and_colours_from_the_page_and_are_the_same_each_time(
    results: Results, plot: Callable[[Results], str]
) -> None:
    svg = plot(results)
    assert svg == plot(results)
    assert "currentColor" in svg
    assert "var(--row1)" in svg
    assert "#000000" not in svg
    assert "font-family" not in svg
    assert not re.search(r"fill: ?#fff", svg)
    names = re.findall(r' id="([^"]+)"', svg)
    assert len(names) == len(set(names))
