"""A folder of videos with a table each: NAME.mp4 and NAME.csv, one row per frame."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from goalsight.data.logs.pictures import exactly, video_facts, video_frames
from goalsight.data.logs.source import (
    Frame,
    Keys,
    Log,
    LogEpisode,
    Rows,
    check_rows,
    require_keys,
    split_keys,
)
from goalsight.errors import DatasetError

TIME = "timestamp"
SUCCESS = ("success", "next.success")


class FolderLog(Log):
    """Columns that begin with `action` are the action, those that begin with `state` proprio."""

    format = "folder"

    def __init__(self, path: Path, keys: Keys) -> None:
        """Read the heads of the tables.

        Raises:
            DatasetError: if a video has no table or the tables have different columns.
        """
        self.path = path
        self._tables = sorted(path.glob("*.csv"))
        if not self._tables:
            raise DatasetError(f"{path} has no .csv; a folder log is NAME.mp4 and NAME.csv")
        for video in sorted(path.glob("*.mp4")):
            if not video.with_suffix(".csv").is_file():
                raise DatasetError(f"{video} has no table beside it: {video.stem}.csv is missing")
        self._columns = list(_read_table(self._tables[0]))
        self.camera = keys.camera or "video"
        self.action_key = "action"
        self.action_names = self._choose(keys.action, "action")
        self.proprio_names = self._choose(keys.state, "state")
        self._truth = split_keys(keys.truth) or []
        known = self._columns
        require_keys([*self.action_names, *self.proprio_names, *self._truth], known, "column", path)
        if not self.action_names:
            raise DatasetError(
                f"{self._tables[0]} has no column that begins with 'action'; name some with "
                f"--action: {', '.join(known)}"
            )
        self.episodes = []
        for table in self._tables:
            columns = _read_table(table)
            if list(columns) != known:
                raise DatasetError(f"{table} has other columns than {self._tables[0].name}")
            self.episodes.append(LogEpisode(table.stem, len(columns[known[0]])))
        self.fps = self._rate()

    def rows(self, index: int) -> Rows:
        """See `Log.rows`."""
        path, length = self._tables[index], self.episodes[index].length
        columns = _read_table(path)
        self._check_times(path, columns)
        solved = next((columns[name] > 0 for name in SUCCESS if name in columns), None)

        def read(names: Sequence[str]) -> NDArray[np.float64]:
            return np.stack([columns[n] for n in names], 1) if names else np.empty((length, 0))

        rows = Rows(
            actions=read(self.action_names),
            proprio=read(self.proprio_names).astype(np.float32),
            success=np.zeros(length, np.bool_) if solved is None else solved,
            truth={name: read([name]).astype(np.float32) for name in self._truth},
        )
        return check_rows(rows, length, str(path))

    def frames(self, index: int) -> Iterator[Frame]:
        """See `Log.frames`."""
        video = self._tables[index].with_suffix(".mp4")
        yield from exactly(video_frames(video), self.episodes[index].length, str(video))

    def whole_video(self, index: int) -> Path | None:
        """The mp4 if it is H.264 with full chroma, as this package writes it."""
        video = self._tables[index].with_suffix(".mp4")
        codec, pixels, *_ = video_facts(video)
        return video if (codec, pixels) == ("h264", "yuv444p") else None

    def _choose(self, wanted: str | None, prefix: str) -> list[str]:
        """Columns asked for, or those that begin with a word."""
        chosen = split_keys(wanted)
        if chosen is not None:
            return chosen
        return [name for name in self._columns if name.startswith(prefix)]

    def _rate(self) -> float | None:
        """Rows per second by the timestamps of the first table, or by its video."""
        columns = _read_table(self._tables[0])
        if TIME in columns and len(columns[TIME]) > 1:
            gap = float(np.median(np.diff(columns[TIME])))
            if not gap > 0:
                raise DatasetError(f"{self._tables[0]}: column {TIME!r} [s] does not count up")
            return round(1 / gap, 3)
        return video_facts(self._tables[0].with_suffix(".mp4"))[-1]

    def _check_times(self, path: Path, columns: dict[str, NDArray[np.float64]]) -> None:
        if TIME not in columns or self.fps is None or len(columns[TIME]) < 2:
            return
        wrong = np.flatnonzero(np.abs(np.diff(columns[TIME]) * self.fps - 1) > 0.5)
        if len(wrong):
            row = int(wrong[0]) + 1
            raise DatasetError(
                f"{path}: row {row} is {columns[TIME][row] - columns[TIME][row - 1]:.3f} s after "
                f"the one before, at {self.fps:g} rows a second; frames are missing or the rate "
                "changes: leave the episode out with --skip NAME"
            )


def _read_table(path: Path) -> dict[str, NDArray[np.float64]]:
    """Columns of numbers by name; an empty cell is NaN.

    Raises:
        DatasetError: if it has no rows, a row has too few cells, or a cell is not a number.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            head, *body = list(csv.reader(file)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path} cannot be read as a table ({error})") from None
    head = [name.strip() for name in head]
    body = [row for row in body if row]
    if not head or not body or len(set(head)) != len(head):
        raise DatasetError(f"{path} needs a first line of different column names, and rows")
    values = np.empty((len(body), len(head)))
    for number, row in enumerate(body):
        if len(row) != len(head):
            raise DatasetError(
                f"{path}: row {number} has {len(row)} cells where the first line names {len(head)}"
            )
        for axis, cell in enumerate(row):
            values[number, axis] = _number(cell, f"{path}: row {number}, column {head[axis]!r}")
    return {name: values[:, axis] for axis, name in enumerate(head)}


def _number(cell: str, where: str) -> float:
    words = {"": np.nan, "true": 1.0, "false": 0.0}
    text = cell.strip().lower()
    try:
        return words[text] if text in words else float(text)
    except ValueError:
        raise DatasetError(f"{where} holds {cell!r}, which is not a number") from None
