"""Read a whole dataset and say everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from goalsight.data import format as layout
from goalsight.data.checks import Checker
from goalsight.data.dataset import Dataset
from goalsight.data.lenient import open_damaged
from goalsight.data.logs.record import read_record
from goalsight.data.stats import compute_stats
from goalsight.data.tables import episodes_table, read_parquet, tasks_table
from goalsight.errors import DatasetError
from goalsight.progress import Progress, silent


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong."""

    episode: int | None
    """Which episode, None for the dataset as a whole."""
    message: str
    """One line: file, what is wrong, what to do."""
    warning: bool = False
    """Whether it is only worth knowing: nothing has to be mended."""


def validate(path: Path | str, progress: Progress = silent) -> list[Problem]:
    """Check every file of a dataset: records, checksums, columns, values, frames, totals.

    A dataset that cannot be opened for training is checked all the same, as far as it is there.

    Args:
        path: folder of the dataset.
        progress: told how many episodes are read.

    Returns:
        Problems in the order found, warnings last; none if the dataset is sound.

    Raises:
        DatasetError: if there is none, or nobody can say where it comes from.
    """
    damaged = open_damaged(path)
    dataset = damaged.dataset
    problems = [Problem(None, message) for message in damaged.totals]
    problems += [Problem(None, message) for message in _index_files(dataset)]
    try:
        read_record(dataset.path)
    except DatasetError as error:
        problems.append(Problem(None, str(error)))
    total = len(dataset.records)
    checker = Checker(dataset)
    for episode in range(total):
        if episode in damaged.records:
            problems.append(Problem(episode, damaged.records[episode]))
        problems += [Problem(episode, message) for message in checker.check(episode)]
        progress(episode + 1, total)
    if not problems:
        problems += [Problem(None, message) for message in _statistics(dataset)]
    return problems + [Problem(None, message, warning=True) for message in checker.constant()]


def bad_episodes(problems: Sequence[Problem]) -> list[int]:
    """Episodes that have a problem, warnings apart, in order."""
    return sorted({p.episode for p in problems if p.episode is not None and not p.warning})


def _index_files(dataset: Dataset) -> Iterator[str]:
    """Problems of `meta/episodes` and `meta/tasks.parquet`, which LeRobot reads and we do not."""
    lengths = dataset.episodes.tolist()
    for block in range(-(-len(lengths) // layout.EPISODES_PER_FILE)):
        path = dataset.path / layout.episodes_path(block)
        try:
            found = read_parquet(path)
        except DatasetError as error:
            yield str(error)
            continue
        expected = episodes_table(dataset.provenance, lengths, block)
        for name in expected.column_names:
            if name not in found.column_names or not found[name].equals(expected[name]):
                yield f"{path}: column {name!r} does not agree with {layout.RECORDS}"
    tasks = dataset.path / layout.TASKS
    try:
        table = read_parquet(tasks)
    except DatasetError as error:
        yield f"{error}; it is the list of tasks"
        return
    expected = tasks_table([dataset.provenance.task])
    for name in expected.column_names:
        if name not in table.column_names or not table[name].equals(expected[name]):
            yield f"{tasks}: column {name!r} is not that of the task {dataset.provenance.task!r}"


def _statistics(dataset: Dataset) -> Iterator[str]:
    """Problems of `meta/stats.json`; that it is absent or old is none, the next run makes it."""
    path = dataset.path / layout.STATS
    if not path.is_file():
        return
    try:
        found = layout.read_meta(path)
    except DatasetError as error:
        yield str(error)
        return
    index = found.get("index")
    counted = index.get("count") if isinstance(index, dict) else None
    if _is_older(counted, dataset):
        return
    expected = compute_stats(dataset)
    for name in sorted({*expected, *found}):
        # Another decoder may round a pixel otherwise.
        pictures = name in map(layout.video_key, dataset.provenance.cameras)
        tolerance = 0.01 if pictures else 1e-5
        if not _alike(found.get(name), expected.get(name), tolerance):
            yield f"{path}: {name!r} is not what the episodes make"


def _is_older(counted: object, dataset: Dataset) -> bool:
    """Whether statistics that counted so many rows were taken before the last episodes came."""
    ends = {int(end) for end in np.cumsum(dataset.episodes[:-1])}
    return isinstance(counted, list) and len(counted) == 1 and counted[0] in ends


def _alike(found: object, expected: object, tolerance: float) -> bool:
    """Whether nested lists and objects of numbers are the same up to rounding."""
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and set(found) == set(expected)
            and all(_alike(found[name], expected[name], tolerance) for name in expected)
        )
    try:
        a, b = (np.array(value, np.float64) for value in (found, expected))
    except (TypeError, ValueError, OverflowError):
        return False
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-4, atol=tolerance)
