"""Worker processes: each plays one pair at a time, on one torch thread."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from goalsight.benchmark.episode import play_pair
from goalsight.benchmark.manifest import Manifest
from goalsight.benchmark.results import Outcome
from goalsight.benchmark.rows import FILMED, ROWS, Player, PlayerSpec
from goalsight.benchmark.store import film_bytes
from goalsight.benchmark.tasks import Env, make_env
from goalsight.data.collect.signals import leave_with_parent
from goalsight.errors import UserError
from goalsight.provenance import cores, hardware


@dataclass(frozen=True, kw_only=True)
class Job:
    """What every worker of a run knows."""

    manifest: Manifest
    spec: PlayerSpec
    size: int
    """Height and width of the pictures [pixels]."""
    film_every: int
    """Control steps between two pictures of a row that is not filmed in full."""
    seed: int


@dataclass(frozen=True, kw_only=True)
class Played:
    """What a worker sends back; it writes nothing, so it may be on a machine without the folder."""

    outcome: Outcome
    film: bytes
    """Content of the film's file."""
    hardware: str
    """Of the worker's machine."""


class Worker:
    """Plays pairs; environments and players are made once and kept."""

    def __init__(self, job: Job) -> None:
        """Make nothing yet: a worker may never be asked for some row."""
        self._job = job
        self._players: dict[str, Player] = {}
        self._envs: dict[bool, Env] = {}

    def play(self, row: str, pair: int) -> Played:
        """Play one pair."""
        job = self._job
        if row not in self._players:
            self._players[row] = ROWS[row](job.spec)
        player = self._players[row]
        if player.looks not in self._envs:
            self._envs[player.looks] = make_env(
                job.manifest.env, size=job.size, observe_pixels=player.looks
            )
        outcome, film = play_pair(
            self._envs[player.looks],
            player,
            job.manifest,
            row,
            pair,
            seed=job.seed,
            film_every=1 if row in FILMED else job.film_every,
        )
        return Played(outcome=outcome, film=film_bytes(film), hardware=hardware())


def play_in_workers(
    job: Job, items: Sequence[tuple[str, int]], workers: int | None
) -> Iterator[Played]:
    """Play (row, pair) items in spawned processes; what they played comes as it finishes.

    Always in another process, even for one worker, so that one torch thread is the rule there and
    the caller's own threads stay as they are.

    Args:
        job: what is played.
        items: rows and numbers of pairs.
        workers: processes; None: one per core this process may use.

    Raises:
        UserError: if a process was killed; what was yielded before stands.
    """
    pool = ProcessPoolExecutor(
        min(workers or cores(), len(items)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(job,),
    )
    try:
        futures = [pool.submit(_play, row, pair) for row, pair in items]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool:
        raise UserError(
            "a worker process was killed, most likely for lack of memory; run the same command "
            "again with fewer --workers, finished pairs are kept"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_worker: list[Worker] = []
"""The worker of this process; empty in the parent."""


def _start(job: Job) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    leave_with_parent()
    one_thread(job)
    _worker.append(Worker(job))


def one_thread(job: Job) -> None:
    """From now on PyTorch computes on one thread here, so that its sums are the same everywhere."""
    # Scripted rows never load PyTorch: seconds saved.
    if job.spec.checkpoint is not None or job.spec.player:
        import torch

        torch.set_num_threads(1)


def _play(row: str, pair: int) -> Played:
    return _worker[0].play(row, pair)
