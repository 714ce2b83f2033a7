"""Find out what kind of log something is, and open it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from goalsight.data import format as layout
from goalsight.data.logs.folder import FolderLog
from goalsight.data.logs.hdf5 import MinariLog, RobomimicLog
from goalsight.data.logs.lerobot import LeRobotLog
from goalsight.data.logs.npz import NpzLog
from goalsight.data.logs.source import Keys, Log
from goalsight.errors import DatasetError

Format = Literal["auto", "lerobot", "hdf5", "npz", "minari", "folder"]

FORMATS: dict[str, Callable[[Path, Keys], Log]] = {
    "lerobot": LeRobotLog,
    "hdf5": RobomimicLog,
    "npz": NpzLog,
    "minari": MinariLog,
    "folder": FolderLog,
}
"""Kinds of logs by name."""


def open_log(path: Path, format: Format = "auto", keys: Keys | None = None) -> Log:  # noqa: A002
    """Open a log.

    Args:
        path: file or folder.
        format: what it is; `auto` looks.
        keys: which parts are what; None lets the format decide.

    Raises:
        DatasetError: if it is missing, damaged, of no known kind, or lacks what is asked for.
        UserError: if a library is missing.
    """
    if not path.exists():
        raise DatasetError(f"there is no {path}")
    kind = guess_format(path) if format == "auto" else format
    return FORMATS[kind](path, keys or Keys())


def guess_format(path: Path) -> str:
    """Name of a log's format by the files it is made of.

    Raises:
        DatasetError: if none fits.
    """
    if path.is_dir():
        if (path / layout.INFO).is_file():
            return "lerobot"
        if (path / "data" / "main_data.hdf5").is_file():
            return "minari"
        if any(path.glob("*.mp4")) or any(path.glob("*.csv")):
            return "folder"
    elif path.suffix == ".npz":
        return "npz"
    elif path.name == "main_data.hdf5":
        return "minari"
    elif path.suffix in {".hdf5", ".h5"}:
        return "hdf5"
    raise DatasetError(
        f"{path} is no log of a known kind; give --format, one of {', '.join(FORMATS)}: a LeRobot "
        "or Minari folder, a robomimic .hdf5, an OGBench .npz, or a folder of NAME.mp4 and NAME.csv"
    )
