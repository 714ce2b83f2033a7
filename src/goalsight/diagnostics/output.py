"""Every diagnostic writes the same two files: NAME.json for machines, NAME.png for people."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goalsight import __version__
from goalsight.errors import OutputError
from goalsight.io import replace_file, replace_json
from goalsight.provenance import git_commit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 150


def report_values(report: object) -> dict[str, Any]:
    """A report as JSON values: plain numbers, None for one that is not finite.

    Args:
        report: a dataclass of numbers, strings, tuples, mappings and further dataclasses.

    >>> report_values(complex)
    Traceback (most recent call last):
    TypeError: a report is a dataclass, got <class 'complex'>
    """
    if not is_dataclass(report) or isinstance(report, type):
        raise TypeError(f"a report is a dataclass, got {report!r}")
    values: dict[str, Any] = _plain(asdict(report))
    return values


def _plain(value: object) -> Any:  # noqa: ANN401  (JSON has no type of its own)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def write_report(
    out: Path, name: str, values: Mapping[str, Any], figure: Figure
) -> tuple[Path, Path]:
    """Write `OUT/NAME.json` and `OUT/NAME.png`, replacing those of an earlier look.

    Args:
        out: folder, made if it is missing.
        name: of the diagnostic.
        values: JSON values; version and commit are added.
        figure: to draw.

    Returns:
        The two files.

    Raises:
        OutputError: if `out` is a file.
        OSError: if they cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; give a folder to write {name}.json and .png into")
    drawing = io.BytesIO()
    figure.savefig(drawing, format="png", dpi=DOTS_PER_INCH)
    picture, numbers = out / f"{name}.png", out / f"{name}.json"
    replace_file(picture, drawing.getvalue())
    replace_json(numbers, {"goalsight": __version__, "commit": git_commit(), **values})
    return numbers, picture
