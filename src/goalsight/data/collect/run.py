"""The collecting run: who does what, in which order, and what happens when it ends early."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING

import goalsight
from goalsight.data.collect.config import (
    AGENTS,
    CollectConfig,
    CollectSummary,
)
from goalsight.data.collect.recorder import EnvFacts, Recorder, as_json
from goalsight.data.format import Episode, Provenance
from goalsight.errors import OutputError, UserError
from goalsight.executor import Executor, StopRequest
from goalsight.policy import PolicyFactory
from goalsight.progress import Progress, silent
from goalsight.provenance import git_commit

if TYPE_CHECKING:
    from goalsight.data.writer import DatasetWriter

Recorders = Executor[int | None, EnvFacts | Episode | None]


def collect(
    config: CollectConfig,
    progress: Progress = silent,
    factory: PolicyFactory | None = None,
) -> CollectSummary:
    """Record episodes until the dataset has as many as asked for.

    Episodes already there are kept. SIGINT and SIGTERM end the run after the last commit; the
    dataset is whole then, and the same call goes on where it ended.

    Args:
        config: what to collect.
        progress: told how many episodes there are, before the first and after every one.
        factory: makes who acts where the policy is one of `AGENTS`.

    Raises:
        ValueError: if the policy is one of them and nobody was given, or the other way round.
        UserError: if there is no such environment.
        WorkerLostError: if a worker died, and another one at the same episode.
        OutputError: if `out` holds something else or other settings, or the disk is full; the
            dataset is usable then, too.
    """
    # Here, not above: a spawned worker imports this package and has no use for parquet.
    from goalsight.data.writer import STAGING, DatasetWriter, check_output, recount

    if (config.policy in AGENTS) != (factory is not None):
        who = " and ".join(sorted(AGENTS))
        raise ValueError(f"policy {config.policy!r} with the factory {factory}: {who} need one")
    check_output(config.out)
    try:
        with (
            StopRequest() as stop,
            Executor(
                partial(Recorder, config, config.out / STAGING, factory),
                workers=config.workers if config.workers > 1 else 0,
                ahead=2,
                stop=lambda: stop.requested,
            ) as recorders,
        ):
            facts = next((told for _, told in recorders.run([None])), None)
            if not isinstance(facts, EnvFacts):
                return _nothing_done(config, recount(config.out))
            with DatasetWriter(config.out, _provenance(config, facts, factory)) as writer:
                return _append(config, writer, recorders, stop, progress)
    except OSError as error:
        raise OutputError(
            f"cannot write to {config.out}: {error.strerror or error}; episodes committed are kept "
            f"({recount(config.out)}): make room and run the same command again"
        ) from error


def _append(
    config: CollectConfig,
    writer: DatasetWriter,
    recorders: Recorders,
    stop: StopRequest,
    progress: Progress,
) -> CollectSummary:
    kept, steps, began = len(writer.records), 0, time.perf_counter()
    # Where bad episodes were taken out, the seed goes on behind the last that it made.
    last = writer.records[-1] if writer.records else None
    shift = 0 if last is None or last.origin is None else last.origin - last.episode

    progress(kept, config.episodes)
    try:
        indices = range(kept + shift, config.episodes + shift)
        for index, made in recorders.run(indices, ordered=True):
            if not isinstance(made, Episode):
                break  # asked to stop in the middle of it
            episode = made if not shift else replace(made, index=made.index - shift, origin=index)
            writer.append(episode)
            steps += episode.length
            progress(len(writer.records), config.episodes)
    except BaseException:
        with suppress(OSError, UserError):  # on a full disk the statistics stay as they were
            writer.finish()
        raise
    seconds = time.perf_counter() - began
    writer.finish()
    return CollectSummary(
        path=config.out,
        episodes=len(writer.records),
        frames=writer.total_frames,
        kept=kept,
        steps=steps,
        seconds=seconds,
        interrupted=stop.requested and len(writer.records) < config.episodes,
    )


def _nothing_done(config: CollectConfig, episodes: int) -> CollectSummary:
    return CollectSummary(
        path=config.out,
        episodes=episodes,
        frames=0,
        kept=episodes,
        steps=0,
        seconds=0.0,
        interrupted=True,
    )


def _provenance(
    config: CollectConfig, facts: EnvFacts, factory: PolicyFactory | None
) -> Provenance:
    return Provenance(
        env=config.env,
        policy=config.policy if config.mix is None else f"mix {config.mix.name}",
        mix=None if config.mix is None else config.mix.to_json(),
        seed=config.seed,
        steps=config.steps,
        size=config.size,
        video=config.video,
        other_cameras=list(config.cameras[1:]) or None,
        factors=as_json(config.factors),
        redraw=config.redraw or None,
        goalsight=goalsight.__version__,
        commit=git_commit(),
        agent=None if factory is None else dict(factory.facts),
        **asdict(facts),
    )
