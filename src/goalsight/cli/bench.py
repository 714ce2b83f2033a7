"""`goalsight bench`: success rates on frozen start and goal pairs."""

from __future__ import annotations

import json as jsonlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from goalsight.benchmark import Manifest, Results, SuccessRate


def bench(
    *,
    manifest: str,
    out: Path,
    checkpoint: Path | None = None,
    rows: str = "random,hold,expert,agent",
    pairs: int | None = None,
    workers: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    settings: str = "",
    json: bool = False,
) -> int:
    """Measure success rates on frozen start and goal pairs.

    Every row plays identical pairs, each alone. Pairs that are finished are kept: the same command
    goes on where it was stopped, and a larger --pairs or another --rows adds to what is there.

    Args:
        manifest: Name of a shipped manifest such as push-near, or a manifest's JSON file.
        out: Folder for results.json, report.html and the films.
        checkpoint: Folder of the agent's checkpoint; only the agent row needs one.
        rows: Rows of the table, separated by commas.
        pairs: Play the first so many pairs only.
        workers: Processes that play; one per core by default. Changes nothing but the time.
        seed: Of every random choice the rows make.
        device: Torch device the agent plans on.
        settings: Of the agent where they differ from the default, such as samples=100,delay=0.05.
        json: Print the results (without the single pairs) as JSON.

    Returns:
        Exit status 0.

    Example:
        goalsight bench --checkpoint runs/demo/model --manifest push-near --pairs 50 --out runs/push
    """
    from goalsight.benchmark import BenchmarkConfig, find_manifest, load_manifest, run_benchmark
    from goalsight.data.progress import delayed_bar
    from goalsight.paths import config_dir
    from goalsight.report import write_report

    config = BenchmarkConfig(
        out=out,
        checkpoint=checkpoint,
        rows=tuple(name.strip() for name in rows.split(",") if name.strip()),
        pairs=pairs,
        workers=workers or _cores(),
        seed=seed,
        device=device,
        settings=settings,
    )
    loaded = load_manifest(find_manifest(manifest, config_dir() / "bench"))
    _warn_of_another_simulator(loaded)
    with delayed_bar(f"Playing {loaded.name}", "pairs") as progress:
        results = run_benchmark(loaded, config, progress)
    report = write_report(out)
    if json:
        print(jsonlib.dumps(_as_json(results, report)))
        return 0
    from rich.console import Console

    console = Console()
    console.print(table_of(results))
    console.print(f"report: {report}", soft_wrap=True, highlight=False)
    return 0


def table_of(results: Results) -> Table:
    """The table of a run for a terminal, intervals in percent."""
    from rich import box
    from rich.table import Table

    title = f"{results.manifest.name}, {results.rows[0].pairs} pairs, 95 % intervals"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("row")
    for name in ("terminal", "anytime", "decision p50/p95", "plans"):
        table.add_column(name, justify="right")
    for row in results.rows:
        latency = row.latency_ms
        table.add_row(
            row.row,
            _interval(row.terminal),
            _interval(row.anytime),
            f"{latency.p50:.0f}/{latency.p95:.0f} ms" if latency else "",
            str(row.evaluations_per_decision or ""),
        )
    return table


def _interval(rate: SuccessRate) -> str:
    return f"{100 * rate.rate:.0f} % [{100 * rate.low:.0f}, {100 * rate.high:.0f}]".replace(
        "[", r"\["
    )


def _as_json(results: Results, report: Path) -> dict[str, object]:
    from goalsight.benchmark.results import to_json
    from goalsight.benchmark.store import RESULTS

    content = to_json(results)
    del content["pairs"]
    return {**content, "results": str(report.with_name(RESULTS)), "report": str(report)}


def _warn_of_another_simulator(manifest: Manifest) -> None:
    import mujoco

    if manifest.mujoco != mujoco.__version__:
        print(
            f"goalsight: warning: {manifest.name} was made with MuJoCo {manifest.mujoco}, "
            f"{mujoco.__version__} is installed; compare numbers with care",
            file=sys.stderr,
        )


def _cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
