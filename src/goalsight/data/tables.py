"""Parquet: one table per episode, the index of episodes, the list of tasks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from goalsight.data import format as layout
from goalsight.data.episode import Episode
from goalsight.errors import DatasetError
from goalsight.io import replace_file

UNREADABLE = (OSError, ValueError, LookupError, ArithmeticError, MemoryError, pa.ArrowException)
"""What a damaged parquet file may raise: its names, sizes and codes are all read from the file."""


def episode_table(episode: Episode, first_row: int, fps: float) -> pa.Table:
    """The episode's parquet table in LeRobot's columns.

    Args:
        episode: what happened.
        first_row: global index of its first row.
        fps: control steps per second.
    """
    rows = np.arange(episode.length)
    columns: dict[str, NDArray[Any]] = {
        **({layout.PROPRIO: episode.proprio} if episode.proprio.shape[1] else {}),
        layout.ACTION: episode.actions,
        **{layout.TRUTH_PREFIX + name: value for name, value in episode.truth.items()},
        layout.SUCCESS: episode.success,
        "timestamp": (rows / fps).astype(np.float32),
        "frame_index": rows.astype(np.int64),
        "episode_index": np.full(episode.length, episode.index, np.int64),
        "index": (first_row + rows).astype(np.int64),
        "task_index": np.zeros(episode.length, np.int64),
    }
    return pa.table({name: _to_arrow(value) for name, value in columns.items()})


def _to_arrow(values: NDArray[Any]) -> pa.Array:
    """(L, d) as fixed-size lists; LeRobot wants plain numbers where d is 1."""
    if values.ndim == 2 and values.shape[1] > 1:
        flat = pa.array(np.ascontiguousarray(values).reshape(-1))
        return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    return pa.array(values.reshape(-1))


def parquet_bytes(table: pa.Table) -> bytes:
    """The table as a parquet file; the same table gives the same bytes."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="snappy")
    content: bytes = sink.getvalue().to_pybytes()
    return content


def write_episodes(root: Path, provenance: layout.Provenance, lengths: list[int]) -> None:
    """Write the `meta/episodes` file that holds the last of these episodes.

    Args:
        root: the dataset.
        provenance: names the camera and the task.
        lengths: of all episodes so far.
    """
    block = (len(lengths) - 1) // layout.EPISODES_PER_FILE
    table = episodes_table(provenance, lengths, block)
    replace_file(root / layout.episodes_path(block), parquet_bytes(table))


def episodes_table(provenance: layout.Provenance, lengths: list[int], block: int) -> pa.Table:
    """What the `meta/episodes` file number `block` holds.

    Args:
        provenance: names the camera and the task.
        lengths: of all episodes.
        block: which hundred of them.
    """
    starts = layout.starts(lengths)
    first = block * layout.EPISODES_PER_FILE
    episodes = range(first, min(first + layout.EPISODES_PER_FILE, len(lengths)))
    places = [layout.chunk_and_file(episode) for episode in episodes]
    chunk, file = layout.chunk_and_file(block)
    columns: dict[str, list[Any]] = {
        "episode_index": list(episodes),
        "tasks": [[provenance.task] for _ in episodes],
        "length": [lengths[episode] for episode in episodes],
        "data/chunk_index": [place[0] for place in places],
        "data/file_index": [place[1] for place in places],
        "dataset_from_index": [starts[episode] for episode in episodes],
        "dataset_to_index": [starts[episode + 1] for episode in episodes],
    }
    if provenance.video == "h264":
        ends = [lengths[episode] / provenance.fps for episode in episodes]
        for camera in provenance.cameras:
            video = f"videos/{layout.video_key(camera)}"
            columns |= {
                f"{video}/chunk_index": [place[0] for place in places],
                f"{video}/file_index": [place[1] for place in places],
                f"{video}/from_timestamp": [0.0 for _ in episodes],
                f"{video}/to_timestamp": ends,
            }
    columns |= {
        "meta/episodes/chunk_index": [chunk for _ in episodes],
        "meta/episodes/file_index": [file for _ in episodes],
    }
    return pa.table(columns)


def write_tasks(root: Path, tasks: Sequence[str]) -> None:
    """Write `meta/tasks.parquet`."""
    replace_file(root / layout.TASKS, parquet_bytes(tasks_table(tasks)))


def tasks_table(tasks: Sequence[str]) -> pa.Table:
    """The list of tasks: a pandas frame indexed by the task, made without pandas."""
    numbers = pa.array(range(len(tasks)), pa.int64())
    table = pa.table({"task_index": numbers, "task": pa.array(tasks, pa.string())})

    def column(name: str, kind: str, numpy_type: str) -> dict[str, Any]:
        return {
            "name": name,
            "field_name": name,
            "pandas_type": kind,
            "numpy_type": numpy_type,
            "metadata": None,
        }

    pandas = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [column("task_index", "int64", "int64"), column("task", "unicode", "object")],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.0.0",
    }
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})


def read_parquet(path: Path) -> pa.Table:
    """A whole parquet file, whatever it holds.

    Raises:
        DatasetError: if it is missing or cannot be read.
    """
    try:
        with pq.ParquetFile(path) as file:
            return file.read(use_threads=False)
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing; collect the dataset again") from None
    except UNREADABLE as error:
        raise _unreadable(path, error) from None


def count_rows(path: Path) -> int:
    """Rows that a parquet file says it has.

    Raises:
        DatasetError: if it is missing or cannot be read.
    """
    try:
        return int(pq.read_metadata(path).num_rows)
    except UNREADABLE as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> DatasetError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return DatasetError(f"{path} cannot be read as parquet ({reason})")


def read_table(path: Path, widths: Mapping[str, int], length: int) -> dict[str, NDArray[Any]]:
    """Read columns of one episode's parquet.

    Args:
        path: parquet file.
        widths: column names and how many numbers a row of each has.
        length: rows there must be.

    Returns:
        (length, width) arrays by name.

    Raises:
        DatasetError: if the file is missing or unreadable, a column is missing or has another
            width, rows are missing, or a value is missing or not finite.
    """
    try:
        with pq.ParquetFile(path) as file:
            present = set(file.schema_arrow.names)
            missing = [name for name in widths if name not in present]
            if missing:
                raise DatasetError(
                    f"{path} has no column {missing[0]!r}; it has: {', '.join(sorted(present))}"
                )
            table = file.read(columns=list(widths), use_threads=False)
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing; collect the dataset again") from None
    except UNREADABLE as error:
        raise _unreadable(path, error) from None
    if table.num_rows != length:
        raise DatasetError(
            f"{path} has {table.num_rows} rows where {length} were recorded; it is damaged or not "
            "the file that was written"
        )
    return {
        name: _to_numpy(table.column(name), width, f"{path}: column {name!r}")
        for name, width in widths.items()
    }


def _to_numpy(column: pa.ChunkedArray, width: int, what: str) -> NDArray[Any]:
    """(L, width), checked: right width, nothing missing, everything finite."""
    if pa.types.is_fixed_size_list(column.type):
        found = int(column.type.list_size)
        flat = column.combine_chunks().flatten()
    elif pa.types.is_nested(column.type):
        raise DatasetError(f"{what} must be a list of fixed size, got {column.type}")
    else:
        found, flat = 1, column.combine_chunks()
    if isinstance(flat, pa.ChunkedArray):
        flat = flat.combine_chunks()
    if found != width:
        raise DatasetError(f"{what} has {found} numbers a row where {width} were recorded")
    if column.null_count or flat.null_count:
        raise DatasetError(f"{what} has missing values")
    values: NDArray[Any] = flat.to_numpy(zero_copy_only=False).reshape(-1, width)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0, 0])
        raise DatasetError(f"{what} is not finite in row {row}")
    return values
