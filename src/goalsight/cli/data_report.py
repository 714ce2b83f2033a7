"""`goalsight data report`: whether a dataset will support planning, on one page."""

from __future__ import annotations

import json as jsonlib
from dataclasses import asdict
from pathlib import Path

from goalsight.errors import UserError


def report(
    path: Path, *, out: Path = Path("report.html"), window: int = 25, json: bool = False
) -> None:
    """Say what a dataset covers and whether it will support planning, on one page.

    Histograms of workspace and objects, contact rate, windows in which something moves, how far
    the state gives the action away, shares of policies, sample strips. Warns and says why. Works
    without simulator truth, too, and says what it cannot tell then.

    Args:
        path: Folder of the dataset.
        out: The page to write; it needs no other file and no network.
        window: Control steps of a window.
        json: Print numbers and warnings as JSON.

    Raises:
        UserError: if the dataset cannot be read or the page not written.

    Example:
        goalsight data report runs/push-data --out report.html
    """
    from goalsight.data import open_dataset
    from goalsight.data.report import judge, measure, write_page
    from goalsight.data.report.page import check_writable, sample
    from goalsight.progress import progress_bar

    check_writable(out)
    dataset = open_dataset(path)
    try:
        with progress_bar("Reading") as progress:
            measures = measure(dataset, window, progress)
    except ValueError as error:
        raise UserError(str(error)) from error
    with progress_bar("Choosing samples") as progress:
        strips = sample(dataset, progress)
    write_page(dataset, measures, strips, out)
    findings = judge(measures)
    if json:
        said = {"report": str(out), **measures.to_json(), "against": [asdict(f) for f in findings]}
        print(jsonlib.dumps(said, indent=2))
        return
    for finding in findings:
        print(f"{finding.title}. {finding.why}")
    if not findings:
        print("nothing measured stands against planning with this data")
    print(f"report: {out}")
