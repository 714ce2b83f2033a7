"""What can be wrong with one episode: its record, its table, its frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goalsight.data import format as layout
from goalsight.data.cache import check_sha256, decode_episode
from goalsight.data.dataset import Dataset
from goalsight.data.goals import read_goal
from goalsight.data.lenient import LOST
from goalsight.data.tables import count_rows, read_table
from goalsight.data.video import count_frames, frame_rate
from goalsight.errors import DatasetError
from goalsight.io import sha256, sha256_of

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
