"""The one way to time things here: in turns, median and least, beside a floor.

What is compared takes turns, so that whatever else the machine does hits all of it alike. The
median says what to expect, the least what the code can do on an idle machine, the ratio to a floor
how much of it is ours.
"""

from __future__ import annotations

import json as jsonlib
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import torch

from goalsight.cli.errors import explain
from goalsight.cli.parsing import parse
from goalsight.errors import UserError
from goalsight.progress import progress_bar
from goalsight.provenance import hardware

Turn = Callable[[], float]
"""Does a piece of work once; returns the seconds that one unit of it took."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long one unit of some work takes."""

    milliseconds: float
    """Median of its turns."""
    least: float
    """The quickest turn [ms]."""
    turns: int
    """How many there were."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Some work and what it cannot be faster than, measured in turns."""

    what: str
    """What was measured, with its settings."""
    milliseconds: float
    """Median of one unit of it."""
    least: float
    """The quickest [ms]."""
    floor: str
    """What the floor consists of."""
    floor_milliseconds: float
    """Median of the floor for one unit."""
    floor_least: float
    """The quickest [ms]."""
    turns: int
    """Of each."""
    hardware: str
    """Where."""

    @property
    def ratio(self) -> float:
        """How many times the floor it takes, by the medians."""
        return self.milliseconds / self.floor_milliseconds

    def to_json(self) -> dict[str, object]:
        """Its fields and the ratio."""
        return asdict(self) | {"ratio": self.ratio}


def wait() -> None:
    """Return once the accelerator, if one is in use, has done what it was asked for."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
    elif torch.backends.mps.is_available():
        torch.mps.synchronize()


def clocked(work: Callable[[], object], times: int = 1) -> Turn:
    """A turn that does the work so many times and returns the mean of its seconds."""

    def turn() -> float:
        wait()
        began = time.perf_counter()
        for _ in range(times):
            work()
        wait()
        return (time.perf_counter() - began) / times

    return turn


def in_turns(
    turns: Mapping[str, Turn], rounds: int, *, warm_up: int = 1, what: str = "Measuring"
) -> dict[str, Timing]:
    """Let each take a turn, then each another: the timings by name.

    Args:
        turns: what is compared, by name.
        rounds: turns of each that count.
        warm_up: turns of each before those.
        what: word for the bar that shows how far it is.

    Raises:
        UserError: if there is no round.
    """
    if rounds < 1:
        raise UserError(f"give at least 1 round, got {rounds}")
    found: dict[str, list[float]] = {name: [] for name in turns}
    with progress_bar(what, "rounds") as report:
        for number in range(warm_up + rounds):
            for name, turn in turns.items():
                found[name].append(1e3 * turn())
            report(number + 1, warm_up + rounds)
    counted = {name: times[warm_up:] for name, times in found.items()}
    return {
        name: Timing(milliseconds=statistics.median(times), least=min(times), turns=rounds)
        for name, times in counted.items()
    }


def beside(what: str, timing: Timing, floor: str, least: Timing) -> Measurement:
    """A timing beside that of its floor, measured in the same turns."""
    return Measurement(
        what=what,
        milliseconds=timing.milliseconds,
        least=timing.least,
        floor=floor,
        floor_milliseconds=least.milliseconds,
        floor_least=least.least,
        turns=timing.turns,
        hardware=hardware(),
    )


def show(measurements: Sequence[Measurement], *, json: bool) -> None:
    """Print measurements: for a machine an object, or a list if there are several; or a table."""
    if json:
        found = [measurement.to_json() for measurement in measurements]
        print(jsonlib.dumps(found if len(found) > 1 else found[0], indent=2))
        return
    print("| what | median [ms] | least | a second | floor [ms] | least | ratio |")
    print("|---|---|---|---|---|---|---|")
    for one in measurements:
        print(
            f"| {one.what} | {one.milliseconds:.3g} | {one.least:.3g} "
            f"| {1e3 / one.milliseconds:.0f} | {one.floor_milliseconds:.3g} "
            f"| {one.floor_least:.3g} | {one.ratio:.1f} |"
        )
    first = measurements[0]
    print(f"\nfloor: {first.floor}; {first.turns} turns of each; {first.hardware}")


def run(program: Callable[..., object], argv: Sequence[str]) -> int:
    """Run a program of this folder, its flags taken from its signature.

    Returns:
        Exit status: 0, or 2 after one line for what the user can mend.
    """
    prog = f"python -m benchmarks.{program.__name__}"

    def parsed() -> None:
        positional, named = parse(prog, program, list(argv))
        program(*positional, **named)

    return in_one_line(prog, parsed)


def in_one_line(prog: str, work: Callable[[], object]) -> int:
    """Do the work; what the user can mend is one line and status 2, anything else stays loud."""
    try:
        work()
    except Exception as error:
        if (line := explain(error)) is None:
            raise
        print(f"{prog}: error: {line}", file=sys.stderr)
        return 2
    return 0
