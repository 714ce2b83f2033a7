"""A folder of videos with a table each: NAME.mp4 and NAME.csv, one row per frame."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from goalsight.data.importers.pictures import pick_frames, video_facts
from goalsight.data.importers.source import (
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
VIDEOS = (".mp4", ".mov", ".m4v", ".mkv", ".avi", ".webm")
"""Suffixes of videos, in capitals or not."""
SEPARATORS = (";", "\t", ",")
"""Between the cells of a table; where it is no comma, a number may have a decimal comma."""
UNITS = {1e3: "milliseconds", 1e6: "microseconds", 1e9: "nanoseconds"}
"""What a clock may count instead of seconds, by how many make one."""
AGREE = 0.02
"""How far two clocks of one recording may be apart, as a share, beside a row in all."""


class FolderLog(Log):
    """Columns that begin with `action` are the action, those that begin with `state` proprio."""

    format = "folder"

    def __init__(self, path: Path, keys: Keys) -> None:
        """Read the heads of the tables.

        Raises:
            DatasetError: if a video has no table or the tables have different columns.
        """
        self.path = path
        files = sorted(file for file in path.iterdir() if not file.name.startswith("."))
        self._tables = [file for file in files if file.suffix.lower() == ".csv"]
        if not self._tables:
            raise DatasetError(f"{path} has no .csv; a folder log is NAME.mp4 and NAME.csv")
        self._videos = _by_table(files, self._tables)
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
        self.episodes, spans = [], []
        for table in self._tables:
            columns = _read_table(table)
            if list(columns) != known:
                raise DatasetError(f"{table} has other columns than {self._tables[0].name}")
            self.episodes.append(LogEpisode(table.stem, len(columns[known[0]])))
            if TIME in columns and len(columns[TIME]) > 1:
                spans.append((len(columns[TIME]) - 1, float(np.ptp(columns[TIME]))))
        self.fps = self._rate(spans)

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
        video, length = self._video(index), self.episodes[index].length
        count = len(video_facts(video).times)
        if count != length:
            wrong = "longer" if count > length else "cut short"
            raise DatasetError(
                f"{video} has {count} frames where the log has {length} rows: the video is "
                f"{wrong} than its table, or belongs to another; make it one frame a row, or "
                f"leave it out with --skip {self.episodes[index].name}"
            )
        yield from pick_frames(video, np.arange(length), str(video))

    def _video(self, index: int) -> Path:
        table = self._tables[index]
        if table not in self._videos:
            raise DatasetError(
                f"{table} has no video beside it: {table.stem}.mp4 is missing; leave it out with "
                f"--skip {table.stem}"
            )
        return self._videos[table]

    def _choose(self, wanted: str | None, prefix: str) -> list[str]:
        """Columns asked for, or those that begin with a word."""
        chosen = split_keys(wanted)
        if chosen is not None:
            return chosen
        return [name for name in self._columns if name.startswith(prefix)]

    def _rate(self, spans: list[tuple[int, float]]) -> float | None:
        """Rows per second: those of the video where the timestamps agree with it, else None.

        Args:
            spans: steps between rows, and seconds from the first to the last, of every table.
        """
        film = None
        if self._videos:
            film = video_facts(next(iter(self._videos.values()))).rate
        if not spans:
            return film
        steps, lasted = (sum(part) for part in zip(*spans, strict=True))
        if not lasted > 0:
            raise DatasetError(f"{self._tables[0]}: column {TIME!r} [s] does not count up")
        self._clock = float(steps / lasted)
        if film is None:
            return round(self._clock, 3)

        def fits(rate: float) -> bool:
            """Whether most tables last as long as their rows do at a rate."""
            return sum(_agree(n, span * rate) for n, span in spans) * 2 > len(spans)

        if fits(film):
            return film
        self.rate_doubt = (
            f"{self.path}: column {TIME!r} [s] says {self._clock:.4g} rows a second, the videos "
            f"{film:g}"
        )
        units = [unit for many, unit in UNITS.items() if fits(film / many)]
        if units:
            self.rate_doubt += f": it seems to count {units[0]}; make it seconds, or"
        else:
            self.rate_doubt += ";"
        self.rate_doubt += f" say which is right, as in --source-hz {film:g}"
        return None

    def _check_times(self, path: Path, columns: dict[str, NDArray[np.float64]]) -> None:
        """Refuse a step that is over half a row too long or short, and another rate."""
        if TIME not in columns or len(columns[TIME]) < 2:
            return
        steps, fps = np.diff(columns[TIME]), self.fps or self._clock
        wrong = np.flatnonzero(~(np.abs(steps * fps - 1) <= 0.5))
        if len(wrong):
            row = int(wrong[0]) + 1
            raise DatasetError(
                f"{path}: row {row} is {steps[row - 1]:.3f} s after the one before, at {fps:g} "
                "rows a second; frames are missing or the rate changes: leave the episode out "
                f"with --skip {path.stem}"
            )
        if not _agree(len(steps), float(steps.sum()) * fps):
            raise DatasetError(
                f"{path}: {len(steps) + 1} rows last {steps.sum():.3f} s, at {fps:g} rows a second "
                f"in the whole log; leave the episode out with --skip {path.stem}"
            )


def _agree(steps: int, counted: float) -> bool:
    """Whether so many steps between rows may be as many as a clock counts, one more or less."""
    return abs(steps - counted) <= 1 + AGREE * steps


def _by_table(files: Sequence[Path], tables: Sequence[Path]) -> dict[Path, Path]:
    """The video of each table that has one.

    Raises:
        DatasetError: if a video has no table, or a table two videos.
    """
    named = {table.stem: table for table in tables}
    found: dict[Path, Path] = {}
    for video in files:
        if video.suffix.lower() not in VIDEOS:
            continue
        table = named.get(video.stem)
        if table is None:
            raise DatasetError(f"{video} has no table beside it: {video.stem}.csv is missing")
        if table in found:
            raise DatasetError(f"{table} has two videos: {found[table].name} and {video.name}")
        found[table] = video
    return found


def _read_table(path: Path) -> dict[str, NDArray[np.float64]]:
    """Columns of numbers by name; an empty cell is NaN.

    Raises:
        DatasetError: if it has no rows, a row has too few cells, or a cell is not a number.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            text = file.read()
        first = text.partition("\n")[0]
        mark = next((mark for mark in SEPARATORS if mark in first), ",")
        head, *body = list(csv.reader(io.StringIO(text, newline=""), delimiter=mark)) or [[]]
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
            plain = cell if mark == "," else cell.replace(",", ".")
            values[number, axis] = _number(plain, f"{path}: row {number}, column {head[axis]!r}")
    return {name: values[:, axis] for axis, name in enumerate(head)}


def _number(cell: str, where: str) -> float:
    words = {"": np.nan, "true": 1.0, "false": 0.0}
    text = cell.strip().lower()
    try:
        return words[text] if text in words else float(text)
    except ValueError:
        raise DatasetError(f"{where} holds {cell!r}, which is not a number") from None
