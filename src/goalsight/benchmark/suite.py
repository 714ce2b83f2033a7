"""A suite: several manifests, one checkpoint, one command, one table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goalsight.benchmark.manifest import Manifest, find_manifest, folder_of, load_manifest
from goalsight.benchmark.policies import check_rows, choose_rows, load_agent
from goalsight.benchmark.results import (
    LEARNED_ROWS,
    SCHEMA,
    SUITE,
    ModelRef,
    Results,
    SuiteResults,
    TaskResult,
    command,
    joined,
    to_json,
)
from goalsight.benchmark.run import (
    BenchmarkConfig,
    MissingPairsError,
    Run,
    action_width,
    policy_spec,
    prepare,
    tally,
)
from goalsight.environments import make_env
from goalsight.errors import OutputError, UserError
from goalsight.io import read_yaml, replace_file, replace_json
from goalsight.progress import Progress, silent

if TYPE_CHECKING:
    from goalsight.agent import Agent

RECORD = "suite.yaml"
"""The suite's own file, copied into its folder: what says that the folder is one."""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """What is measured, as its YAML file says it."""

    name: str
    """The file's name without its ending."""
    manifests: tuple[str, ...]
    """Names of shipped manifests, or their JSON files."""
    rows: tuple[str, ...] = ()
    """Rows of every task's table; empty: those that `goalsight bench` has without `--rows`."""
    pairs: int | None = None
    """Play the first so many pairs of each; None plays all."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One manifest, ready to be played."""

    run: Run
    left_out: str = ""
    """Which rows are not played and why."""


def read_suite(path: Path) -> Suite:
    """A suite from its YAML file.

    Raises:
        UserError: if the file is not one.
    """
    what = "a suite of manifests, rows and pairs"
    content = read_yaml(path, what)
    try:
        lists: dict[str, Any] = {
            key: _names(content[key]) for key in ("manifests", "rows") if key in content
        }
        if "settings" in content:
            raise TypeError("settings belong to the command (--settings) or to a checkpoint's card")
        suite = Suite(name=path.stem, **{**content, **lists})
        if not isinstance(suite.pairs, int | None):
            raise TypeError(f"pairs is a number, got {suite.pairs!r}")
    except (TypeError, AttributeError) as error:
        raise UserError(f"{path} is not {what}: {error}") from None
    if not suite.manifests or len(set(suite.manifests)) != len(suite.manifests):
        raise UserError(f"{path} must name at least one manifest, and each once")
    if suite.rows:
        check_rows(suite.rows)
    return suite


def find_suite(name: str, folder: Path) -> Path:
    """The file of a suite, by path or by shipped name.

    Args:
        name: path of a YAML file, or a name such as `core`.
        folder: where the shipped suites lie.

    Raises:
        UserError: if there is none; lists those that are shipped.
    """
    if Path(name).is_file():
        return Path(name)
    shipped = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    if name not in shipped:
        raise UserError(f"no suite {name!r}; give a YAML file or one of: {', '.join(shipped)}")
    return shipped[name]


class SuiteRun:
    """A suite that is ready to be played, or is played in part."""

    def __init__(self, suite: Suite, out: Path, tasks: list[Task]) -> None:
        """Use `prepare_suite`, which checks that everything fits."""
        self.suite, self.out, self.tasks = suite, out, tasks

    def play(self, progress: Progress = silent) -> Iterator[Path]:
        """Play what is missing, task after task.

        Args:
            progress: told how many pairs of the whole suite (of this shard, if it is one) are done.

        Yields:
            The folder of each task whose table is written, as soon as it is.
        """
        total = sum(len(task.run.mine()) for task in self.tasks)
        before = 0
        for task in self.tasks:
            task.run.play(partial(_tell, progress, before, total))
            before += len(task.run.mine())
            if not task.run.missing():
                task.run.finish()
                yield task.run.config.out

    def finish(self) -> SuiteResults:
        """Write every task's table and the suite's.

        Raises:
            MissingPairsError: if pairs are missing, saying which; nothing is written then.
        """
        missing = {task.run.manifest.name: task.run.missing() for task in self.tasks}
        if lacking := {name: items for name, items in missing.items() if items}:
            count = sum(map(len, lacking.values()))
            total = sum(len(task.run.items()) for task in self.tasks)
            what = "; ".join(f"{name}: {tally(items)}" for name, items in lacking.items())
            raise MissingPairsError(
                f"no table of {self.out} yet: {count} of {total} pairs are missing ({what})"
            )
        results = self._results([task.run.finish() for task in self.tasks])
        replace_json(self.out / SUITE, to_json(results))
        return results

    def _results(self, found: list[Results]) -> SuiteResults:
        return SuiteResults(
            schema=SCHEMA,
            suite=self.suite.name,
            goalsight=found[0].goalsight,
            commit=joined(results.commit for results in found),
            command=command(),
            hardware=joined(results.hardware for results in found) or "",
            device=found[0].device,
            agent=next((results.agent for results in found if results.agent), None),
            renderer=found[0].renderer,
            mujoco=found[0].mujoco,
            seed=found[0].seed,
            checkpoint=_model(found),
            tasks=[_task(task, its) for task, its in zip(self.tasks, found, strict=True)],
        )


def prepare_suite(
    path: Path, config: BenchmarkConfig, shipped: Path, rows: tuple[str, ...] = ()
) -> SuiteRun:
    """Check that everything fits, and begin or continue the suite's folder.

    Args:
        path: the suite's YAML file.
        config: what to measure and how; `out` is the suite's folder, which gets one of each
            manifest's name.
        shipped: folder of the shipped manifests.
        rows: of every table; empty for those that the suite names, or else can be played.

    Raises:
        UserError: if anything does not fit: nothing is played then.
    """
    suite = read_suite(path)
    suite = replace(suite, pairs=config.pairs or suite.pairs)
    manifests = [load_manifest(find_manifest(name, shipped)) for name in suite.manifests]
    names = [manifest.name for manifest in manifests]
    if len(set(names)) != len(names):
        raise UserError(f"{path} names two manifests that are called the same: {', '.join(names)}")
    agents = _Agents(config)
    _begin(config.out, path)
    tasks = []
    for manifest in manifests:
        its = replace(
            config,
            pairs=suite.pairs,
            rows=choose_rows(
                manifest,
                rows or suite.rows,
                checkpoint=config.checkpoint,
                player=config.player,
            ),
        )
        tasks.append(_prepare(its, manifest, agents(its, manifest.tier)))
    replace_file(config.out / RECORD, path.read_bytes())
    return SuiteRun(suite, config.out, tasks)


class _Agents:
    """The checkpoint's agent, loaded once for each of the tiers it plans for."""

    def __init__(self, config: BenchmarkConfig) -> None:
        self._any = config.checkpoint is not None and not config.player
        self._loaded: dict[str, Agent] = {}

    def __call__(self, config: BenchmarkConfig, tier: str) -> Agent | None:
        if self._any and tier not in self._loaded:
            self._loaded[tier] = load_agent(policy_spec(config, tier))
        return self._loaded.get(tier)


def _begin(out: Path, suite: Path) -> None:
    """Make the suite's folder, unless it is one already or holds something else."""
    if (out / RECORD).is_file():
        return
    free = not out.exists() or (
        out.is_dir() and all(entry.name.startswith(f".{RECORD}.") for entry in out.iterdir())
    )
    if not free and not (out / RECORD).is_file():  # another shard may have begun it just now
        raise OutputError(f"{out} already holds something else; choose another --out")
    replace_file(out / RECORD, suite.read_bytes())


def _prepare(config: BenchmarkConfig, manifest: Manifest, agent: Agent | None) -> Task:
    """A manifest's run, without the agent's rows where its actions are not the task's."""
    config = replace(config, out=folder_of(manifest, config.out))
    env = make_env(manifest.env, observe_pixels=False)
    width = action_width(env)
    env.close()
    if agent is None or agent.action_dim == width:
        return Task(run=prepare(manifest, config, agent))
    kept = tuple(row for row in config.rows if row not in LEARNED_ROWS)
    why = f"{agent.name} plans actions of {agent.action_dim} numbers, the task takes {width}"
    if not kept:
        raise UserError(f"no row of {manifest.name} can be played: {why}; add rows without a model")
    dropped = ", ".join(row for row in config.rows if row in LEARNED_ROWS)
    config = replace(config, rows=kept, checkpoint=None, memory=None)
    return Task(run=prepare(manifest, config), left_out=f"{dropped}: {why}" if dropped else "")


def _model(found: list[Results]) -> ModelRef | None:
    """The model that acted, if one did."""
    for results in found:
        if model := results.checkpoint:
            return ModelRef(
                name=model.name,
                sha256=model.sha256,
                labels_used=model.labels_used,
                taught_by=model.taught_by,
            )
    return None


def _task(task: Task, results: Results) -> TaskResult:
    """A manifest's part of the suite's table."""
    return TaskResult(
        folder=task.run.config.out.name,
        manifest=results.manifest,
        rows=results.rows,
        mcnemar=[test for test in results.mcnemar if set(test.rows) <= set(LEARNED_ROWS)],
        left_out=task.left_out,
    )


def _tell(progress: Progress, before: int, total: int, done: int, _: int) -> None:
    """Progress of one task as progress of the suite."""
    progress(before + done, total)


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError(f"manifests and rows are lists, got {value!r}")
    return tuple(map(str, value))
