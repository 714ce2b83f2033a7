"""What the numbers of a run say, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from goalsight.benchmark.results import Results, RowResult
from goalsight.benchmark.statistics import PairedTest

SEES_STATE = frozenset({"expert", "oracle"})
"""Rows that read the simulator while they act: ceilings, not contenders."""
_BLIND = frozenset({"random", "zero"})
LEVEL = 0.05
"""Below this p a difference is called one."""
_FEW = 6
_TIED = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two rows on the same pairs, in words."""

    verdict: str
    """Such as `agent beats random`, or that no difference is shown."""
    evidence: str
    """The pairs on which they differ, and McNemar's p."""
    ranked: bool
    """Whether the two stand next to each other when rows are ranked by terminal success."""


def leading_row(results: Results) -> str:
    """The row the page opens with: of those that decide from pictures, the most successful.

    Rows that read the simulator count only where there is no other, and so do rows that decide
    nothing; of equals, the later in the table leads.
    """

    def rank(row: RowResult) -> tuple[bool, bool, int]:
        return row.row not in SEES_STATE, row.latency_ms is not None, row.terminal.successes

    return max(reversed(results.rows), key=rank).row


def headline(results: Results) -> str:
    """One sentence about the leading row."""
    leader = leading_row(results)
    row = next(row for row in results.rows if row.row == leader)
    rate = row.terminal
    return (
        f"{row.row} held {rate.successes} of {row.pairs} goals to the end: {_percent(rate.rate)} "
        f"(95{_TIED}% interval {100 * rate.low:.0f} to {100 * rate.high:.0f})"
    )


def labels(results: Results, row: RowResult) -> str:
    """What taught a row, or what it sees of the simulator while acting."""
    if row.row in SEES_STATE:
        return "sees simulator state"
    if row.row in _BLIND or not results.checkpoint:
        return "nothing"
    return (
        results.checkpoint.taught_by or ", ".join(results.checkpoint.labels_used) or "nobody says"
    )


def comparisons(results: Results) -> list[Comparison]:
    """McNemar's tests of a run as sentences, the ranked neighbours first.

    A few tests are all called ranked: there is nothing to leave out.
    """
    by_success = sorted(results.rows, key=lambda row: -row.terminal.successes)
    order = [row.row for row in by_success]
    few = len(results.mcnemar) <= _FEW
    told = []
    for test in results.mcnemar:
        places = sorted(order.index(name) for name in test.rows)
        near = places[1] - places[0] == 1
        told.append((not near, places, _compared(test, order, ranked=near or few)))
    return [comparison for _, _, comparison in sorted(told, key=lambda item: item[:2])]


def _compared(test: PairedTest, order: Sequence[str], *, ranked: bool) -> Comparison:
    first, second = test.rows
    wins, losses = test.only_first, test.only_second
    if (wins, -order.index(first)) < (losses, -order.index(second)):
        first, second, wins, losses = second, first, losses, wins
    if not wins + losses:
        verdict = f"{first} and {second} solved the same pairs"
        return Comparison(verdict=verdict, evidence="nothing tells them apart.", ranked=ranked)
    verdict = f"{first} beats {second}"
    if test.p >= LEVEL:
        verdict = f"No difference shown between {first} and {second}"
    evidence = (
        f"{first} alone solved {_pairs(wins)}, {second} alone {losses or 'none'} ({_p(test.p)})."
    )
    return Comparison(verdict=verdict, evidence=evidence, ranked=ranked)


def _p(p: float) -> str:
    text = "< 0.001" if p < 0.001 else f"= {p:.3f}" if p < 0.1 else f"= {p:.2f}"
    return f"p {text}".replace(" ", _TIED)


def _pairs(count: int) -> str:
    return "1 pair" if count == 1 else f"{count} pairs"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}{_TIED}%"
