"""What a worker of a benchmark does: it plays one pair at a time, on one torch thread."""

from __future__ import annotations

from dataclasses import dataclass

from goalsight.benchmark.episode import play_pair
from goalsight.benchmark.manifest import Manifest
from goalsight.benchmark.results import Outcome
from goalsight.benchmark.rows import FILMED, ROWS, Player, PlayerSpec
from goalsight.benchmark.store import film_bytes
from goalsight.environments import Env, make_env
from goalsight.provenance import hardware


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

    def __call__(self, item: tuple[str, int]) -> Played:
        """Play a (row, pair) item, as a job of an executor."""
        return self.play(*item)

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


def make_worker(job: Job) -> Worker:
    """A worker in a process of its own: PyTorch computes on one thread there.

    So its sums are the same everywhere.
    """
    # Scripted rows never load PyTorch: seconds saved.
    if job.spec.checkpoint is not None or job.spec.player:
        import torch

        torch.set_num_threads(1)
    return Worker(job)
