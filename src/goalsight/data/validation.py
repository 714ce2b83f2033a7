"""Read a whole dataset and say everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from goalsight.data import format as layout
from goalsight.data.cache import check_sha256, decode_episode
from goalsight.data.dataset import Dataset, open_dataset
from goalsight.data.goals import read_goal
from goalsight.data.progress import Report, silent
from goalsight.data.tables import read_table
from goalsight.errors import DatasetError


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong."""

    episode: int | None
    """Which episode, None for the dataset as a whole."""
    message: str
    """One line: file, what is wrong, what to do."""


def validate(path: Path | str, progress: Report = silent) -> list[Problem]:
    """Check every file of a dataset: checksums, columns, values, frame counts, totals.

    Args:
        path: folder of the dataset.
        progress: told how many episodes are read.

    Returns:
        Problems in the order found; none if the dataset is sound.

    Raises:
        DatasetError: if it cannot be opened at all.
    """
    dataset = open_dataset(path)
    problems = [Problem(None, message) for message in _episodes_index(dataset)]
    total = len(dataset.records)
    for episode in range(total):
        problems += [Problem(episode, message) for message in _episode(dataset, episode)]
        progress(episode + 1, total)
    return problems


def _episode(dataset: Dataset, episode: int) -> Iterator[str]:
    """Problems of one episode; a wrong checksum does not hide what is wrong inside."""
    record = dataset.records[episode]
    data = dataset.path / layout.data_path(episode)
    contents: str | None = None
    try:
        columns = dataset.read_episode(episode, dataset.widths())
        contents = _wrong_index(dataset, episode, columns)
    except DatasetError as error:
        contents = str(error)
    if contents:
        yield contents
    else:
        try:
            check_sha256(data, record.data_sha256)
        except DatasetError as error:
            yield str(error)
    try:
        decode_episode(dataset, episode)
    except DatasetError as error:
        yield str(error)
    if record.goal is not None:
        try:
            read_goal(dataset, episode)
        except DatasetError as error:
            yield str(error)


def _wrong_index(dataset: Dataset, episode: int, columns: dict[str, NDArray[Any]]) -> str | None:
    """What does not count up as it must, if anything."""
    rows = np.arange(dataset.records[episode].length)
    first = int(dataset.episodes[:episode].sum())
    expected: dict[str, NDArray[Any]] = {
        "episode_index": np.full_like(rows, episode),
        "frame_index": rows,
        "index": first + rows,
        "timestamp": (rows / dataset.fps).astype(np.float32),
    }
    for name, values in expected.items():
        if not np.allclose(columns[name][:, 0], values, rtol=0, atol=1e-4):
            path = dataset.path / layout.data_path(episode)
            return f"{path}: column {name!r} is not what episode {episode} must have"
    return None


def _episodes_index(dataset: Dataset) -> Iterator[str]:
    """Problems of `meta/episodes` and `meta/tasks.parquet`, which LeRobot reads and we do not."""
    lengths = dataset.episodes.tolist()
    starts = layout.starts(lengths)
    for first in range(0, len(lengths), layout.EPISODES_PER_FILE):
        path = dataset.path / layout.episodes_path(first // layout.EPISODES_PER_FILE)
        count = min(layout.EPISODES_PER_FILE, len(lengths) - first)
        names = ("episode_index", "length", "dataset_from_index", "dataset_to_index")
        try:
            found = read_table(path, dict.fromkeys(names, 1), count)
        except DatasetError as error:
            yield str(error)
            continue
        chosen = slice(first, first + count)
        expected = {
            "episode_index": range(first, first + count),
            "length": lengths[chosen],
            "dataset_from_index": starts[:-1][chosen],
            "dataset_to_index": starts[1:][chosen],
        }
        for name, values in expected.items():
            if found[name][:, 0].tolist() != list(values):
                yield f"{path}: column {name!r} does not agree with {layout.RECORDS}"
    tasks = dataset.path / layout.TASKS
    try:
        pq.read_schema(tasks).field("task_index")
    except (OSError, KeyError, pa.ArrowException) as error:
        yield f"{tasks} cannot be read as the list of tasks ({error}); collect again"
