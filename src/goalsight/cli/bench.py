"""`goalsight bench`: success rates on frozen start and goal pairs."""

from __future__ import annotations

import json as jsonlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.table import Table

    from goalsight.benchmark import Manifest, Results, SuccessRate
    from goalsight.benchmark.freeze import FreezeConfig


PAIRS = 50
"""Pairs drawn for an environment by default."""


def bench(
    *,
    out: Path,
    manifest: str | None = None,
    env: str | None = None,
    checkpoint: Path | None = None,
    rows: str = "",
    pairs: int | None = None,
    workers: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    settings: str = "",
    memory: Path | None = None,
    tier: Literal["near", "far"] | None = None,
    budget: int | None = None,
    json: bool = False,
) -> int:
    """Measure success rates on frozen start and goal pairs.

    Every row plays identical pairs, each alone. Pairs that are finished are kept: the same command
    goes on where it was stopped, and a larger --pairs or another --rows adds to what is there.

    Args:
        manifest: Name of a shipped manifest such as push-near, or a manifest's JSON file.
        env: Instead of a manifest: id of an environment, module:Id-v0 for one of another package.
            Its pairs are drawn from --seed and frozen in OUT/manifest; reruns take them from there.
        out: Folder for results.json, report.html and the films.
        checkpoint: Folder of the agent's checkpoint; random, hold, expert and oracle need none.
        rows: Rows of the table, separated by commas, see docs/protocol.md; by default random, hold,
            expert and agent, or gcbc, actor, search and both of a checkpoint with these heads.
        pairs: Play the first so many pairs only; with --env, draw so many (50 by default).
        workers: Processes that play; one per core by default. Changes nothing but the time.
        seed: Of every random choice the rows make.
        device: Torch device the agent plans on.
        settings: Of the agent where they differ from the default, such as samples=100,delay=0.05.
        memory: File of `goalsight memory build`: the agent aims at sub-goals on recorded segments.
        tier: With --env. near: the goal is 25 control steps of play ahead of the start; far: the
            environment's own goal. By default far where that can be made a picture.
        budget: With --env: control steps a row has for a pair.
        json: Print the results (without the single pairs) as JSON.

    Returns:
        Exit status 0.

    Example:
        goalsight bench --checkpoint runs/demo/model --manifest push-near --pairs 50 --out runs/push
    """
    from goalsight.benchmark import BenchmarkConfig, find_manifest, load_manifest, run_benchmark
    from goalsight.benchmark.freeze import FreezeConfig
    from goalsight.data.progress import delayed_bar
    from goalsight.errors import UserError
    from goalsight.paths import config_dir

    if (manifest is None) == (env is None) or (env is None and (tier or budget)):
        raise UserError("give either --manifest NAME, or --env ID with --tier and --budget")
    if manifest is not None:
        loaded = load_manifest(find_manifest(manifest, config_dir() / "bench"))
    else:
        known, pairs = _as_trained(str(env), checkpoint), pairs or PAIRS
        drawn = FreezeConfig(env=known, pairs=pairs, seed=seed, tier=tier or "", budget=budget)
        loaded = _frozen(out, drawn)
    config = BenchmarkConfig(
        out=out, checkpoint=checkpoint, rows=_rows(rows, loaded, checkpoint), pairs=pairs,
        workers=workers or _cores(), seed=seed, device=device, settings=settings, memory=memory,
    )  # fmt: skip
    _warn_of_another_simulator(loaded)
    with delayed_bar(f"Playing {loaded.name}", "pairs") as progress:
        results = run_benchmark(loaded, config, progress)
    _show(results, out, json)
    return 0


def _show(results: Results, out: Path, json: bool) -> None:
    """Write the report; print the table, or everything but the single pairs as JSON."""
    from goalsight.benchmark.results import comparisons
    from goalsight.benchmark.rows import NEEDS_CHECKPOINT
    from goalsight.report import write_report

    report = write_report(out)
    if json:
        print(jsonlib.dumps(_as_json(results, report)))
        return
    from rich.console import Console

    console = Console()
    console.print(table_of(results))
    if lines := comparisons(results, NEEDS_CHECKPOINT):
        console.print("pair by pair, exact McNemar:", *lines, sep="\n  ", highlight=False)
    console.print(f"report: {report}", soft_wrap=True, highlight=False)


def _frozen(out: Path, wanted: FreezeConfig) -> Manifest:
    """The pairs of an environment that no shipped manifest is of."""
    from goalsight.benchmark.freeze import frozen_manifest
    from goalsight.data.progress import delayed_bar

    with delayed_bar("Drawing pairs", "pairs") as progress:
        return frozen_manifest(out, wanted, progress)


def _as_trained(env: str, checkpoint: Path | None) -> str:
    """The id with the settings of the checkpoint's own dataset, where it is the same one."""
    from goalsight.benchmark.tasks import as_trained
    from goalsight.checkpoint import find_checkpoint, read_card

    return env if checkpoint is None else as_trained(env, read_card(find_checkpoint(checkpoint)))


def _rows(rows: str, manifest: Manifest, checkpoint: Path | None) -> tuple[str, ...]:
    """The rows that were asked for; else those that the checkpoint has the heads for."""
    from goalsight.benchmark.freeze import has_expert
    from goalsight.benchmark.rows import default_rows
    from goalsight.benchmark.tasks import make_env
    from goalsight.checkpoint import find_checkpoint, read_card

    if rows.strip():
        return tuple(name.strip() for name in rows.split(",") if name.strip())
    heads = read_card(find_checkpoint(checkpoint)).get("heads", {}) if checkpoint else {}
    env = make_env(manifest.env, observe_pixels=False, draw_goals=False)
    names = default_rows(heads, expert=has_expert(env))
    env.close()
    return names


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
