"""The table of a suite: Markdown for a README, a page that links every task's report."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from goalsight.benchmark.results import RowResult
from goalsight.benchmark.statistics import PairedTest, SuccessRate, p_value
from goalsight.benchmark.suite_results import SuiteResults, TaskResult
from goalsight.io import replace_file
from goalsight.report.html import REPORT, template
from goalsight.report.palette import COLOURS, looks

TABLE, INDEX = "suite.md", "index.html"


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
