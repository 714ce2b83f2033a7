"""`goalsight bench`: success rates on frozen start and goal pairs."""

from __future__ import annotations

import json as jsonlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from goalsight.cli.bench_suite import bench_suite

if TYPE_CHECKING:
    from rich.table import Table

    from goalsight.benchmark import BenchmarkConfig, Manifest, Results, RowResult, SuccessRate
    from goalsight.benchmark.freeze import FreezeConfig
    from goalsight.benchmark.runner import MissingPairsError


PAIRS = 50
"""Pairs drawn for an environment by default."""


def bench(
    *,
    out: Path,
    manifest: str | None = None,
    env: str | None = None,
    suite: str | None = None,
    checkpoint: Path | None = None,
    rows: str = "",
    pairs: int | None = None,
    workers: int | None = None,
    shard: str = "",
    ray: str = "",
    seed: int = 0,
    device: str = "auto",
    settings: str = "",
    memory: Path | None = None,
    player: str = "",
    tier: Literal["near", "far"] | None = None,
    budget: int | None = None,
    json: bool = False,
) -> int:
    """Measure success rates on frozen start and goal pairs.

    Every row plays identical pairs, each alone. Finished pairs are kept: the same command goes on
    where it was stopped, a larger --pairs or other --rows add to what is there.

    Args:
        manifest: Name of a shipped manifest such as push-near, or a manifest's JSON file.
        env: Instead of a manifest: id of an environment, module:Id-v0 for one of another package.
            Its pairs are drawn from --seed and frozen in OUT/manifest; reruns take them from there.
        suite: Instead of a manifest: a shipped suite such as core, or a YAML file that lists some.
        out: Folder for results.json, report.html and the films.
        checkpoint: Folder of the agent's checkpoint; random, zero, expert and oracle need none.
        rows: Who plays, of random, zero, expert, oracle, agent, shuffled, gcbc, actor, search and
            hybrid, separated by commas; by default random, zero, expert, and
            agent or, of a checkpoint with these heads, gcbc, actor, search and hybrid.
        pairs: Play the first so many pairs only; with --env, draw so many (50 by default).
        workers: Processes that play; one per core by default. Changes nothing but the time.
        shard: Part of the pairs to play, such as 2/3; the last of all writes the table.
        ray: Let a Ray cluster play: its address, such as auto; local starts one on this machine.
        seed: Of every random choice the rows make.
        device: PyTorch device the agent plans on; auto is a GPU where there is one.
        settings: Of the agent where they differ from the checkpoint's own, such as samples=100.
        memory: File of `goalsight memory build`: the agent aims at sub-goals on recorded segments.
        player: module:function of yours that makes the row player, with the two
            functions of an agent, reset and act.
        tier: With --env. near: the goal is 25 control steps of play ahead; far: the environment's
            own, the default where that can be made a picture.
        budget: With --env: control steps a row has for a pair.
        json: Print the results (without the single pairs) as JSON.

    Example:
        goalsight bench --checkpoint runs/demo/model --manifest push-near --pairs 50 --out runs/push
    """
    from goalsight.benchmark import BenchmarkConfig
    from goalsight.benchmark.guest import with_player
    from goalsight.benchmark.rows import default_rows
    from goalsight.benchmark.shards import parse_shard

    _check_what(manifest, env, suite, of_env=bool(tier or budget))
    asked = _named(rows) or default_rows([])
    asked = with_player(asked, player, chosen=bool(rows), checkpoint=checkpoint)
    config = BenchmarkConfig(
        out=out, checkpoint=checkpoint, rows=asked, pairs=PAIRS if env and pairs is None else pairs,
        workers=workers, seed=seed, device=device, settings=settings, memory=memory, player=player,
        shard=parse_shard(shard), ray=ray,
    )  # fmt: skip
    if suite is not None:
        return bench_suite(suite, config, lambda named, its: _rows(rows, its, config, named), json)
    return _bench_one(_manifest(config, manifest, env, tier, budget), config, rows, json)


def _check_what(manifest: str | None, env: str | None, suite: str | None, *, of_env: bool) -> None:
    """Refuse none or several of what can be measured, and settings of an environment alone."""
    from goalsight.errors import UserError

    if [manifest, env, suite].count(None) != 2 or (env is None and of_env):
        raise UserError(
            "give one of --manifest NAME, --suite NAME, or --env ID with --tier and --budget"
        )


def _manifest(
    config: BenchmarkConfig, name: str | None, env: str | None, tier: str | None, budget: int | None
) -> Manifest:
    """The frozen pairs, drawn now where they are of an environment."""
    from goalsight.benchmark import find_manifest, load_manifest
    from goalsight.benchmark.freeze import FreezeConfig
    from goalsight.paths import config_dir

    if name is not None:
        return load_manifest(find_manifest(name, config_dir() / "bench"))
    trained = None if config.player else config.checkpoint
    drawn = FreezeConfig(
        env=_as_trained(str(env), trained), pairs=config.pairs or PAIRS, seed=config.seed,
        tier=tier or "", budget=budget,
    )  # fmt: skip
    return _frozen(config.out, drawn)


def _bench_one(manifest: Manifest, config: BenchmarkConfig, rows: str, json: bool) -> int:
    """Play one manifest, or a shard of it, and show its table if it is whole."""
    from goalsight.benchmark.runner import MissingPairsError, run_benchmark
    from goalsight.progress import progress_bar

    config = replace(config, rows=_rows(rows, manifest, config))
    warn_of_another_simulator(manifest)
    try:
        with progress_bar(f"Playing {manifest.name}", "pairs") as progress:
            results = run_benchmark(manifest, config, progress)
    except MissingPairsError as missing:
        say_missing(missing, json)
        return 0
    _show(results, config.out, json)
    return 0


def say_missing(missing: MissingPairsError, json: bool) -> None:
    """What a shard says that is done before the others are: no error, and no table yet."""
    print(jsonlib.dumps({"missing": str(missing)}) if json else f"this shard is played; {missing}")


def _show(results: Results, out: Path, json: bool) -> None:
    """Write the report; print the table, or everything but the single pairs as JSON."""
    from goalsight.benchmark.results import comparisons
    from goalsight.benchmark.rows import NEEDS_CHECKPOINT
    from goalsight.progress import progress_bar
    from goalsight.report import write_report

    with progress_bar("Writing the report") as progress:
        report = write_report(out, progress)
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
    from goalsight.progress import progress_bar

    with progress_bar("Drawing pairs", "pairs") as progress:
        return frozen_manifest(out, wanted, progress)


def _as_trained(env: str, checkpoint: Path | None) -> str:
    """The id with the settings of the checkpoint's own dataset, where it is the same one."""
    from goalsight.benchmark.tasks import as_trained
    from goalsight.checkpoint import find_checkpoint, read_card

    return env if checkpoint is None else as_trained(env, read_card(find_checkpoint(checkpoint)))


def _rows(
    rows: str, manifest: Manifest, config: BenchmarkConfig, named: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Rows as asked for, or as a suite names them; else those the checkpoint has the heads for."""
    from goalsight.benchmark.freeze import has_expert
    from goalsight.benchmark.guest import with_player
    from goalsight.benchmark.rows import default_rows
    from goalsight.checkpoint import find_checkpoint, read_card
    from goalsight.environments import make_env

    player, checkpoint = config.player, config.checkpoint
    if asked := _named(rows) or named:
        return with_player(asked, player, chosen=True, checkpoint=checkpoint)
    guests = bool(player) and checkpoint is not None and checkpoint.is_file()
    heads = (
        {} if guests or not checkpoint else read_card(find_checkpoint(checkpoint)).get("heads", {})
    )
    env = make_env(manifest.env, observe_pixels=False, draw_goals=False)
    names = default_rows(heads, expert=has_expert(env))
    env.close()
    return with_player(names, player, chosen=False, checkpoint=checkpoint)


def _named(rows: str) -> tuple[str, ...]:
    """Rows as they are typed."""
    return tuple(name.strip() for name in rows.split(",") if name.strip())


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
        table.add_row(
            row.row,
            interval(row.terminal),
            interval(row.anytime),
            speed(row),
            str(row.evaluations_per_decision or ""),
        )
    return table


def speed(row: RowResult) -> str:
    """Median and 95th percentile of a decision's time, empty for a row that does not plan."""
    latency = row.latency_ms
    return f"{latency.p50:.0f}/{latency.p95:.0f} ms" if latency else ""


def interval(rate: SuccessRate) -> str:
    """A rate and its interval, in percent, as rich prints it."""
    return f"{100 * rate.rate:.0f} % [{100 * rate.low:.0f}, {100 * rate.high:.0f}]".replace(
        "[", r"\["
    )


def _as_json(results: Results, report: Path) -> dict[str, object]:
    from goalsight.benchmark.results import to_json
    from goalsight.benchmark.store import RESULTS

    content = to_json(results)
    del content["pairs"]
    return {**content, "results": str(report.with_name(RESULTS)), "report": str(report)}


def warn_of_another_simulator(manifest: Manifest) -> None:
    """One line on stderr where the pairs were made with another MuJoCo."""
    import mujoco

    if manifest.mujoco != mujoco.__version__:
        print(
            f"goalsight: warning: {manifest.name} was made with MuJoCo {manifest.mujoco}, "
            f"{mujoco.__version__} is installed; compare numbers with care",
            file=sys.stderr,
        )
