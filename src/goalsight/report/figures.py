"""The figures of a page: the numbers behind the curves, the curves, and what they show in words.

Curves are SVG that takes ink, font and colours from the page around it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from goalsight.benchmark.results import HOLD, Outcome, Results, SuccessRate, success_rate
from goalsight.report.table import COLOURS, Look, looks

Array = NDArray[np.float64]
_PAIRS_A_GROUP, _MOST_GROUPS = 10, 6
_INK = "#010203"  # a colour nobody uses, replaced by the page's own
_STYLE: Any = {  # matplotlib types the keys as a literal of hundreds
    "svg.fonttype": "none",
    "svg.hashsalt": "goalsight",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.linewidth": 0.7,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.7,
    "lines.markersize": 4,
    "lines.scale_dashes": True,
}
FEW_ROWS = 4
"""Up to so many rows bands can be told apart."""
_SPARK_POINTS = 51


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
    few = len(results.rows) <= FEW_ROWS
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
            success_over_start(results),
            _by_distance,
        ),
        _figure(
            results,
            "Success over time",
            "Line: held for the last 5 control steps, had the budget ended here. "
            f"Thin line: reached so far.{_nearness(results)}",
            success_over_time(results),
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
                success_over_evaluations(results),
                _spent,
            )
        )
    made.append(
        _figure(
            results,
            "Distance to the goal",
            ("Median of the pairs, and the quartiles. " if few else "Median of the pairs. ")
            + f"Dashed: success within {100 * results.manifest.threshold:g} cm.",
            distance_over_time(results),
            _ends,
        )
    )
    if any(o.latency_ms for o in results.pairs):
        made.append(
            _figure(
                results,
                "Time of a decision",
                f"Every decision, at batch 1; the mark below is the median.{_due(results)}",
                latency_histogram(results),
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
    whole = max(map(spent_by, outcomes))
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


# -- numbers -------------------------------------------------------------------------------------


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


# -- curves --------------------------------------------------------------------------------------


def success_over_start(results: Results) -> str:
    """SVG of terminal success by distance at the start, groups of pairs with Wilson bands."""

    def draw(axes: Axes) -> None:
        few = len(results.rows) <= FEW_ROWS
        for number, (outcomes, look) in enumerate(_rows(results)):
            groups = success_by_distance(outcomes)
            starts = 100 * np.array([group.distance_m for group in groups])
            if not few:  # side by side, so that bars do not hide each other
                starts *= 1 + 0.006 * (number - len(results.rows) / 2)
            ends = [(100 * group.success.low, 100 * group.success.high) for group in groups]
            low, high = np.array(ends).T
            heights = [100 * group.success.rate for group in groups]
            if few and len(groups) > 1:  # a band without width cannot be seen
                axes.fill_between(starts, low, high, color=look.stand_in, alpha=0.14, linewidth=0)
            else:
                axes.vlines(starts, low, high, color=look.stand_in, linewidth=0.8, alpha=0.7)
            axes.plot(starts, heights, **_line(look))
        if len(groups) == 1:
            axes.set_xlim(0, 2 * float(starts[0]))
        axes.set(xlabel="distance from start to goal [cm]", ylabel="terminal success")
        _percent(axes)

    return _svg(draw)


def success_over_time(results: Results) -> str:
    """SVG of the share of pairs held so far, and faintly of those reached so far."""

    def draw(axes: Axes) -> None:
        threshold = results.manifest.threshold
        for outcomes, look in _rows(results):
            held, reached = held_so_far(outcomes, threshold), reached_so_far(outcomes, threshold)
            times = results.manifest.control_dt * np.arange(len(held))
            line = _line(look) | {"markevery": _every(len(held))}
            axes.plot(times, 100 * reached, color=look.stand_in, linewidth=0.9, alpha=0.65)
            axes.plot(times, 100 * held, **line)
        axes.set(xlabel="time [s]", ylabel="pairs solved so far", xmargin=0)
        _percent(axes)

    return _svg(draw)


def success_over_evaluations(results: Results) -> str:
    """SVG of the share of pairs reached against the plans evaluated until then.

    Rows that evaluate none are drawn as the level they reach.
    """

    def draw(axes: Axes) -> None:
        threshold = results.manifest.threshold
        spent = [spent_by(o) for o in results.pairs if spends(o)]
        least = 0.8 * min(o.evaluations_per_decision for o in results.pairs if spends(o))
        most = 1.25 * max(spent)
        for outcomes, look in _rows(results):
            if not spends(outcomes[0]):
                level = 100 * reached_so_far(outcomes, threshold)[-1]
                axes.axhline(level, color=look.stand_in, linewidth=1, linestyle=(0, (1, 3)))
                axes.plot([most], [level], look.marker, color=look.stand_in, clip_on=False)
                continue
            points, shares = solved_by_evaluations(outcomes, threshold)
            ends = [least, *points, max(map(spent_by, outcomes))]
            heights = 100 * np.array([0, *shares, shares[-1] if len(shares) else 0])
            line = _line(look) | {"markevery": [len(ends) - 1]}
            axes.plot(ends, heights, drawstyle="steps-post", **line)
        axes.set(xlabel="plans evaluated in the episode", ylabel="pairs reached", xscale="log")
        axes.set_xlim(least, most)
        _logarithmic(axes)
        _percent(axes)

    return _svg(draw)


def distance_over_time(results: Results) -> str:
    """SVG of the distance to the goal over time: median and quartiles of each row's pairs."""

    def draw(axes: Axes) -> None:
        for outcomes, look in _rows(results):
            curves = 100 * np.array([o.distance_m for o in outcomes])  # (P, steps) cm
            low, middle, high = np.percentile(curves, [25, 50, 75], axis=0)
            times = results.manifest.control_dt * np.arange(curves.shape[1])
            if len(results.rows) <= FEW_ROWS:
                axes.fill_between(times, low, high, color=look.stand_in, alpha=0.14, linewidth=0)
            axes.plot(times, middle, **_line(look) | {"markevery": _every(len(times))})
        _threshold(axes, 100 * results.manifest.threshold)
        axes.set(xlabel="time [s]", ylabel="distance to goal [cm]", ylim=(0, None), xmargin=0)

    return _svg(draw)


def latency_histogram(results: Results) -> str:
    """SVG of how long decisions took, as shares of each row's decisions."""

    def draw(axes: Axes) -> None:
        timed = [
            (np.array([ms for o in outcomes for ms in o.latency_ms]), look)
            for outcomes, look in _rows(results)
        ]
        everything = np.concatenate([times for times, _ in timed]).clip(1e-3)
        edges = np.geomspace(0.9 * everything.min(), 1.1 * everything.max(), 31)
        for times, look in timed:
            if not times.size:
                continue
            shares = 100 * np.histogram(times.clip(1e-3), edges)[0] / times.size
            axes.stairs(shares, edges, fill=True, color=look.stand_in, alpha=0.16)
            axes.stairs(shares, edges, color=look.stand_in, linewidth=1.3)
            middle = float(np.median(times))
            axes.plot([middle], [0], look.marker, color=look.stand_in, clip_on=False, zorder=3)
        axes.set(xlabel="time of a decision [ms]", ylabel="decisions", xscale="log")
        axes.set(xlim=(edges[0], edges[-1]), ylim=(0, None))
        _logarithmic(axes)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))

    return _svg(draw)


def sparkline(outcome: Outcome, threshold: float, *, width: int = 120, height: int = 32) -> str:
    """SVG polyline of one pair's distance curve, with the threshold as a dashed line."""
    whole = np.array(outcome.distance_m)
    few = np.linspace(0, whole.size - 1, min(whole.size, _SPARK_POINTS)).round().astype(int)
    curve = whole[few]
    top = max(float(curve.max()), 2 * threshold)
    xs = np.linspace(1, width - 1, curve.size)
    ys = height - 1 - (height - 2) * curve / top
    level = height - 1 - (height - 2) * threshold / top
    points = " ".join(f"{x:.0f},{y:.0f}" for x, y in zip(xs, ys, strict=True))
    return (
        f'<svg class="spark" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="distance to goal over time">'
        f'<line x1="0" x2="{width}" y1="{level:.1f}" y2="{level:.1f}"/>'
        f'<polyline points="{points}"/></svg>'
    )


def spent_by(outcome: Outcome) -> int:
    """Plans evaluated in a whole episode."""
    return len(outcome.latency_ms) * outcome.evaluations_per_decision


def _rows(results: Results) -> Iterator[tuple[list[Outcome], Look]]:
    """Each row's outcomes and its look."""
    look_of = looks([row.row for row in results.rows])
    for row, look in look_of.items():
        yield of_row(results, row), look


def _line(look: Look) -> dict[str, Any]:
    return {"color": look.stand_in, "marker": look.marker, "linestyle": _dashes(look)}


def _dashes(look: Look) -> str | tuple[float, tuple[float, ...]]:
    return (0.0, look.dash) if look.dash else "-"


def _every(points: int) -> tuple[int, int]:
    """Where a curve of so many points bears its marker: four times."""
    return points // 8, max(points // 4, 1)


def _percent(axes: Axes) -> None:
    axes.set_ylim(-3, 103)
    axes.set_yticks([0, 25, 50, 75, 100])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} %"))


def _logarithmic(axes: Axes) -> None:
    """Label 1, 2 and 5 of each decade, of a long axis only 1; plain numbers."""
    low, high = axes.get_xlim()
    labelled = "125" if high < 40 * low else "1"

    def text(value: float, _: object) -> str:
        grouped = f"{value:,.0f}" if value >= 1 else f"{value:g}"
        shown = f"{value:e}"[0] in labelled
        return grouped.replace(",", "\N{NARROW NO-BREAK SPACE}") if shown else ""

    axes.xaxis.set_major_formatter(FuncFormatter(text))
    axes.xaxis.set_minor_formatter(FuncFormatter(text))


def _threshold(axes: Axes, level_cm: float) -> None:
    axes.axhline(level_cm, color=_INK, linewidth=0.8, linestyle=(0, (4, 3)), alpha=0.6)


def _svg(draw: Callable[[Axes], None]) -> str:
    """Draw on one axes; the SVG element alone, without header, metadata and names."""
    with mpl.rc_context(_STYLE):
        canvas = Canvas(figsize=(3.6, 2.35), layout="constrained")
        axes = canvas.add_subplot()
        axes.grid(visible=True, axis="y", color=_INK, alpha=0.12, linewidth=0.6)
        draw(axes)
        buffer = io.StringIO()
        canvas.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    used = set(re.findall(r"#([\w.]+)", text))
    text = re.sub(r' id="([\w.]+)"', lambda name: name[0] if name[1] in used else "", text)
    text = re.sub(r"font: ([\d.]+px) [^;\"]+", r"font-size: \1", text)
    text = re.sub(r"font-family: [^;\"]+; ?", "", text)
    for number, (on_white, _) in enumerate(COLOURS):
        text = text.replace(on_white, f"var(--row{number})")
    return text.replace(_INK, "currentColor")
