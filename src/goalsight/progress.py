"""How far something is: one callback, and one bar on stderr that draws what it is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich import progress as rich_progress

Progress = Callable[[int, int], None]
"""Called with (done, total), first perhaps with what was done before, then for each more item."""

DELAY_S = 2.0
"""Work shorter than this shows no bar [s]."""


def silent(done: int, total: int) -> None:
    """Tell nobody."""


@contextmanager
def progress_bar(
    description: str, unit: str = "episodes", *, delay_s: float = DELAY_S
) -> Iterator[Progress]:
    """A bar with count, rate and time left, shown on a terminal once the work has taken so long.

    In a log there is none, so that what is said there depends on the work and not on the machine.

    Args:
        description: what is being done, e.g. "Decoding".
        unit: what is counted.
        delay_s: seconds before it shows.

    Yields:
        What to tell how far the work is.
    """
    from rich.progress import MofNCompleteColumn, TextColumn, TimeRemainingColumn

    bar = styled_bar(
        MofNCompleteColumn(),
        TextColumn(f"{unit}{{task.fields[rate]}}"),
        TimeRemainingColumn(),
    )
    task = bar.add_task(description, total=None, rate="")
    began = time.monotonic()
    first: int | None = None
    shown = False

    def report(done: int, total: int) -> None:
        nonlocal first, shown
        if first is None:  # what was there before took no time, nor did the imports count
            first = done
            bar.reset(task, completed=done, total=total)
        if not shown and bar.console.is_terminal and time.monotonic() - began >= delay_s:
            bar.start()
            shown = True
        speed = bar.tasks[0].speed
        rate = f", {speed:.3g}/s" if speed else ""
        bar.update(task, completed=done, total=total, rate=rate)

    try:
        yield report
    finally:
        if shown:  # stopping one that never began prints an empty line
            bar.stop()


def styled_bar(
    *columns: rich_progress.ProgressColumn, transient: bool = True, auto_refresh: bool = True
) -> rich_progress.Progress:
    """An empty bar on stderr as all of ours look: what is done, the bar, and more columns.

    Args:
        columns: behind the bar.
        transient: whether it leaves the screen at its end.
        auto_refresh: whether it draws itself again by a thread of its own.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *columns,
        console=Console(stderr=True),
        transient=transient,
        auto_refresh=auto_refresh,
    )
