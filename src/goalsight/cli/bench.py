"""`goalsight bench`: success rates on frozen start and goal pairs."""

from __future__ import annotations

import json as jsonlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from goalsight.benchmark import BenchmarkConfig, Manifest

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
    factors: str = "",
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
        factors: With --env. What varies: a level such as mild, or a YAML file, see
            `goalsight envs --factors`.
        json: Print the results (without the single pairs) as JSON.

    Example:
        goalsight bench --checkpoint runs/demo/model --manifest push-near --pairs 50 --out runs/push
    """
    from goalsight.benchmark import BenchmarkConfig
    from goalsight.benchmark.policies import default_rows, with_player
    from goalsight.benchmark.run import MissingPairsError, parse_shard

    _check_what(manifest, env, suite, of_env=bool(tier or budget or factors))
    named = tuple(name.strip() for name in rows.split(",") if name.strip())
    config = BenchmarkConfig(
        out=out,
        checkpoint=checkpoint,
        rows=with_player(
            named or default_rows([]), player, chosen=bool(rows), checkpoint=checkpoint
        ),
        pairs=PAIRS if env and pairs is None else pairs,
        workers=workers,
        seed=seed,
        device=device,
        settings=settings,
        memory=memory,
        player=player,
        shard=parse_shard(shard),
        ray=ray,
    )
    try:
        if suite is not None:
            _bench_suite(suite, config, named, json)
        else:
            frozen = _manifest(config, manifest, env, tier=tier, budget=budget, factors=factors)
            _bench_one(frozen, config, named, json)
    except MissingPairsError as missing:  # a shard is played before the others are: no error
        said = jsonlib.dumps({"missing": str(missing)})
        print(said if json else f"this shard is played; {missing}")
    return 0


def _check_what(manifest: str | None, env: str | None, suite: str | None, *, of_env: bool) -> None:
    """Refuse none or several of what can be measured, and settings of an environment alone."""
    from goalsight.errors import UserError

    if [manifest, env, suite].count(None) != 2 or (env is None and of_env):
        raise UserError(
            "give one of --manifest NAME, --suite NAME, or --env ID with --tier, --budget and "
            "--factors"
        )


def _manifest(
    config: BenchmarkConfig,
    name: str | None,
    env: str | None,
    *,
    tier: str | None,
    budget: int | None,
    factors: str,
) -> Manifest:
    """The frozen pairs, drawn now where they are of an environment."""
    from goalsight.benchmark.manifest import (
        ManifestConfig,
        find_manifest,
        load_manifest,
        manifest_in,
    )
    from goalsight.checkpoint import find_checkpoint, read_card
    from goalsight.collecting import read_factors
    from goalsight.environments import as_trained
    from goalsight.progress import progress_bar

    if name is not None:
        return load_manifest(find_manifest(name))
    trained = None if config.player else config.checkpoint
    card = {} if trained is None else read_card(find_checkpoint(trained))
    drawn = ManifestConfig(
        env=as_trained(str(env), card),
        pairs=config.pairs or PAIRS,
        seed=config.seed,
        tier=tier or "",
        budget=budget,
        factors=read_factors(factors) or "",
    )
    with progress_bar("Drawing pairs", "pairs") as progress:
        return manifest_in(config.out, drawn, progress)


def _bench_one(
    manifest: Manifest, config: BenchmarkConfig, rows: tuple[str, ...], json: bool
) -> None:
    """Play one manifest, or a shard of it, and show its table if it is whole.

    Raises:
        MissingPairsError: if it is not.
    """
    from rich.console import Console

    from goalsight.benchmark.policies import choose_rows
    from goalsight.benchmark.results import RESULTS, to_json
    from goalsight.evaluation import measure
    from goalsight.report.table import REPORT

    warn_of_another_simulator(manifest)
    rows = choose_rows(manifest, rows, checkpoint=config.checkpoint, player=config.player)
    results = measure(manifest, replace(config, rows=rows), report=True)
    if json:
        content = to_json(results)
        del content["pairs"]
        paths = {"results": config.out / RESULTS, "report": config.out / REPORT}
        print(jsonlib.dumps(content | {name: str(path) for name, path in paths.items()}))
        return
    console = Console()
    console.print(results)
    console.print(f"report: {config.out / REPORT}", soft_wrap=True, highlight=False)


def _bench_suite(suite: str, config: BenchmarkConfig, rows: tuple[str, ...], json: bool) -> None:
    """Play a suite, or a shard of it, and show its table if it is whole.

    Raises:
        MissingPairsError: if it is not.
    """
    from rich.console import Console

    from goalsight.benchmark.results import SUITE, to_json
    from goalsight.benchmark.suite import find_suite, prepare_suite
    from goalsight.paths import config_dir
    from goalsight.progress import progress_bar
    from goalsight.report import write_suite

    shipped = config_dir() / "bench"
    run = prepare_suite(find_suite(suite, shipped / "suites"), config, shipped, rows)
    warn_of_another_simulator(run.tasks[0].run.manifest)
    with progress_bar(f"Playing {run.suite.name}", "pairs") as progress:
        for folder in run.play(progress):
            _report_if_new(folder)
    results = run.finish()
    for task in run.tasks:
        _report_if_new(task.run.config.out)
    pages = write_suite(config.out, results)
    if json:
        paths = {"results": config.out / SUITE, "table": pages.table, "index": pages.index}
        print(jsonlib.dumps(to_json(results) | {name: str(path) for name, path in paths.items()}))
        return
    console = Console()
    console.print(results)
    console.print(f"table: {pages.table}\nreports: {pages.index}", soft_wrap=True, highlight=False)


def _report_if_new(run: Path) -> None:
    """Write a run's report unless it is younger than the table it is of."""
    from goalsight.benchmark.results import RESULTS
    from goalsight.report import write_report
    from goalsight.report.table import REPORT

    report, table = run / REPORT, run / RESULTS
    if not report.is_file() or report.stat().st_mtime < table.stat().st_mtime:
        write_report(run)


def warn_of_another_simulator(manifest: Manifest) -> None:
    """One line on stderr where the pairs were made with another MuJoCo."""
    from goalsight.benchmark.manifest import another_simulator

    if warning := another_simulator(manifest):
        print(f"goalsight: warning: {warning}", file=sys.stderr)
