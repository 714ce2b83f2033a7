"""Worker processes that record episodes; results come back in order."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.synchronize import Event
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from goalsight.data.collect.config import CollectConfig
from goalsight.data.collect.recorder import EnvFacts, Recorder
from goalsight.data.collect.seeking import Seeking
from goalsight.data.collect.signals import interrupts_blocked, leave_with_parent
from goalsight.data.episode import Episode
from goalsight.errors import OutputError

Result = TypeVar("Result")
POLL_S = 0.1
"""How often a waiting parent looks whether it was asked to stop [s]."""


class Recorders:
    """Several recorders behind one interface; with one worker it is this process itself."""

    def __init__(
        self,
        config: CollectConfig,
        staging: Path,
        stopped: Callable[[], bool],
        seeking: Seeking | None = None,
    ) -> None:
        """Start the workers.

        Args:
            config: what to collect.
            staging: folder for frame files.
            stopped: whether somebody asked to stop.
            seeking: the agent of a policy that has one.
        """
        self._config, self._stopped = config, stopped
        self._local: Recorder | None = None
        self._pool: ProcessPoolExecutor | None = None
        if config.workers == 1:
            self._local = Recorder(config, staging, seeking)
            return
        context = multiprocessing.get_context("spawn")
        self._stop = context.Event()
        self._pool = ProcessPoolExecutor(
            config.workers, context, _start_worker, (config, staging, self._stop, seeking)
        )

    def __enter__(self) -> Recorders:
        """The recorders themselves."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the workers; each gives up the episode it is in."""
        if self._local is not None:
            self._local.close()
        if self._pool is not None:
            self._stop.set()
            self._pool.shutdown(wait=True, cancel_futures=True)

    def describe(self) -> EnvFacts | None:
        """Facts about the environment; None if asked to stop meanwhile."""
        if self._local is not None:
            return self._local.describe()
        return self._wait(self._submit(_describe))

    def record(self, first: int, end: int) -> Iterator[Episode]:
        """Episodes first to end - 1 in order; ends early if asked to stop.

        Raises:
            OSError: if a worker cannot write its frames.
            OutputError: if a worker died.
        """
        indices = range(first, end)
        episodes = self._record_here(indices) if self._local else self._record_in_pool(indices)
        for episode in episodes:
            if episode is None:
                return
            yield episode

    def _record_here(self, indices: range) -> Iterator[Episode | None]:
        assert self._local is not None, "only called where there is one"
        for index in indices:
            yield self._local.record(index, self._stopped)

    def _record_in_pool(self, indices: range) -> Iterator[Episode | None]:
        """Two episodes in flight per worker: nobody waits, little is lost when a run is stopped."""
        todo = iter(indices)
        flying = deque(
            self._submit(_record, index) for index in islice(todo, 2 * self._config.workers)
        )
        while flying:
            episode = self._wait(flying.popleft())
            flying.extend(self._submit(_record, index) for index in islice(todo, 1))
            yield episode

    def _submit(self, task: Callable[..., Result], *arguments: object) -> Future[Result]:
        assert self._pool is not None, "only asked for when there are workers"
        with interrupts_blocked():  # submitting is what starts a process
            return self._pool.submit(task, *arguments)

    def _wait(self, future: Future[Result]) -> Result | None:
        while not self._stopped():
            wait([future], timeout=POLL_S)
            if not future.done():
                continue
            try:
                return future.result()
            except BrokenProcessPool:
                if self._stopped():  # a signal to the whole process group
                    return None
                raise OutputError(
                    "a collect worker died (killed, or out of memory); what was committed is "
                    "kept: run the same command again, with fewer --workers if memory is short"
                ) from None
        return None


# -- in the worker ---------------------------------------------------------------------------

_state: tuple[CollectConfig, Path, Event, Seeking | None] | None = None
_recorder: Recorder | None = None


def _start_worker(
    config: CollectConfig, staging: Path, stop: Event, seeking: Seeking | None
) -> None:
    """Remember what to do; the environment is made by the first task, whose errors are seen."""
    global _state  # noqa: PLW0603 a worker process is what this state belongs to
    _state = (config, staging, stop, seeking)
    leave_with_parent()


def _get_recorder() -> Recorder:
    global _recorder  # noqa: PLW0603 a worker process is what this state belongs to
    assert _state is not None, "the pool's initializer has run"
    if _recorder is None:
        _recorder = Recorder(_state[0], _state[1], _state[3])
    return _recorder


def _describe() -> EnvFacts:
    return _get_recorder().describe()


def _record(index: int) -> Episode | None:
    recorder = _get_recorder()
    assert _state is not None, "the pool's initializer has run"
    return recorder.record(index, _state[2].is_set)
