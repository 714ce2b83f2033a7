"""What the numbers of a run and of a suite say: in colours, in sentences, in tables and pages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from goalsight.benchmark.results import (
    PairedTest,
    Results,
    RowResult,
    SuccessRate,
    SuiteResults,
    TaskResult,
    p_value,
)
from goalsight.io import replace_file

REPORT, TABLE, INDEX = "report.html", "suite.md", "index.html"
SEES_STATE = frozenset({"expert", "oracle"})
"""Rows that read the simulator while they act: ceilings, not contenders."""
_BLIND = frozenset({"random", "zero"})
LEVEL = 0.05
"""Below this p a difference is called one."""
_FEW = 6
_TIED = "\N{NO-BREAK SPACE}"
COLOURS = (
    ("#2563c9", "#7db0ff"),
    ("#c2500a", "#ff9d5c"),
    ("#0b7d63", "#4fd1a5"),
    ("#8a3fb5", "#cf9bf2"),
    ("#8a6d00", "#e3c04a"),
    ("#5b6577", "#a9b4c6"),
    ("#c2255c", "#ff8fb3"),
    ("#0a7c9e", "#58cdf0"),
    ("#4d7c0f", "#a9d86a"),
    ("#84502e", "#d3a27f"),
)
"""On white and on near-black; each has at least 4.5 : 1 contrast with the page around it."""
_DASHES: tuple[tuple[float, ...], ...] = ((), (6, 2), (1.5, 1.5), (6, 2, 1.5, 2))
_MARKERS = {
    "o": "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z",
    "s": "M-2.7-2.7h5.4v5.4h-5.4z",
    "^": "M0-3.4l3.3 6h-6.6z",
    "D": "M0-3.7l3.7 3.7l-3.7 3.7l-3.7-3.7z",
    "v": "M0 3.4l3.3-6h-6.6z",
    "p": "M0-3.4l3.4 2.5l-1.3 3.9h-4.2l-1.3-3.9z",
}
"""Markers as matplotlib names them, and as the path of an SVG for the legend."""


# -- colours -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Look:
    """How one row is drawn."""

    number: int
    """Place of its colour in `COLOURS`."""
    dash: tuple[float, ...]
    """Lengths of ink and gap in widths of the line; empty for an unbroken line."""
    marker: str
    """As matplotlib names it."""

    @property
    def path(self) -> str:
        """The marker as the path of an SVG, about (0, 0)."""
        return _MARKERS[self.marker]

    @property
    def colour(self) -> str:
        """The colour as CSS: the page knows it for light and for dark."""
        return f"var(--row{self.number})"

    @property
    def stand_in(self) -> str:
        """A colour to draw with where CSS is not understood; the one on white."""
        return COLOURS[self.number][0]


def looks(rows: Sequence[str]) -> dict[str, Look]:
    """A look for each row, by its place alone, so that rows nobody knew of have one, too.

    Colours repeat after ten rows, and then with other dashes.

    >>> [look.number for look in looks(["random", "agent"]).values()]
    [0, 1]
    """
    return {
        row: Look(
            number=place % len(COLOURS),
            dash=_DASHES[(place + place // len(COLOURS)) % len(_DASHES)],
            marker=list(_MARKERS)[place % len(_MARKERS)],
        )
        for place, row in enumerate(rows)
    }


# -- sentences -----------------------------------------------------------------------------------


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
    p = p_value(test.p).replace(" ", _TIED)
    evidence = f"{first} alone solved {_pairs(wins)}, {second} alone {losses or 'none'} ({p})."
    return Comparison(verdict=verdict, evidence=evidence, ranked=ranked)


def _pairs(count: int) -> str:
    return "1 pair" if count == 1 else f"{count} pairs"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}{_TIED}%"


# -- suites --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class SuitePages:
    """Where the two were written."""

    table: Path
    index: Path


def write_suite(out: Path, results: SuiteResults) -> SuitePages:
    """Write `suite.md` and `index.html` into the folder of a suite.

    Args:
        out: the suite's folder.
        results: what was measured.
    """
    replace_file(out / TABLE, suite_markdown(results).encode())
    names = list(dict.fromkeys(row.row for task in results.tasks for row in task.rows))
    page = template("suite.html.j2").render(
        results=results,
        report=REPORT,
        colours={name: _colour(look.number) for name, look in looks(names).items()},
        compared=compared,
        facts=facts(results),
    )
    replace_file(out / INDEX, page.encode())
    return SuitePages(table=out / TABLE, index=out / INDEX)


def suite_markdown(results: SuiteResults) -> str:
    """One table, a line a row of a task; the paired tests; where it all comes from."""
    lines = [
        "| task | row | pairs | terminal | anytime | decision p50 / p95 |",
        "|---|---|---|---|---|---|",
        *(_line(task, row) for task in results.tasks for row in task.rows),
    ]
    tests = [f"- {task.manifest.name}: {_tests(task)}" for task in results.tasks if task.mcnemar]
    if tests:
        lines += [
            "",
            (
                "Rows with a learned model, pair by pair: pairs that only the first solved / only "
                "the second, exact McNemar test on terminal success."
            ),
            "",
            *tests,
        ]
    left = [f"- {task.manifest.name}, not played: {task.left_out}" for task in results.tasks]
    left = [line for line, task in zip(left, results.tasks, strict=True) if task.left_out]
    told = [f"{name} {_quoted(name, value)}" for name, value in facts(results)]
    return "\n".join([*lines, *([""] if left else []), *left, "", "; ".join(told) + "."]) + "\n"


def facts(results: SuiteResults) -> list[tuple[str, str]]:
    """Where a table comes from, by name."""
    model = results.checkpoint
    found = [("command", results.command), ("goalsight", results.goalsight)]
    if results.commit:
        found.append(("commit", results.commit))
    found += [
        ("hardware", results.hardware),
        ("renderer", f"{results.renderer}, MuJoCo {results.mujoco}"),
        ("seed", str(results.seed)),
    ]
    if model:
        labels = ", ".join(model.labels_used) or "none"
        found += [
            ("checkpoint", f"{model.name} (SHA-256 {model.sha256})"),
            ("device", results.device),
            ("taught by", model.taught_by or "nobody says"),
            ("labels used in training", labels),
        ]
    return found


def compared(test: PairedTest) -> str:
    """A paired test in a few words.

    >>> compared(PairedTest(rows=("hybrid", "gcbc"), only_first=12, only_second=3, p=0.035))
    'hybrid against gcbc +12 / −3, p = 0.035'
    """
    won = f"+{test.only_first} / −{test.only_second}"
    return f"{test.rows[0]} against {test.rows[1]} {won}, {p_value(test.p)}"


def _colour(number: int) -> str:
    """A colour of the palette as CSS, for light and dark."""
    light, dark = COLOURS[number]
    return f"light-dark({light}, {dark})"


def _tests(task: TaskResult) -> str:
    return "; ".join(map(compared, task.mcnemar))


def _line(task: TaskResult, row: RowResult) -> str:
    latency = row.latency_ms
    speed = f"{latency.p50:.0f} / {latency.p95:.0f} ms" if latency else ""
    rates = (_rate(row.terminal), _rate(row.anytime))
    return _cells([task.manifest.name, row.row, str(row.pairs), *rates, speed])


def _rate(rate: SuccessRate) -> str:
    return f"{100 * rate.rate:.0f} % [{100 * rate.low:.0f}, {100 * rate.high:.0f}]"


def _cells(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _quoted(name: str, value: str) -> str:
    """What a reader may want to copy, as code; hashes by their first digits."""
    short = re.sub(r"\b([0-9a-f]{12})[0-9a-f]{28,}", r"\1", value)
    return f"`{short}`" if name in {"command", "commit"} else short


def template(name: str) -> Template:
    """A page's template beside this module; it escapes what it shows and wants every name."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
