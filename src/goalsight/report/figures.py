"""The figures of a page: each with its caption, and in words for those who cannot see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from goalsight.benchmark.results import Outcome, Results
from goalsight.report import plots
from goalsight.report.measures import held_so_far, of_row, spends, success_by_distance


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A curve on the page."""

    title: str
    caption: str
    svg: Markup


def figures(results: Results) -> list[Figure]:
    """Success by distance, time and evaluations; distance over time; latency of decisions.

    The last two of success and latency are left out where no row plans.
    """
    few = len(results.rows) <= plots.FEW_ROWS
    groups = success_by_distance(of_row(results, results.rows[0].row))
    smallest, largest = min(g.pairs for g in groups), max(g.pairs for g in groups)
    size = f"{smallest}" if smallest == largest else f"{smallest} or {largest}"
    many = f"{len(groups)} groups of {size} pairs, from the nearest goal to the farthest"
    one = len(groups) == 1
    made = [
        _figure(
            results,
            "Success by distance to the goal",
            f"{f'All {size} pairs' if one else many}; {'bars' if one or not few else 'bands'}: "
            "95\N{NO-BREAK SPACE}% Wilson intervals.",
            plots.success_over_start(results),
            _by_distance,
        ),
        _figure(
            results,
            "Success over time",
            "Line: held for the last 5 control steps, had the budget ended here. "
            f"Thin line: reached so far.{_nearness(results)}",
            plots.success_over_time(results),
            lambda outcomes: _over_time(results, outcomes),
        ),
    ]
    if any(map(spends, results.pairs)):
        made.append(
            _figure(
                results,
                "Success by plans evaluated",
                "Plans the model evaluated until the goal was reached: decisions so far × plans a "
                "decision. Dotted: rows that evaluate none.",
                plots.success_over_evaluations(results),
                _spent,
            )
        )
    made.append(
        _figure(
            results,
            "Distance to the goal",
            ("Median of the pairs, and the quartiles. " if few else "Median of the pairs. ")
            + f"Dashed: success within {100 * results.manifest.threshold:g} cm.",
            plots.distance_over_time(results),
            _ends,
        )
    )
    if any(o.latency_ms for o in results.pairs):
        made.append(
            _figure(
                results,
                "Time of a decision",
                f"Every decision, at batch 1; the mark below is the median.{_due(results)}",
                plots.latency_histogram(results),
                _latency,
            )
        )
    return made


def _figure(
    results: Results,
    title: str,
    caption: str,
    svg: str,
    tell: Callable[[list[Outcome]], str],
) -> Figure:
    """Put the numbers of each row into the picture's label."""
    rows = [(row.row, tell(of_row(results, row.row))) for row in results.rows]
    said = "; ".join(f"{row}: {words}" for row, words in rows if words)
    label = Markup(' role="img" aria-label="{}"').format(f"{title}. {said}.")
    picture = Markup(svg.replace("<svg", f"<svg{label}", 1))  # noqa: S704  (our own SVG)
    return Figure(title=title, caption=caption, svg=picture)


def _by_distance(outcomes: list[Outcome]) -> str:
    return ", ".join(
        f"{100 * group.success.rate:.0f} % at {100 * group.distance_m:.1f} cm"
        for group in success_by_distance(outcomes)
    )


def _over_time(results: Results, outcomes: list[Outcome]) -> str:
    held = 100 * held_so_far(outcomes, results.manifest.threshold)
    dt = results.manifest.control_dt
    quarters = np.linspace(0, len(held) - 1, 5).round().astype(int)[1:]
    return ", ".join(f"{held[i]:.0f} % after {i * dt:g} s" for i in quarters)


def _spent(outcomes: list[Outcome]) -> str:
    reached = sum(o.anytime for o in outcomes)
    whole = max(map(plots.spent_by, outcomes))
    return f"{100 * reached / len(outcomes):.0f} % reached with at most {whole} plans an episode"


def _ends(outcomes: list[Outcome]) -> str:
    first, last = (100 * np.median([o.distance_m[i] for o in outcomes]) for i in (0, -1))
    return f"median from {first:.1f} to {last:.1f} cm"


def _latency(outcomes: list[Outcome]) -> str:
    times = [ms for o in outcomes for ms in o.latency_ms]
    return f"median {np.median(times):.0f} ms" if times else ""


def _due(results: Results) -> str:
    """How often decisions come, where every planning row decides equally often."""
    counts = {len(o.latency_ms) for o in results.pairs if o.latency_ms}
    if len(counts) != 1:
        return ""
    seconds = results.manifest.budget * results.manifest.control_dt / counts.pop()
    return f" One is due every {seconds:g} s."


def _nearness(results: Results) -> str:
    """What a run of old cannot say."""
    if all(o.inside is not None for o in results.pairs):
        return ""
    return " This run did not keep which steps succeeded: read off the distance."
