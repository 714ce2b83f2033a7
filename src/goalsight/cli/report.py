"""`goalsight report`: the page of a run, made again from what lies in its folder."""

from __future__ import annotations

from pathlib import Path


def report(path: Path) -> None:
    """Write a benchmark run's page again: one file to send, without network or other files.

    `goalsight bench` does so at its end; this is for runs of older versions and of other people.
    It needs no checkpoint and no simulator.

    Args:
        path: Folder of the run, with results.json and episodes/.

    Raises:
        UserError: if there is no run in it.

    Example:
        goalsight report runs/push
    """
    from goalsight.progress import progress_bar
    from goalsight.report import write_report

    with progress_bar("Writing the report") as progress:
        page = write_report(path, progress)
    print(f"report: {page}")
