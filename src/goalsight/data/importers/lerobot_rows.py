"""Rows of a LeRobot dataset: an episode's are those that carry its number, in their own order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from goalsight.data.dataset import UNREADABLE
from goalsight.data.importers.lerobot_index import Entry, read_parquet
from goalsight.errors import DatasetError

EPISODE, FRAME, TIME = "episode_index", "frame_index", "timestamp"


class RowStore:
    """Tables of episodes, chosen by `episode_index` and ordered by `frame_index`."""

    def __init__(self, path: Path) -> None:
        """Read from a dataset's folder; nothing is opened yet."""
        self._path = path
        self._open: tuple[Path, pa.Table] | None = None
        self._files: dict[int, list[Path]] | None = None

    def take(self, entry: Entry) -> pa.Table:
        """The rows of an episode in their order.

        They are looked for in every file of the dataset if the one that the list names lacks them.

        Raises:
            DatasetError: if they are missing, too few, too many, or numbered twice.
        """
        table = self._own(entry.data, entry.number) if entry.data.is_file() else None
        where = [entry.data]
        if table is None or table.num_rows != entry.length:
            where = self.files_of(entry.number) or where
            parts = [self._own(file, entry.number) for file in where]
            table = pa.concat_tables(parts, promote_options="default")
        names = ", ".join(str(file.relative_to(self._path)) for file in where)
        if table.num_rows != entry.length:
            raise DatasetError(
                f"{self._path}: {names} has {table.num_rows} rows of {entry.name} where the list "
                f"of episodes counts {entry.length}; leave it out with --skip {entry.name}"
            )
        if FRAME not in table.column_names:
            return table
        numbers = plain(table, FRAME)
        order = np.argsort(numbers, kind="stable")
        if (np.diff(numbers[order]) == 0).any():
            raise DatasetError(
                f"{self._path}: {names} has two rows of {entry.name} with one frame_index; leave "
                f"it out with --skip {entry.name}"
            )
        return table if (np.diff(order) == 1).all() else table.take(pa.array(order))

    def files_of(self, number: int) -> list[Path]:
        """Files that hold rows of an episode, whatever the list says."""
        return self._scan().get(number, [])

    def numbers(self) -> list[int]:
        """Numbers of all episodes that have rows."""
        return sorted(self._scan())

    def _scan(self) -> dict[int, list[Path]]:
        if self._files is None:
            self._files = {}
            for file in sorted((self._path / "data").rglob("*.parquet")):
                for number in _numbers_in(file):
                    self._files.setdefault(number, []).append(file)
        return self._files

    def _own(self, file: Path, number: int) -> pa.Table:
        """Rows of one file that carry an episode's number; all where rows carry none."""
        if self._open is None or self._open[0] != file:
            self._open = (file, read_parquet(file))
        table = self._open[1]
        if EPISODE not in table.column_names:
            return table
        mine = np.flatnonzero(plain(table, EPISODE) == number)
        if len(mine) and mine[-1] - mine[0] + 1 == len(mine):
            return table.slice(int(mine[0]), len(mine))
        return table.take(pa.array(mine))


def _numbers_in(file: Path) -> list[int]:
    """Numbers of the episodes whose rows a file holds; none of a file that cannot be read."""
    try:
        table = pq.read_table(file, columns=[EPISODE])
    except UNREADABLE:  # whoever needs its rows will hear of it by name
        return []
    return [int(number) for number in np.unique(plain(table, EPISODE))] if len(table) else []


def plain(table: pa.Table, key: str) -> NDArray[Any]:
    """(N,) values of a column of numbers, or of lists of numbers one after another.

    Raises:
        DatasetError: if it holds something else, or gaps.
    """
    column = table.column(key).combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks)
    while pa.types.is_nested(column.type):
        if pa.types.is_struct(column.type):
            raise DatasetError(f"column {key!r} holds {column.type}, not numbers")
        column = column.flatten()
    if column.null_count:
        raise DatasetError(f"column {key!r} lacks {column.null_count} of its values")
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values


def row_times(table: pa.Table, fps: float, where: str, name: str) -> NDArray[np.float64]:
    """(L,) when each row of an episode was recorded, since the episode began [s].

    Raises:
        DatasetError: if they do not follow each other at the rate of the dataset.
    """
    if TIME not in table.column_names:
        if FRAME not in table.column_names:
            return np.arange(table.num_rows) / fps
        return plain(table, FRAME).astype(np.float64) / fps
    times = plain(table, TIME).astype(np.float64)
    wrong = np.flatnonzero(~(np.abs(np.diff(times) * fps - 1) <= 0.5))
    if len(wrong):
        row = int(wrong[0]) + 1
        raise DatasetError(
            f"{where}: row {row} is {times[row] - times[row - 1]:.3f} s after the one before, at "
            f"{fps:g} rows a second; rows were taken out, or the rate is another: leave the "
            f"episode out with --skip {name}"
        )
    return times
