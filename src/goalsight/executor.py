"""One way to do a list of jobs: in this process, in worker processes, or on a Ray cluster.

A job is any value that pickles. What does it is made once in every worker, by a function that
pickles, too: `make()` gives `work`, and `work(job)` gives a result that pickles. A worker that is
killed costs what it had in hand; that is done again by another one, once.

Workers never outlive the process that started them, and leave Ctrl-C to it. Ray is an optional
extra (`pip install 'goalsight[ray]'`): the machines of a cluster need goalsight, but no folder of
the process that hands out the jobs.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from types import FrameType, ModuleType, TracebackType
from typing import Any, Generic, Protocol, TypeVar

from goalsight.errors import UserError

Job = TypeVar("Job")
Result = TypeVar("Result")

LOCAL = "local"
"""Address of a Ray of one's own, started on this machine and ended with the process."""
TRIES = 2
"""How often a job is given to a worker before its death counts as the job's doing."""
POLL_S = 0.1
"""How often a waiting parent looks whether it was asked to stop [s]."""
GOES_ON = "what was finished is kept; the same command goes on from here"
_PR_SET_PDEATHSIG = 1
"""Of Linux' prctl(2)."""


class WorkerLostError(UserError):
    """Workers ended before their work did: killed, or out of memory."""


class Stopped(KeyboardInterrupt):
    """Ctrl-C or a termination signal; the message says how to go on."""


class Executor(Generic[Job, Result]):
    """A context manager that does jobs; workers keep what they have made from one to the next."""

    def __init__(
        self,
        make: Callable[[], Callable[[Job], Result]],
        *,
        workers: int,
        ray: str = "",
        accelerator: bool = False,
        ahead: int = 1,
        stop: Callable[[], bool] | None = None,
        patience_s: float = 10.0,
    ) -> None:
        """Start nothing yet; workers start as there is something to do for them.

        Args:
            make: makes what does the jobs, in the process that does them. A `close` that it has
                is called at the end.
            workers: processes at most; 0 does everything in this one. On a cluster 0 means as many
                as it has processors.
            ray: address of a Ray cluster as `ray.init` takes it, such as `auto` or
                `ray://host:10001`; `local` starts one of `workers` processors on this machine.
            accelerator: whether a worker on a cluster needs its part of one.
            ahead: jobs that a worker process is given before it has finished the first of them.
            stop: asked again and again; jobs end early where it says so. None: Ctrl-C and SIGTERM
                end the block with `Stopped`.
            patience_s: how long workers have to end their job once they were asked to stop [s].
        """
        self._make, self._workers, self._ray = make, workers, ray
        self._accelerator, self._ahead = accelerator, ahead
        self._stop, self._patience_s = stop, patience_s
        self._backend: _Backend | None = None
        self._sigterm: object = None

    def __enter__(self) -> Executor[Job, Result]:
        """The executor itself.

        Raises:
            UserError: if Ray is not installed or no cluster answers.
        """
        if self._ray:
            self._backend = _Cluster(self._make, self._ray, self._workers, self._accelerator)
        elif self._workers:
            self._backend = _Processes(self._make, self._workers, self._ahead, self._patience_s)
        else:
            self._backend = _Here(self._make, self._stop)
        if self._stop is None and threading.current_thread() is threading.main_thread():
            self._sigterm = signal.signal(signal.SIGTERM, _interrupt)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the workers; what they are doing is given up.

        Raises:
            Stopped: in place of KeyboardInterrupt.
        """
        assert self._backend is not None, "only left where it was entered"
        try:
            self._backend.close(asked=kind is not None or self._is_stopped())
        finally:
            if self._sigterm is not None:
                signal.signal(signal.SIGTERM, self._sigterm)  # type: ignore[arg-type]
        if isinstance(error, KeyboardInterrupt):
            raise Stopped(GOES_ON) from None

    def run(self, jobs: Iterable[Job], *, ordered: bool = False) -> Iterator[tuple[Job, Result]]:
        """Do jobs; each comes with its result as soon as it is done.

        Args:
            jobs: taken as there is room for them.
            ordered: whether results come in the order of the jobs instead.

        Yields:
            (job, result); fewer than there are jobs if `stop` said so.

        Raises:
            WorkerLostError: if a job was given to two workers and both ended.
            Exception: what a job raised, with the worker's traceback as a note.
        """
        backend = self._backend
        assert backend is not None, "use `with Executor(...) as executor:`"
        todo, given = enumerate(jobs), dict[int, Job]()
        done: dict[int, Result] = {}
        tries: Counter[int] = Counter()
        first = 0  # that has not been yielded, if ordered
        exhausted = False
        while True:
            # In order, one slow job may not let the others run ahead without end.
            while not exhausted and len(given) < backend.capacity * (2 if ordered else 1):
                if len(given) - len(done) >= backend.capacity:
                    break
                if (item := next(todo, None)) is None:
                    exhausted = True
                    break
                given[item[0]] = item[1]
                backend.submit(*item)
            if not given or self._is_stopped():
                return
            answer = backend.answer(POLL_S if self._stop else None)
            if answer is None:
                continue
            if answer.error is not None:
                raise answer.error
            if answer.lost:
                if self._is_stopped():  # a signal to the whole process group
                    return
                tries[answer.ticket] += 1
                if tries[answer.ticket] == TRIES:
                    raise WorkerLostError(
                        "a worker died, and another one at the same piece of work (killed, or out "
                        f"of memory: {answer.lost}); what was finished is kept: run the same "
                        "command again, with fewer --workers if memory is short"
                    )
                backend.submit(answer.ticket, given[answer.ticket])
                continue
            done[answer.ticket] = answer.result
            ready = [first] if ordered else [answer.ticket]
            while ready and ready[0] in done:
                ticket = ready.pop()
                yield given.pop(ticket), done.pop(ticket)
                first += 1
                if ordered:
                    ready = [first]

    def _is_stopped(self) -> bool:
        return self._stop is not None and self._stop()


def stop_requested() -> bool:
    """In a job: whether whoever handed it out wants it to end early."""
    return any(asked() for asked in _asked)


_asked: list[Callable[[], bool]] = []
"""What a job in this process asks whether to stop."""


@dataclass
class _Answer:
    """What became of a job."""

    ticket: int
    """Its number."""
    result: Any = None
    error: BaseException | None = None
    """What it raised."""
    lost: str = ""
    """How its worker ended, if it did."""


class _Backend(Protocol):
    """Where jobs are done."""

    capacity: int
    """Jobs that may be under way at once."""

    def submit(self, ticket: int, job: Any) -> None:  # noqa: ANN401  (whatever pickles)
        """Begin a job, or put it in a queue."""

    def answer(self, timeout_s: float | None) -> _Answer | None:
        """Wait for one that has ended; None if none did in that time."""

    def close(self, *, asked: bool) -> None:
        """End everything; `asked`: jobs are under way that nobody waits for any more."""


class _Here:
    """This process."""

    capacity = 1

    def __init__(self, make: Callable[[], Any], stop: Callable[[], bool] | None) -> None:
        self._make, self._stop = make, stop
        self._work: Callable[[Any], Any] | None = None
        self._todo: deque[tuple[int, Any]] = deque()

    def submit(self, ticket: int, job: Any) -> None:  # noqa: ANN401
        """See `_Backend`."""
        self._todo.append((ticket, job))

    def answer(self, timeout_s: float | None) -> _Answer | None:
        """See `_Backend`."""
        ticket, job = self._todo.popleft()
        if self._work is None:
            self._work = self._make()
        stop = self._stop or (lambda: False)
        _asked.append(stop)
        try:
            return _Answer(ticket, self._work(job))
        finally:
            _asked.remove(stop)

    def close(self, *, asked: bool) -> None:
        """See `_Backend`."""
        _close(self._work)


# -- processes -------------------------------------------------------------------------------


@dataclass
class _Worker:
    """A process and what it was given."""

    process: SpawnProcess
    connection: Connection
    tickets: deque[int] = field(default_factory=deque)
    """Of its jobs, the one it is doing first."""
    started: bool = False
    """Whether it got as far as to ask for work."""


class _Processes:
    """Worker processes of this machine."""

    def __init__(
        self, make: Callable[[], Any], workers: int, ahead: int, patience_s: float
    ) -> None:
        refuse_bootstrap()
        self._make, self._count, self._ahead = make, workers, ahead
        self._patience_s = patience_s
        self.capacity = workers * ahead
        self._context: SpawnContext = multiprocessing.get_context("spawn")
        self._stop = self._context.Event()
        self._workers: list[_Worker] = []
        self._queue: deque[tuple[int, Any]] = deque()
        self._jobs: dict[int, Any] = {}

    def submit(self, ticket: int, job: Any) -> None:  # noqa: ANN401
        """See `_Backend`."""
        self._jobs[ticket] = job
        self._queue.append((ticket, job))
        self._hand_out()

    def answer(self, timeout_s: float | None) -> _Answer | None:
        """See `_Backend`."""
        by_connection = {worker.connection: worker for worker in self._workers}
        for ready in wait(list(by_connection), timeout_s):
            worker = by_connection[ready]  # type: ignore[index]
            try:
                message = worker.connection.recv()
            except (EOFError, OSError):
                return self._lost(worker)
            if message is None:
                worker.started = True
                continue
            ticket = worker.tickets.popleft()
            del self._jobs[ticket]
            self._hand_out()
            fine, outcome = message
            return _Answer(ticket, outcome) if fine else _Answer(ticket, error=outcome)
        return None

    def close(self, *, asked: bool) -> None:
        """See `_Backend`."""
        self._stop.set()
        for worker in self._workers:
            with suppress(OSError):
                worker.connection.send(None)
        # Without a reason to hurry they are idle, and end at once.
        end = time.monotonic() + (self._patience_s if asked else max(self._patience_s, 10.0))
        for worker in self._workers:
            _drain(worker, end)
            if worker.process.is_alive():
                worker.process.kill()
            worker.process.join()
            worker.connection.close()
        self._workers.clear()

    def _hand_out(self) -> None:
        """Give what waits to who is idle, then to new workers, then ahead of time."""
        while self._queue:
            free = min(self._workers, key=lambda worker: len(worker.tickets), default=None)
            if free is None or (free.tickets and len(self._workers) < self._count):
                free = self._start()
            if len(free.tickets) >= self._ahead:
                return
            ticket, job = self._queue.popleft()
            free.tickets.append(ticket)
            with suppress(BrokenPipeError, ConnectionResetError):  # `answer` sees that it is gone
                free.connection.send((job,))

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_serve, args=(theirs, self._stop), name="goalsight worker"
        )
        with signals_blocked():
            process.start()
        theirs.close()
        self._workers.append(worker := _Worker(process, ours))
        # Not as an argument: what is larger than a pipe's buffer is waited for there, also by who
        # has ended, see `refuse_bootstrap`.
        with suppress(BrokenPipeError, ConnectionResetError):  # `answer` sees that it is gone
            ours.send(self._make)
        return worker

    def _lost(self, worker: _Worker) -> _Answer | None:
        """Take a worker out that has ended; only the job that it was doing is under suspicion."""
        self._workers.remove(worker)
        worker.connection.close()
        worker.process.join()
        if not worker.started:
            raise UserError(
                "a worker process ended before it began; a program that starts workers does so "
                "under `if __name__ == '__main__':`, and memory must be free for them"
            )
        if not worker.tickets:
            self._hand_out()
            return None
        ticket, *rest = worker.tickets
        self._queue.extendleft((other, self._jobs[other]) for other in reversed(rest))
        return _Answer(ticket, lost=_how_it_ended(worker.process.exitcode))


def _drain(worker: _Worker, end: float) -> None:
    """Wait for a worker to leave; what it still says is read, so that it does not wait for that."""
    with suppress(EOFError, OSError):
        while worker.connection.poll(max(0.0, end - time.monotonic())):
            worker.connection.recv()


def _how_it_ended(code: int | None) -> str:
    """An exit code in words."""
    if code is not None and code < 0:
        with suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit status {code}"


def refuse_bootstrap() -> None:
    """A program that starts workers on import is imported by them: there they end, silently.

    Whoever started them says what is wrong.
    """
    if getattr(multiprocessing.process.current_process(), "_inheriting", False):
        os._exit(1)


def _serve(connection: Connection, stop: Event) -> None:
    """What a worker process does."""
    for number in SIGNALS:  # they are the parent's to handle
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    leave_with_parent()
    _asked.append(stop.is_set)
    work: Any = None
    try:
        make: Callable[[], Any] = connection.recv()
        connection.send(None)
        while (message := connection.recv()) is not None and not stop.is_set():
            try:
                work = work or make()
                answer: tuple[bool, Any] = (True, work(*message))
            except Exception as error:
                answer = (False, _with_trace(error))
            _send(connection, answer)
        _close(work)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent has gone, or does not want to know


def _send(connection: Connection, answer: tuple[bool, Any]) -> None:
    """Send an answer, or say that it cannot be sent."""
    try:
        content = multiprocessing.reduction.ForkingPickler.dumps(answer)
    except Exception as error:
        what = "result" if answer[0] else f"error {answer[1]!r}"
        content = multiprocessing.reduction.ForkingPickler.dumps(
            (False, TypeError(f"the {what} of a job does not pickle: {error}"))
        )
    connection.send_bytes(content)


def _with_trace(error: Exception) -> Exception:
    """The error with its traceback as a note, which survives the way to the parent."""
    error.add_note("in a worker:\n" + "".join(traceback.format_exception(error)))
    return error


def _close(work: object) -> None:
    if callable(close := getattr(work, "close", None)):
        close()


# -- a cluster -------------------------------------------------------------------------------


class _Cluster:
    """Actors of a Ray cluster, each on one processor."""

    def __init__(
        self, make: Callable[[], Any], address: str, workers: int, accelerator: bool
    ) -> None:
        self._ray = _connected(address, workers)
        resources = self._ray.cluster_resources()
        processors = max(1, int(resources.get("CPU", 1)))
        self.capacity = min(processors, workers or processors)
        self._options: dict[str, float] = {"num_cpus": 1}
        if accelerator:
            self._options["num_gpus"] = min(1.0, resources.get("GPU", 0.0) / self.capacity)
        self._make = make
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[int, Any]] = {}

    def submit(self, ticket: int, job: Any) -> None:  # noqa: ANN401
        """See `_Backend`."""
        if not self._idle:
            self._idle.append(self._ray.remote(**self._options)(_Actor).remote(self._make))
        actor = self._idle.pop()
        self._busy[actor.work.remote(job)] = (ticket, actor)

    def answer(self, timeout_s: float | None) -> _Answer | None:
        """See `_Backend`."""
        ready, _ = self._ray.wait(list(self._busy), num_returns=1, timeout=timeout_s)
        if not ready:
            return None
        ticket, actor = self._busy.pop(ready[0])
        try:
            result = self._ray.get(ready[0])
        except self._ray.exceptions.RayTaskError as error:
            self._idle.append(actor)
            known = isinstance(error.cause, UserError)
            return _Answer(ticket, error=error.cause if known else error)
        except self._ray.exceptions.RayActorError as error:
            return _Answer(ticket, lost=_first_line(error))
        self._idle.append(actor)
        return _Answer(ticket, result)

    def close(self, *, asked: bool) -> None:
        """See `_Backend`."""
        for actor in [*self._idle, *(actor for _, actor in self._busy.values())]:
            self._ray.kill(actor)


class _Actor:
    """A worker as Ray makes it."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._work: Any = None

    def work(self, job: Any) -> Any:  # noqa: ANN401
        """Do a job; what does it is made by the first one, whose errors are seen."""
        self._work = self._work or self._make()
        return self._work(job)


def _connected(address: str, workers: int) -> ModuleType:
    """Ray, connected; a second call in one process stays with the first one's cluster."""
    try:
        import ray
    except ImportError:
        raise UserError("--ray needs Ray: pip install 'goalsight[ray]'") from None
    if not ray.is_initialized():
        own = {"num_cpus": workers or None, "include_dashboard": False} if address == LOCAL else {}
        try:
            ray.init(address=address, log_to_driver=False, logging_level="error", **own)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UserError(
                f"no Ray cluster at {address} ({_first_line(error)}); start one with `ray start "
                f"--head`, or give --ray {LOCAL}"
            ) from None
    module: ModuleType = ray
    return module


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")


# -- a function in a process of its own ------------------------------------------------------


def run_alone(function: Callable[..., int], *arguments: object, log: Path) -> int:
    """Call a function in a new process that writes what it prints into a file.

    It does not see Ctrl-C: it is sent SIGTERM, once, when the job that called this is asked to
    stop, and ends with this process.

    Args:
        function: gives an exit status; must pickle, as must its arguments.
        arguments: of the function.
        log: file that gets its output and its errors.

    Returns:
        Its exit status; negative if a signal ended it.
    """
    process = multiprocessing.get_context("spawn").Process(
        target=_alone, args=(function, arguments, log)
    )
    process.start()
    told = False
    try:
        while process.is_alive():
            process.join(POLL_S)
            if stop_requested() and not told:
                process.terminate()
                told = True
    except BaseException:
        process.terminate()
        process.join()
        raise
    code = process.exitcode
    assert code is not None, "it has ended"
    return code


def _alone(function: Callable[..., int], arguments: tuple[object, ...], log: Path) -> None:
    os.setpgrp()  # a terminal's Ctrl-C goes to a group: to those who started this one
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    leave_with_parent()
    with log.open("wb") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    sys.exit(function(*arguments))


# -- signals ---------------------------------------------------------------------------------

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Requests to stop."""


class StopRequest:
    """While entered, the first SIGINT or SIGTERM sets `requested`; a second one acts as usual.

    Outside the main thread signals cannot be caught, and nothing is changed.
    """

    def __init__(self) -> None:
        self.requested = False
        """Whether somebody asked to stop."""
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> StopRequest:
        """Start to listen."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put the handlers back."""
        self._restore()

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before.clear()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Processes started in here never see a request to stop; here it waits until the end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_with_parent() -> None:
    """From now on this process ends when the one that started it is gone, even if that was killed.

    Linux does so itself, in the middle of a call into a library, too; elsewhere a thread watches a
    pipe that closes with the parent.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)
