"""Jobs are done once each, wherever; workers that die cost little, and none outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from goalsight.errors import CheckpointError, UserError
from goalsight.executor import Executor, WorkerLostError, run_alone, stop_requested

Job = tuple[str, float]
PROGRAM = """
import sys
from functools import partial
from pathlib import Path
sys.path.insert(0, {tests!r})
import signal
from test_executor import Work
from goalsight.cli import main as cli
from goalsight.executor import Executor

# A program that a shell started behind its back ignores Ctrl-C, and so would this one.
signal.signal(signal.SIGINT, signal.default_int_handler)

def command():
    jobs = [("sleep", 0.0), ("note", 0.0)] + [("{last}", 60.0)] * 2
    make = partial(Work, Path(sys.argv[1]), bytes({ballast}))
    with Executor(make, workers=2, patience_s=1.0) as executor:
        for job, _ in executor.run(jobs):
            print(*job, flush=True)
    return 0

{guard}
"""
GUARD = """
if __name__ == "__main__":
    cli._run = lambda argv: command()
    sys.exit(cli.main([]))
"""


class Work:
    """Does what the tests need, in whatever process it is made."""

    def __init__(self, folder: Path, ballast: bytes = b"") -> None:
        self.folder, self.ballast = folder, ballast
        self.closed = folder / f"closed-{os.getpid()}"

    def __call__(self, job: Job) -> object:
        what, much = job
        if what == "sleep":
            time.sleep(much)
        elif what == "until stopped":
            while not stop_requested():
                time.sleep(0.01)
        elif what == "die once":
            try:
                (self.folder / "died").open("x").close()
            except FileExistsError:
                return much
            os.kill(os.getpid(), signal.SIGKILL)
        elif what == "die":
            os._exit(7)
        elif what == "refuse":
            raise CheckpointError("mend me")
        elif what == "unpicklable":
            return lambda: None
        elif what == "note":
            (self.folder / f"worker-{os.getpid()}").touch()
        elif what == "busy":  # in C, with the lock of the interpreter held
            (self.folder / f"worker-{os.getpid()}").touch()
            pow(3, 1 << 27)
        return much

    def close(self) -> None:
        self.closed.touch()


def executor(folder: Path, workers: int, **options: object) -> Executor[Job, object]:
    return Executor(partial(Work, folder), workers=workers, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("workers", [0, 2])
def test_every_job_is_done_once_and_what_did_it_is_closed(workers: int, tmp_path: Path) -> None:
    jobs = [("sleep", number / 1000) for number in range(7)]
    with executor(tmp_path, workers) as here:
        done = list(here.run(jobs))
        assert sorted(done) == [(job, job[1]) for job in jobs]
        assert list(here.run([])) == []
        assert [result for _, result in here.run(jobs[:2], ordered=True)] == [0.0, 0.001]
    assert len(list(tmp_path.glob("closed-*"))) == max(workers, 1)


def test_results_come_as_they_are_done_or_in_order_where_order_is_asked_for(tmp_path: Path) -> None:
    jobs = [("sleep", 1.5), ("sleep", 0.0), ("sleep", 0.01), ("sleep", 0.02)]
    with executor(tmp_path, 2) as here:
        assert [job[1] for job, _ in here.run(jobs)] == [0.0, 0.01, 0.02, 1.5]
        assert [job[1] for job, _ in here.run(jobs, ordered=True)] == [1.5, 0.0, 0.01, 0.02]


def test_a_slow_job_holds_the_others_back_where_order_is_asked_for(tmp_path: Path) -> None:
    """What runs ahead must be kept somewhere: it is bounded."""
    taken: list[int] = []

    def jobs() -> Iterator[Job]:
        for number in range(40):
            taken.append(number)
            yield ("sleep", 0.0 if number else 1.0)

    with executor(tmp_path, 2) as here:
        results = here.run(jobs(), ordered=True)
        next(results)
        assert len(taken) <= 5
        assert len(list(results)) == 39


def test_a_worker_that_is_killed_costs_the_job_in_hand_which_is_done_again(tmp_path: Path) -> None:
    jobs = [("die once", 1.0), *(("sleep", number / 100) for number in range(2, 9))]
    with executor(tmp_path, 2, ahead=2) as here:
        assert sorted(here.run(jobs)) == sorted((job, job[1]) for job in jobs)


def test_a_job_that_takes_two_workers_down_is_one_line(tmp_path: Path) -> None:
    """What was done by then has come; what is done beside it may or may not."""
    done: list[Job] = []
    with (
        executor(tmp_path, 2) as here,
        pytest.raises(WorkerLostError, match=r"worker died, .*status 7.* same command again"),
    ):
        done.extend(job for job, _ in here.run([("sleep", 0.0), ("die", 0.0)]))
    assert done in ([], [("sleep", 0.0)])


def test_what_a_job_raises_comes_back_with_where_it_was_raised(tmp_path: Path) -> None:
    with executor(tmp_path, 1) as here, pytest.raises(CheckpointError, match="mend me") as raised:
        list(here.run([("refuse", 0.0)]))
    assert "in __call__" in "".join(raised.value.__notes__)


def test_a_result_that_does_not_pickle_is_said_to_be_one(tmp_path: Path) -> None:
    with executor(tmp_path, 1) as here, pytest.raises(TypeError, match="does not pickle"):
        list(here.run([("unpicklable", 0.0)]))


@pytest.mark.parametrize("workers", [0, 2])
def test_jobs_end_early_when_they_are_asked_to(workers: int, tmp_path: Path) -> None:
    began = time.monotonic()

    def stop() -> bool:
        return time.monotonic() - began > 1.0

    with executor(tmp_path, workers, stop=stop) as here:
        assert len(list(here.run([("until stopped", 0.0)] * 4))) <= 1


def start(tmp_path: Path, last: str, guard: str = GUARD, ballast: int = 0) -> subprocess.Popen[str]:
    path = tmp_path / "program.py"
    path.write_text(
        PROGRAM.format(tests=str(Path(__file__).parent), last=last, guard=guard, ballast=ballast)
    )
    return subprocess.Popen(
        [sys.executable, str(path), str(tmp_path)],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def workers_of(folder: Path) -> list[int]:
    return [int(path.name.partition("-")[2]) for path in folder.glob("worker-*")]


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.is_file() and status.read_text().rpartition(")")[2].split()[0] == "Z")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("to_all", [False, True])
def test_a_signal_is_a_line_that_says_how_to_go_on_and_leaves_nobody(
    number: signal.Signals, to_all: bool, tmp_path: Path
) -> None:
    """To all: as a terminal does, and a batch system that ends a job."""
    run = start(tmp_path, "sleep")
    wait_until(lambda: workers_of(tmp_path))
    time.sleep(0.2)
    (os.killpg if to_all else os.kill)(run.pid, number)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 130
    assert errors == (
        "goalsight: stopped; what was finished is kept; the same command goes on from here\n"
    )
    wait_until(lambda: not any(map(is_there, workers_of(tmp_path))))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a call into C ends first")
def test_workers_end_with_a_parent_that_was_killed_even_where_python_cannot_look(
    tmp_path: Path,
) -> None:
    run = start(tmp_path, "busy")
    wait_until(lambda: len(workers_of(tmp_path)) >= 2)
    run.kill()
    run.communicate(timeout=60)
    wait_until(lambda: not any(map(is_there, workers_of(tmp_path))), seconds=3)


@pytest.mark.parametrize("ballast", [0, 1_000_000])
def test_a_program_that_starts_workers_on_import_is_told_how_not_to(
    tmp_path: Path, ballast: int
) -> None:
    """Also where what makes the workers is larger than a pipe's buffer, which nobody emptied."""
    unguarded = "cli._run = lambda argv: command()\nsys.exit(cli.main([]))"
    run = start(tmp_path, "sleep", unguarded, ballast)
    out, errors = run.communicate(timeout=60)
    assert run.returncode == 2
    assert out == ""
    assert errors.count("\n") == 1
    assert "if __name__ == '__main__':" in errors


def speak(words: str, status: int) -> int:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()
    sys.stderr.write("to stderr\n")
    os.system("echo from a program")
    return status


def test_a_function_alone_gives_its_status_and_all_that_it_prints(tmp_path: Path) -> None:
    assert run_alone(speak, "hello", 3, log=tmp_path / "log") == 3
    assert (tmp_path / "log").read_text().splitlines() == [
        "hello",
        "to stderr",
        "from a program",
    ]


def sleep_long() -> int:
    time.sleep(60)
    return 0


class Alone:
    """A job that waits for a process of its own."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def __call__(self, job: str) -> int:
        return run_alone(sleep_long, log=self.log)


def test_a_function_alone_is_ended_by_a_request_to_stop(tmp_path: Path) -> None:
    began = time.monotonic()
    stop = lambda: time.monotonic() - began > 3  # noqa: E731
    with Executor(partial(Alone, tmp_path / "log"), workers=1, stop=stop) as here:
        assert list(here.run(["a"])) == []


def test_without_ray_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"--ray needs Ray: pip install"):
        executor(tmp_path, 0, ray="auto").__enter__()
