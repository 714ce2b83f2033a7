"""Read a whole dataset, which may be damaged, and say everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goalsight.data import format as layout
from goalsight.data.dataset import Dataset, count_rows, read_goal, read_parquet, read_table
from goalsight.data.frames import check_sha256, decode_episode
from goalsight.data.importers.record import read_record
from goalsight.data.repair import LOST, open_damaged
from goalsight.data.video import count_frames, frame_rate
from goalsight.data.writer import compute_stats, episodes_table, tasks_table
from goalsight.errors import DatasetError
from goalsight.io import sha256, sha256_of
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


SHORTEST_STILL = 10
"""Control steps from which an episode in which nothing ever changes is taken for a broken one."""

Columns = dict[str, NDArray[Any]]


@dataclass
class Checker:
    """Checks episodes one after another and remembers what it has seen."""

    dataset: Dataset

    def __post_init__(self) -> None:
        """Begin with nothing seen."""
        self._contents: dict[str, int] = {}
        self._recorded = self._found = 0
        """Rows of the episodes before this one: by their records, and in their files."""
        # A robot's log may have no proprio.
        widths = self.dataset.widths()
        self._names = [name for name in (layout.ACTION, layout.PROPRIO) if name in widths]
        self._ranges: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}

    def check(self, episode: int) -> Iterator[str]:
        """Problems of one episode, in a line each; to be asked for in order."""
        record = self.dataset.records[episode]
        if record.frames != record.length:
            yield f"episode {episode}: {record.frames} frames are recorded, {record.length} rows"
        columns, problems = self._read(episode)
        problems += _wrong_contents(self.dataset, episode, columns) if columns else []
        problems += self._wrong_index(episode, columns) if columns else []
        path = self.dataset.path / layout.data_path(episode)
        if not problems and record.data_sha256 != LOST:
            problems += _differs(lambda: check_sha256(path, record.data_sha256))
        if not problems and columns:
            problems += self._repeated(episode, columns)
            self._widen(columns)
        yield from problems
        if record.goal is not None:
            yield from _differs(partial(read_goal, self.dataset, episode))
        if record.frames_sha256 != LOST:
            for camera in self.dataset.provenance.cameras:
                yield from _wrong_frames(self.dataset.seen_by(camera), episode, columns)

    def constant(self) -> Iterator[str]:
        """Axes of actions and proprio that never change in any sound episode."""
        named = {
            layout.ACTION: self.dataset.provenance.action_names,
            layout.PROPRIO: self.dataset.provenance.proprio_names,
        }
        for column, names in named.items():
            if column not in self._ranges:
                continue
            low, high = self._ranges[column]
            for name, a, b in zip(names, low.tolist(), high.tolist(), strict=True):
                if a == b:
                    yield f"column {column!r}: {name!r} is {a:g} in every row of every episode"

    def _read(self, episode: int) -> tuple[Columns, list[str]]:
        """Columns as recorded; none and what is wrong if one of them is not."""
        path = self.dataset.path / layout.data_path(episode)
        length, widths = self.dataset.records[episode].length, self.dataset.widths()
        first, found = self._recorded, self._found
        self._recorded = first + length
        try:
            self._found = found + count_rows(path) if path.is_file() else found + length
            return read_table(path, widths, length), []
        except DatasetError as error:
            whole = str(error)
        try:
            rows = count_rows(path)
        except DatasetError:
            return {}, [whole]
        # One column at a time, so that every one that is damaged is named.
        each = (
            message
            for name, width in widths.items()
            for message in _differs(partial(read_table, path, {name: width}, rows))
        )
        return {}, list(dict.fromkeys([*each, *([whole] if rows != length else [])])) or [whole]

    def _wrong_index(self, episode: int, columns: Columns) -> list[str]:
        """Global row numbers must go on where the episode before ended, by record or by file."""
        index, length = columns["index"][:, 0], self.dataset.records[episode].length
        starts = {self._recorded - length, self._found - length}
        rows = np.arange(length)
        if any(np.array_equal(index, start + rows) for start in starts):
            return []
        path = self.dataset.path / layout.data_path(episode)
        return [f"{path}: column 'index' is not what episode {episode} must have"]

    def _repeated(self, episode: int, columns: Columns) -> list[str]:
        content = sha256(*(np.ascontiguousarray(columns[name]).tobytes() for name in self._names))
        first = self._contents.setdefault(content, episode)
        if first == episode:
            return []
        path = self.dataset.path / layout.data_path(episode)
        return [f"{path}: episode {episode} repeats episode {first}, action by action"]

    def _widen(self, columns: Columns) -> None:
        for name in self._names:
            low, high = columns[name].min(0), columns[name].max(0)
            if name in self._ranges:
                below, above = self._ranges[name]
                low, high = np.minimum(low, below), np.maximum(high, above)
            self._ranges[name] = (low, high)


def _differs(check: Callable[[], object]) -> list[str]:
    """The message of a check that fails, if it does."""
    try:
        check()
    except DatasetError as error:
        return [str(error)]
    return []


def _wrong_contents(dataset: Dataset, episode: int, columns: Columns) -> list[str]:
    """What the rows of one table say that cannot be."""
    path = dataset.path / layout.data_path(episode)
    rows = np.arange(len(columns["index"]))
    for name, values in (("episode_index", np.full_like(rows, episode)), ("frame_index", rows)):
        if not np.array_equal(columns[name][:, 0], values):
            return [f"{path}: column {name!r} is not what episode {episode} must have"]
    found = [f"{path}: {message}" for message in _wrong_times(columns["timestamp"], dataset.fps)]
    found += _differs(lambda: dataset.check_bounds(columns[layout.ACTION], path))
    for name in (layout.ACTION, layout.PROPRIO):
        values = columns.get(name, rows[:0])
        if len(values) >= SHORTEST_STILL and values.size and (values == values[0]).all():
            found.append(f"{path}: column {name!r} is the same in all {len(values)} rows")
    return found


def _wrong_times(times: NDArray[Any], fps: float) -> Iterator[str]:
    """The first timestamp [s] that is not its row over the frame rate."""
    expected = np.arange(len(times)) / fps
    # float32 seconds: at an hour the next number is a quarter of a millisecond away.
    wrong = np.abs(times[:, 0] - expected) > 1e-4 + 2e-7 * expected
    if wrong.any():
        row = int(np.argmax(wrong))
        yield (
            f"column 'timestamp' is {times[row, 0]:.4g} s in row {row} where {fps:g} frames a "
            f"second make {expected[row]:.4g} s"
        )


def _wrong_frames(dataset: Dataset, episode: int, columns: Columns) -> Iterator[str]:
    """What is wrong with the frames; a wrong checksum comes with what it hides."""
    path = dataset.frames_file(episode)[0]
    try:
        # decord repeats frames in place of those that are not there.
        frames = decode_episode(dataset, episode, "pyav")
    except DatasetError as error:
        detail = _detail(dataset, episode) if path.is_file() else ""
        yield f"{error}{detail}"
        return
    rate = frame_rate(path) if path.suffix == ".mp4" else dataset.fps
    if abs(rate - dataset.fps) > 0.001 * dataset.fps:
        yield f"{path} runs at {rate:g} frames a second where {dataset.fps:g} were recorded"
    robot = columns.get(layout.PROPRIO, columns.get(layout.ACTION, np.empty(0)))
    moved = (robot != robot[:1]).any()
    if moved and len(frames) >= SHORTEST_STILL and (frames == frames[0]).all():
        yield f"{path} shows the same picture in all {len(frames)} frames while the robot moves"


def _detail(dataset: Dataset, episode: int) -> str:
    """Why a file of frames is not the one that was written, as far as it shows."""
    record = dataset.records[episode]
    path = dataset.frames_file(episode)[0]
    found = sha256_of(path)
    for other in dataset.records:
        if other.sha256_of(dataset.camera) == found and other.episode != episode:
            return f"; these are the frames of episode {other.episode}"
    if path.suffix != ".mp4":
        return ""
    try:
        counted = count_frames(path)
    except DatasetError:
        return "; no frame of it can be decoded"
    return f"; {counted} of {record.frames} frames can be decoded"
