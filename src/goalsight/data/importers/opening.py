"""Find out what kind of log something is, and open it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from goalsight.data import format as layout
from goalsight.data.importers.folder import VIDEOS, FolderLog
from goalsight.data.importers.hdf5 import (
    HDF5,
    AlohaLog,
    MinariLog,
    RobomimicLog,
    hdf5_files,
    hdf5_layout,
)
from goalsight.data.importers.lerobot import LeRobotLog
from goalsight.data.importers.npz import NpzLog
from goalsight.data.importers.source import Keys, Log
from goalsight.errors import DatasetError

Format = Literal["auto", "lerobot", "hdf5", "npz", "minari", "aloha", "folder"]

FORMATS: dict[str, Callable[[Path, Keys], Log]] = {
    "lerobot": LeRobotLog,
    "hdf5": RobomimicLog,
    "npz": NpzLog,
    "minari": MinariLog,
    "aloha": AlohaLog,
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
    suffix = path.suffix.lower()
    if path.is_dir():
        if (path / layout.INFO).is_file():
            return "lerobot"
        if (path / "data" / "main_data.hdf5").is_file():
            return "minari"
        suffixes = {file.suffix.lower() for file in path.iterdir()}
        if suffixes & {".csv", *VIDEOS}:
            return "folder"
        if files := hdf5_files(path):
            return _of_folder(path, files)
    elif suffix == ".npz":
        return "npz"
    elif path.name == "main_data.hdf5":
        return "minari"
    elif suffix in HDF5:
        return hdf5_layout(path)
    raise DatasetError(
        f"{path} is no log of a known kind; give --format, one of {', '.join(FORMATS)}: a LeRobot "
        "or Minari folder, a robomimic .hdf5, a folder of ALOHA's episode_N.hdf5, an OGBench or "
        "D4RL .npz, or a folder of NAME.mp4 and NAME.csv"
    )


def _of_folder(path: Path, files: list[Path]) -> str:
    """The format of a folder of HDF5 files: one episode each, or it is not one log."""
    kind = hdf5_layout(files[0])
    if kind != AlohaLog.format:
        raise DatasetError(
            f"{path} holds {len(files)} {kind} files, each a log of its own; give one of them, "
            f"such as {files[0]}"
        )
    return kind
