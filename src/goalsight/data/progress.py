"""A progress bar for work that may be over before a bar is worth showing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Report = Callable[[int, int], None]
"""Called with (done, total) each time one more item is done."""

DELAY_S = 2.0
"""Work shorter than this shows no bar [s]."""


def silent(done: int, total: int) -> None:
    """Report nothing."""


@contextmanager
def delayed_bar(description: str, unit: str = "episodes") -> Iterator[Report]:
    """A bar with rate and time left on stderr, shown on a terminal once the work has taken 2 s.

    In a log there is none, so that what is said there depends on the work and not on the machine.

    Args:
        description: what is being done, e.g. "Decoding".
        unit: what is counted.

    Yields:
        A function to call with (done, total).
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeLeft(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task(description, total=None)
    began = time.monotonic()
    shown = False

    def report(done: int, total: int) -> None:
        nonlocal shown
        if not shown and bar.console.is_terminal and time.monotonic() - began > DELAY_S:
            bar.start()
            shown = True
        bar.update(task, completed=done, total=total)

    try:
        yield report
    finally:
        if shown:
            bar.stop()
