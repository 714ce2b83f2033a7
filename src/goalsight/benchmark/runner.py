"""Runs a manifest: plays what is missing, then writes the table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goalsight.benchmark.about import about_run, command, joined
from goalsight.benchmark.episode import check_task
from goalsight.benchmark.guest import check_player, load_guest, picture_size
from goalsight.benchmark.manifest import Manifest
from goalsight.benchmark.results import Outcome, Results, compare, row_result, to_json
from goalsight.benchmark.rows import (
    NEEDS_CHECKPOINT,
    PlayerSpec,
    check_players,
    check_rows,
    default_rows,
    load_agent,
)
from goalsight.benchmark.shards import Shard
from goalsight.benchmark.store import RESULTS, Origin, Store, film_path, open_store
from goalsight.benchmark.workers import Job, Played, make_worker
from goalsight.environments import Env, make_env
from goalsight.errors import CheckpointError, UserError
from goalsight.executor import Executor
from goalsight.io import read_json, replace_file, replace_json
from goalsight.progress import Progress, silent
from goalsight.provenance import cores

if TYPE_CHECKING:
    from goalsight.agent import Agent

Item = tuple[str, int]
"""A row and the number of a pair."""

DEFAULT_SIZE = 64
"""Size of the pictures kept where no agent asks for one [pixels]."""


class MissingPairsError(UserError):
    """The table cannot be written: other shards have not played their pairs."""


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
    workers: int | None = 1
    """Processes that play at the same time, None for one per core; changes nothing but the time."""
    seed: int = 0
    """Of every random choice the rows make."""
    device: str = "cpu"
    """Torch device of the agent."""
    settings: str = ""
    """Settings of the agent that differ from the default, such as `samples=100,delay=0.05`."""
    memory: Path | None = None
    """File of recorded latents that the agent takes sub-goals from."""
    player: str = ""
    """`module:function` that makes the row `player`, see `goalsight.benchmark.guest`."""
    shard: Shard | None = None
    """Which part of the pairs to play; None plays all."""
    ray: str = ""
    """Address of a Ray cluster whose processors play; empty: processes of this machine do."""

    def __post_init__(self) -> None:
        """Raises UserError where a field is out of its range."""
        check_rows(self.rows)
        check_player(self.rows, self.player)
        if self.pairs is not None and self.pairs < 1:
            raise UserError(f"pairs must be at least 1, got {self.pairs}")
        if self.workers is not None and self.workers < 1:
            raise UserError(f"workers must be at least 1, got {self.workers}")
        if self.seed < 0:
            raise UserError(f"seed must be 0 or more, got {self.seed}")


def run_benchmark(
    manifest: Manifest, config: BenchmarkConfig, progress: Progress = silent
) -> Results:
    """Play every pair of every row and write `results.json` into `config.out`.

    Every pair is played alone, at batch 1 and on one torch thread, with random streams that depend
    on the seed and the pair alone: workers, shards and interruptions change nothing in the outcome.
    Pairs that an earlier run with the same settings finished are kept.

    Args:
        manifest: the frozen pairs.
        config: what to measure and how.
        progress: told how many pairs are done.

    Raises:
        UserError: if the checkpoint does not fit the task, the manifest does not fit the
            installed environments, or `config.out` holds something else; MissingPairsError if
            only a shard was to be played and other shards' pairs are not there yet.
    """
    run = prepare(manifest, config)
    run.play(progress)
    return run.finish()


@dataclass(frozen=True, kw_only=True)
class Run:
    """A manifest that is ready to be played, or is played in part."""

    manifest: Manifest
    config: BenchmarkConfig
    store: Store
    job: Job
    about: dict[str, Any]
    """The fields of the results that are known beforehand."""

    def items(self) -> list[Item]:
        """Rows and pairs in the order of the table."""
        count = min(self.config.pairs or len(self.manifest.pairs), len(self.manifest.pairs))
        return [(row, pair) for row in self.config.rows for pair in range(count)]

    def mine(self) -> list[Item]:
        """Those of this shard."""
        return self.config.shard.of(self.items()) if self.config.shard else self.items()

    def missing(self) -> list[Item]:
        """Those that nobody has finished."""
        done = self.store.outcomes()
        return [item for item in self.items() if item not in done]

    def play(self, progress: Progress = silent) -> None:
        """Play those of this shard that nobody has finished."""
        missing, mine = set(self.missing()), self.mine()
        todo = [item for item in mine if item in missing]
        # Planning rows first: an estimate that starts pessimistic, an end without one slow worker.
        todo.sort(key=lambda item: item[0] not in NEEDS_CHECKPOINT)
        kept = len(mine) - len(todo)
        progress(kept, len(mine))
        if not todo:
            return
        with self._players(len(todo)) as players:
            for number, (_, played) in enumerate(players.run(todo), start=1):
                outcome = played.outcome
                replace_file(film_path(self.config.out, outcome.row, outcome.pair), played.film)
                self.store.add(outcome, on=played.hardware)
                progress(kept + number, len(mine))

    def finish(self) -> Results:
        """Write the table; one that already says the same is left as it is.

        Raises:
            MissingPairsError: if pairs are missing, saying which.
        """
        entries = self.store.entries()
        if missing := [item for item in self.items() if item not in entries]:
            what = f"{len(missing)} of {len(self.items())} pairs are missing"
            raise MissingPairsError(f"no table of {self.config.out} yet: {what} ({tally(missing)})")
        results = self._results([entries[item] for item in self.items()])
        path, content = self.config.out / RESULTS, to_json(results)
        if not _says_the_same(path, content):
            replace_json(path, content)
        return results

    def _players(self, items: int) -> Executor[Item, Played]:
        """Always other processes, even for one worker: there one torch thread is the rule."""
        config = self.config
        here = 0 if config.ray else cores()
        return Executor(
            partial(make_worker, self.job),
            workers=min(config.workers or here, items),
            ray=config.ray,
            accelerator=config.device.startswith("cuda"),
            patience_s=1.0,
        )

    def _results(self, entries: list[tuple[Outcome, Origin]]) -> Results:
        """The table and what makes it traceable."""
        rows, played = self.config.rows, [outcome for outcome, _ in entries]
        return Results(
            **self.about,
            commit=joined(origin.commit for _, origin in entries),
            hardware=joined(origin.hardware for _, origin in entries) or "",
            command=command(),
            rows=[row_result(row, [o for o in played if o.row == row]) for row in rows],
            mcnemar=compare(rows, played),
            pairs=played,
        )


def prepare(manifest: Manifest, config: BenchmarkConfig, agent: Agent | None = None) -> Run:
    """Check that everything fits and begin or continue the folder of the run.

    Args:
        manifest: the frozen pairs.
        config: what to measure and how.
        agent: of the checkpoint, if it is loaded already.

    Raises:
        UserError: as `run_benchmark`.
    """
    spec = player_spec(config, manifest.tier)
    # A guest may read a checkpoint of another kind.
    given = config.checkpoint and not config.player
    if agent is None and (given or NEEDS_CHECKPOINT & set(config.rows)):
        agent = load_agent(spec)
    guest = load_guest(spec) if config.player else None
    env = make_env(manifest.env, observe_pixels=False)
    check_task(manifest, env)
    if agent:
        _check_agent(agent, env)
    check_players(config.rows, agent, env, spec)
    about = about_run(manifest, config.device, config.seed, agent, env)
    about["player"] = guest.about if guest else None
    env.close()
    identity = {
        "manifest": manifest.hash,
        "checkpoint": agent.checkpoint_sha256 if agent else None,
        **{name: about[name] for name in ("agent", "seed", "device", "renderer", "goalsight")},
        "player": about["player"],
        "mujoco": about["mujoco"],
        # What other rows than the agent's plan with is the card's, too.
        **({"planning": agent.card["agent"]} if agent and "agent" in agent.card else {}),
    }
    job = Job(
        manifest=manifest,
        spec=spec,
        size=picture_size(agent, guest, DEFAULT_SIZE),
        film_every=agent.frameskip if agent else manifest.frameskip,
        seed=config.seed,
    )
    store = open_store(config.out, identity, config.shard)
    return Run(manifest=manifest, config=config, store=store, job=job, about=about)


def player_spec(config: BenchmarkConfig, tier: str) -> PlayerSpec:
    """What the players of a run on a manifest of that tier are made from."""
    return PlayerSpec(
        checkpoint=_anywhere(config.checkpoint),
        device=config.device,
        settings=config.settings,
        tier=tier,
        memory=_anywhere(config.memory),
        player=config.player,
    )


def tally(items: Iterable[Item]) -> str:
    """How many pairs of each row, such as `agent 3, zero 5`."""
    return ", ".join(f"{row} {count}" for row, count in Counter(row for row, _ in items).items())


def _anywhere(path: Path | None) -> Path | None:
    """A path that means the same in a process that was started in another folder."""
    return path.absolute() if path is not None and path.exists() else path


def action_width(env: Env) -> int:
    """Numbers in an action."""
    return int((env.action_space.shape or (0,))[0])


def _check_agent(agent: Agent, env: Env) -> None:
    """Refuse a checkpoint whose actions are not those of the task."""
    width = action_width(env)
    if agent.action_dim != width:
        raise CheckpointError(
            f"checkpoint {agent.name} plans actions of {agent.action_dim} numbers, the task takes "
            f"{width}; use a checkpoint that was trained on this task's data"
        )


def _says_the_same(path: Path, content: dict[str, Any]) -> bool:
    """Whether a table is already there, whichever command wrote it."""
    try:
        old = read_json(path)
    except UserError:
        return False
    new = json.loads(json.dumps(content))
    return bool({**old, "command": ""} == {**new, "command": ""})
