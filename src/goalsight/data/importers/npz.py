"""OGBench's and D4RL's npz logs: all episodes in one array per feature, others mark their ends."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from goalsight.data.importers.source import (
    Frame,
    Keys,
    Log,
    LogEpisode,
    Rows,
    check_rows,
    choose_array,
    join_columns,
    names_for,
    require_keys,
    split_keys,
)
from goalsight.errors import DatasetError

UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)
"""What a damaged npz may raise."""
ENDS = ("terminals", "timeouts", "terminations", "truncations", "dones")
"""Arrays that mark the last row of an episode; a row that any of them marks is one."""


class NpzLog(Log):
    """`observations` (or another array of pictures), `actions`, `terminals`; frames are streamed.

    A million frames do not fit into memory: the array of pictures is unpacked as it is read.
    """

    format = "npz"
    normalised = True
    fps = None

    def __init__(self, path: Path, keys: Keys) -> None:
        """Open the file and find the episodes.

        Raises:
            DatasetError: if it is damaged or lacks what is asked for.
        """
        self.path = path
        self._zip = _open(path)
        shapes = {name: self._header(name) for name in _members(self._zip)}
        self.camera = choose_array(keys.camera, shapes, path)
        self.action_key = keys.action or "actions"
        numbers = [
            n for n, (shape, kind) in shapes.items() if len(shape) in {1, 2} and _counts(kind)
        ]
        ends = [name for name in ENDS if name in numbers]
        if not ends:
            raise DatasetError(
                f"{path} does not mark where episodes end: looked for {', '.join(ENDS)}; it has: "
                f"{', '.join(shapes)}"
            )
        self._states = split_keys(keys.state) or []
        self._truth = split_keys(keys.truth) or []
        require_keys([self.action_key, *self._states, *self._truth], numbers, "array", path)
        rows = shapes[self.action_key][0][0]
        for name in (self.camera, *ends, *self._states, *self._truth):
            if shapes[name][0][:1] != (rows,):
                raise DatasetError(
                    f"{path}: {name} has shape {shapes[name][0]} where {self.action_key} has "
                    f"{rows} rows"
                )
        self._numbers = {
            name: self._load(name) for name in {self.action_key, *self._states, *self._truth}
        }
        self._firsts = _firsts(np.any([(self._load(name) > 0).any(1) for name in ends], 0))
        self.episodes = [
            LogEpisode(f"episode_{i:06d}", int(length))
            for i, length in enumerate(np.diff(self._firsts))
        ]
        self.action_names = names_for("action", self._numbers[self.action_key].shape[1])
        wide = {name: self._numbers[name].shape[1] for name in self._states}
        self.proprio_names = [n for key in self._states for n in names_for(key, wide[key])]
        self._stream: IO[bytes] | None = None
        self._next_row = 0

    def rows(self, index: int) -> Rows:
        """See `Log.rows`."""
        mine = slice(int(self._firsts[index]), int(self._firsts[index + 1]))
        length = self.episodes[index].length
        states = [self._numbers[key][mine].astype(np.float32) for key in self._states]
        rows = Rows(
            actions=self._numbers[self.action_key][mine].astype(np.float64),
            proprio=join_columns(states, length),
            success=np.zeros(length, np.bool_),
            truth={key: self._numbers[key][mine].astype(np.float32) for key in self._truth},
        )
        return check_rows(rows, length, f"{self.path}, {self.episodes[index].name}")

    def frames(self, index: int) -> Iterator[Frame]:
        """See `Log.frames`."""
        shape, dtype = self._header(self.camera)
        size = int(np.prod(shape[1:])) * dtype.itemsize
        first, end = int(self._firsts[index]), int(self._firsts[index + 1])
        stream = self._at(first, size)
        for _ in range(first, end):
            content = self._read(stream, size)
            self._next_row += 1  # before the yield: whoever reads may stop there
            yield np.frombuffer(content, dtype).reshape(shape[1:])

    def close(self) -> None:
        """See `Log.close`."""
        self._zip.close()

    def _at(self, row: int, size: int) -> IO[bytes]:
        """The pictures' stream at a row; going back means to begin again."""
        if self._stream is None or self._next_row > row:
            self._stream, self._next_row = self._zip.open(f"{self.camera}.npy"), 0
            _read_header(self._stream)
        while self._next_row < row:
            self._read(self._stream, size)
            self._next_row += 1
        return self._stream

    def _read(self, stream: IO[bytes], size: int) -> bytes:
        try:
            content = stream.read(size)
        except UNREADABLE as error:
            raise self._damaged(self.camera, error) from None
        if len(content) != size:
            raise self._damaged(self.camera, "it ends early")
        return content

    def _header(self, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and dtype of an array."""
        try:
            with self._zip.open(f"{name}.npy") as stream:
                shape, fortran, dtype = _read_header(stream)
        except UNREADABLE as error:
            raise self._damaged(name, error) from None
        if fortran and len(shape) > 2:
            raise self._damaged(
                name, "it is stored column by column; save np.ascontiguousarray of it instead"
            )
        return shape, dtype

    def _load(self, name: str) -> NDArray[Any]:
        """(rows, d) numbers."""
        try:
            with np.load(self.path, allow_pickle=False) as file:
                values: NDArray[Any] = file[name]
        except UNREADABLE as error:
            raise self._damaged(name, error) from None
        return values.reshape(len(values), -1)

    def _damaged(self, name: str, reason: object) -> DatasetError:
        return DatasetError(f"{self.path}: array {name!r} cannot be read ({reason})")


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing") from None
    except (OSError, zipfile.BadZipFile) as error:
        raise DatasetError(f"{path} cannot be read as npz ({error})") from None


def _counts(dtype: np.dtype[Any]) -> bool:
    """Whether values of a dtype are numbers."""
    return dtype.kind in "fiub"


def _members(file: zipfile.ZipFile) -> list[str]:
    return [name.removesuffix(".npy") for name in file.namelist() if name.endswith(".npy")]


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """What an npy file begins with; the stream stands at the first number afterwards."""
    version = np.lib.format.read_magic(stream)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = read(stream)
    return shape, fortran, dtype


def _firsts(ends: NDArray[np.bool_]) -> NDArray[np.int64]:
    """First row of each episode and the end of the last; what follows the last end is one too."""
    after = np.flatnonzero(ends) + 1
    edges = np.concatenate(([0], after, [len(ends)])).astype(np.int64)
    return np.unique(edges)
