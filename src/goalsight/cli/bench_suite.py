"""`goalsight bench --suite`: several manifests, one command, one table."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from goalsight.benchmark import BenchmarkConfig, Manifest
    from goalsight.benchmark.suite_results import SuiteResults

RowsOf = Callable[[tuple[str, ...], "Manifest"], tuple[str, ...]]
"""Rows of a manifest's table, given those that the suite names."""


def bench_suite(suite: str, config: BenchmarkConfig, rows_of: RowsOf, json: bool) -> int:
    """Play a suite, or a shard of it, and show its table if it is whole.

    Args:
        suite: name of a shipped suite, or a YAML file.
        config: what to measure and how, `out` for the whole suite.
        rows_of: the rows of each manifest.
        json: print the results as JSON.

    Returns:
        Exit status 0.
    """
    from goalsight.benchmark.runner import MissingPairsError
    from goalsight.benchmark.suite import find_suite, prepare_suite
    from goalsight.cli.bench import say_missing, warn_of_another_simulator
    from goalsight.paths import config_dir
    from goalsight.progress import progress_bar

    shipped = config_dir() / "bench"
    path = find_suite(suite, shipped / "suites")
    run = prepare_suite(
        path, config, lambda named, manifest: rows_of(named.rows, manifest), shipped
    )
    warn_of_another_simulator(run.tasks[0].run.manifest)
    folders = {task.run.manifest.name: task.run.config.out for task in run.tasks}
    with progress_bar(f"Playing {run.suite.name}", "pairs") as progress:
        run.play(progress, lambda results: report_if_new(folders[results.manifest.name]))
    try:
        results = run.finish()
    except MissingPairsError as missing:
        say_missing(missing, json)
        return 0
    for folder in folders.values():
        report_if_new(folder)
    _show(results, config.out, json)
    return 0


def report_if_new(run: Path) -> None:
    """Write a run's report unless it is younger than the table it is of."""
    from goalsight.benchmark.store import RESULTS
    from goalsight.report import write_report
    from goalsight.report.html import REPORT

    report, table = run / REPORT, run / RESULTS
    if not report.is_file() or report.stat().st_mtime < table.stat().st_mtime:
        write_report(run)


def _show(results: SuiteResults, out: Path, json: bool) -> None:
    """Write the suite's pages; print its table, or all of it as JSON."""
    from rich.console import Console

    from goalsight.benchmark.suite_results import SUITE, suite_to_json
    from goalsight.report import write_suite

    pages = write_suite(out, results)
    if json:
        paths = {"results": out / SUITE, "table": pages.table, "index": pages.index}
        content = suite_to_json(results) | {name: str(path) for name, path in paths.items()}
        print(jsonlib.dumps(content))
        return
    console = Console()
    console.print(table_of_suite(results))
    console.print(f"table: {pages.table}\nreports: {pages.index}", soft_wrap=True, highlight=False)


def table_of_suite(results: SuiteResults) -> Table:
    """The table of a suite for a terminal, terminal success with its interval."""
    from rich import box
    from rich.table import Table

    from goalsight.cli.bench import interval, speed

    title = f"{results.suite}, 95 % intervals, decisions p50/p95"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("task", "row"):
        table.add_column(name, no_wrap=name == "row")
    for name in ("pairs", "terminal", "anytime", "decision"):
        table.add_column(name, justify="right", no_wrap=True)
    for task in results.tasks:
        for number, row in enumerate(task.rows, start=1):
            table.add_row(
                task.manifest.name if number == 1 else "",
                row.row,
                str(row.pairs),
                interval(row.terminal),
                f"{100 * row.anytime.rate:.0f} %",
                speed(row),
                end_section=number == len(task.rows),
            )
    return table
