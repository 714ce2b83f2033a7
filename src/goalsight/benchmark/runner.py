"""Runs a manifest: plays what is missing, then writes the table."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goalsight import __version__
from goalsight.benchmark.episode import check_task
from goalsight.benchmark.manifest import Manifest
from goalsight.benchmark.results import (
    SCHEMA,
    CheckpointRef,
    ManifestRef,
    Outcome,
    Results,
    compare,
    row_result,
    to_json,
)
from goalsight.benchmark.rows import (
    NEEDS_CHECKPOINT,
    PlayerSpec,
    check_players,
    check_rows,
    default_rows,
    load_agent,
)
from goalsight.benchmark.store import RESULTS, Store, open_store
from goalsight.benchmark.tasks import Env, make_env, task_of
from goalsight.benchmark.workers import Job, play_in_workers
from goalsight.data.files import replace_json
from goalsight.data.progress import silent
from goalsight.errors import CheckpointError, UserError
from goalsight.provenance import git_commit, hardware

if TYPE_CHECKING:
    from goalsight.agent import Agent

Progress = Callable[[int, int], None]
"""Called with (pairs done, pairs in all)."""

DEFAULT_SIZE = 64
"""Size of the pictures kept where no agent asks for one [pixels]."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """What to measure and how."""

    out: Path
    """Folder of the run; a run that is already there is continued."""
    checkpoint: Path | None = None
    """Folder of the agent's checkpoint; the scripted rows need none."""
    rows: tuple[str, ...] = default_rows([])
    """Rows of the table."""
    pairs: int | None = None
    """Play the first so many pairs; None plays all."""
    workers: int = 1
    """Processes that play at the same time; changes nothing but the time it takes."""
    seed: int = 0
    """Of every random choice the rows make."""
    device: str = "cpu"
    """Torch device of the agent."""
    settings: str = ""
    """Settings of the agent that differ from the default, such as `samples=100,delay=0.05`."""
    memory: Path | None = None
    """File of recorded latents that the agent takes sub-goals from."""

    def __post_init__(self) -> None:
        """Raises UserError where a field is out of its range."""
        check_rows(self.rows)
        if self.pairs is not None and self.pairs < 1:
            raise UserError(f"pairs must be at least 1, got {self.pairs}")
        if self.workers < 1:
            raise UserError(f"workers must be at least 1, got {self.workers}")
        if self.seed < 0:
            raise UserError(f"seed must be 0 or more, got {self.seed}")


def run_benchmark(
    manifest: Manifest, config: BenchmarkConfig, progress: Progress = silent
) -> Results:
    """Play every pair of every row and write `results.json` into `config.out`.

    Every pair is played alone, at batch 1 and on one torch thread, with random streams that depend
    on the seed and the pair alone: workers and interruptions change nothing in the outcome. Pairs
    that an earlier run with the same settings finished are kept.

    Args:
        manifest: the frozen pairs.
        config: what to measure and how.
        progress: told how many pairs are done.

    Raises:
        UserError: if the checkpoint does not fit the task, the manifest does not fit the
            installed environments, or `config.out` holds something else.
    """
    count = min(config.pairs or len(manifest.pairs), len(manifest.pairs))
    spec = PlayerSpec(
        checkpoint=config.checkpoint,
        device=config.device,
        settings=config.settings,
        memory=config.memory,
    )
    needed = NEEDS_CHECKPOINT & set(config.rows)
    agent = load_agent(spec) if needed or config.checkpoint else None
    env = make_env(manifest.env, observe_pixels=False)
    check_task(manifest, env)
    if agent:
        _check_agent(agent, env)
    check_players(config.rows, agent, env)
    identity: dict[str, Any] = {
        "manifest": manifest.hash,
        "checkpoint": agent.checkpoint_sha256 if agent else None,
        "agent": _settings(agent),
        "seed": config.seed,
        "device": config.device,
        "renderer": task_of(env).renderer,
        "goalsight": __version__,
    }
    store = open_store(config.out, identity)
    job = Job(
        manifest=manifest,
        spec=spec,
        out=config.out,
        size=agent.image_size if agent else DEFAULT_SIZE,
        film_every=agent.frameskip if agent else manifest.frameskip,
        seed=config.seed,
    )
    outcomes = _play_missing(store, job, config, count, progress)
    results = _results(manifest, config, agent, env, outcomes)
    env.close()
    replace_json(config.out / RESULTS, to_json(results))
    return results


def _play_missing(
    store: Store, job: Job, config: BenchmarkConfig, count: int, progress: Progress
) -> list[Outcome]:
    """Outcomes in the order of the table; plays those that the store lacks."""
    wanted = [(row, pair) for row in config.rows for pair in range(count)]
    done = store.outcomes()
    missing = [item for item in wanted if item not in done]
    # Planning rows first: the bar's estimate starts pessimistic and the end is not one slow worker.
    missing.sort(key=lambda item: item[0] not in NEEDS_CHECKPOINT)
    kept = len(wanted) - len(missing)
    progress(kept, len(wanted))
    if missing:
        for number, outcome in enumerate(play_in_workers(job, missing, config.workers), start=1):
            store.add(outcome)
            done[outcome.row, outcome.pair] = outcome
            progress(kept + number, len(wanted))
    return [done[item] for item in wanted]


def _settings(agent: Agent | None) -> dict[str, Any] | None:
    """How the agent plans, and from which memory it takes sub-goals if it does."""
    if agent is None:
        return None
    memory = {} if agent.memory_sha256 is None else {"memory": agent.memory_sha256}
    return asdict(agent.config) | memory


def _check_agent(agent: Agent, env: Env) -> None:
    """Refuse a checkpoint whose actions are not those of the task."""
    width = (env.action_space.shape or (0,))[0]
    if agent.action_dim != width:
        raise CheckpointError(
            f"checkpoint {agent.name} plans actions of {agent.action_dim} numbers, the task takes "
            f"{width}; use a checkpoint that was trained on this task's data"
        )


def _results(
    manifest: Manifest,
    config: BenchmarkConfig,
    agent: Agent | None,
    env: Env,
    played: list[Outcome],
) -> Results:
    """The table and what makes it traceable."""
    import mujoco

    by_row = {row: [outcome for outcome in played if outcome.row == row] for row in config.rows}
    return Results(
        schema=SCHEMA,
        goalsight=__version__,
        commit=git_commit(),
        command=_command(),
        hardware=hardware(),
        device=config.device,
        agent=_settings(agent),
        renderer=task_of(env).renderer,
        mujoco=mujoco.__version__,
        seed=config.seed,
        manifest=ManifestRef(
            name=manifest.name,
            sha256=manifest.hash,
            env=manifest.env,
            tier=manifest.tier,
            budget=manifest.budget,
            threshold=manifest.threshold,
            control_dt=task_of(env).control_dt,
        ),
        checkpoint=None if agent is None else _reference(agent),
        rows=[row_result(row, outcomes) for row, outcomes in by_row.items()],
        mcnemar=compare(config.rows, played),
        pairs=played,
    )


def _command() -> str:
    """The command line of this process."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def _reference(agent: Agent) -> CheckpointRef:
    """What the results say of the agent's model."""
    return CheckpointRef(
        name=agent.name,
        sha256=agent.checkpoint_sha256,
        labels_used=agent.labels_used,
        card=agent.card,
    )
