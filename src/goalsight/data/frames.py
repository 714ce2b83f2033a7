"""The decode-once cache: every episode's frames as one memory-mapped array.

`<dataset>/cache/<camera>/episode-000123.npy` is (T, H, W, 3) uint8. An index says from which
video (by checksum) a file was decoded, so a replaced video is decoded again and a damaged one is
noticed here, before anybody trains on it. With `video: none` these files are the dataset's own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from goalsight.data import format as layout
from goalsight.data.dataset import Dataset
from goalsight.data.video import Reader, read_frames_at, read_video
from goalsight.errors import DatasetError, OutputError
from goalsight.io import npy_bytes, replace_file, sha256_of
from goalsight.progress import Progress, silent

Frames = NDArray[np.uint8]
THREADS = min(4, os.cpu_count() or 1)
"""Videos decoded at a time."""


def decode_episode(dataset: Dataset, episode: int, reader: Reader = "auto") -> Frames:
    """Read an episode's frames from the file that holds them, after checking its checksum.

    Returns:
        (T, H, W, 3) RGB.

    Raises:
        DatasetError: if the file is missing, damaged, or not the one that was written.
    """
    record = dataset.records[episode]
    path, digest = dataset.frames_file(episode)
    check_sha256(path, digest)
    if dataset.provenance.video == "none":
        return _open_npy(path, record.frames, dataset.size)
    frames = read_video(path, record.frames, reader)
    _check_shape(path, frames, record.frames, dataset.size)
    return frames


def check_sha256(path: Path, expected: str) -> None:
    """Compare a file with its recorded checksum.

    Raises:
        DatasetError: if it is missing or differs.
    """
    if not path.is_file():
        raise DatasetError(f"{path} is missing; restore it or collect the dataset again")
    if sha256_of(path) != expected:
        raise DatasetError(
            f"{path} is not the file that was written (its sha256 differs); restore it or collect "
            "the dataset again"
        )


def read_frames(dataset: Dataset, episode: int) -> Frames:
    """An episode's frames: mapped from the cache if they are there, else decoded.

    Returns:
        (T, H, W, 3) RGB.

    Raises:
        DatasetError: if they cannot be read.
    """
    cache = FrameCache(dataset)
    return cache.open(episode) if cache.has(episode) else decode_episode(dataset, episode)


class FrameCache:
    """Decoded frames of a dataset, made where missing, opened as memory maps.

    `dataset.cache_gb` bounds it. Episodes are taken in the order asked for until it is full, and
    the others are decoded each time they are read: with windows in random order any rule of
    eviction would throw out what the next batch wants. A cache that was larger is cut down.
    """

    def __init__(self, dataset: Dataset, reader: Reader = "auto") -> None:
        """Look at what is there.

        Args:
            dataset: whose frames.
            reader: library that decodes; see `read_video`.
        """
        self._dataset, self._reader = dataset, reader
        limit = dataset.cache_gb
        self._limit = None if limit is None else int(limit * 1e9)
        self._index_path = self.path(0).with_name("index.jsonl")
        self._sources = {} if dataset.provenance.video == "none" else self._read_index()

    def path(self, episode: int) -> Path:
        """File of an episode."""
        return self._dataset.path / layout.cache_path(self._dataset.camera, episode)

    def has(self, episode: int) -> bool:
        """Whether the frames are there and come from the video that the dataset records."""
        record = self._dataset.records[episode]
        if self._dataset.provenance.video == "none":
            return self.path(episode).is_file()
        if self._sources.get(episode) != record.sha256_of(self._dataset.camera):
            return False
        pixels = record.frames * self._dataset.size**2 * 3
        return self.path(episode).is_file() and self.path(episode).stat().st_size > pixels

    def open(self, episode: int) -> Frames:
        """Map an episode's frames, (T, H, W, 3), decoding them first if they are not there."""
        if not self.has(episode):
            if self._limit is not None:
                return decode_episode(self._dataset, episode, self._reader)
            self.build([episode])
        record = self._dataset.records[episode]
        return _open_npy(self.path(episode), record.frames, self._dataset.size)

    def pick(self, episode: int, rows: NDArray[np.int64]) -> Frames:
        """Some frames of an episode that is not in the cache, (n, H, W, 3), without keeping them.

        Raises:
            DatasetError: if the video is missing or damaged.
        """
        return read_frames_at(self._dataset.frames_file(episode)[0], rows, self._reader)

    def build(self, episodes: Iterable[int], progress: Progress = silent) -> None:
        """Decode what is missing of these episodes; killed and started again it goes on.

        With a bound it stops where that is reached.

        Raises:
            DatasetError: if a video is missing or damaged.
            OutputError: if the cache cannot be written.
        """
        missing = self._that_fit([int(episode) for episode in episodes])
        with ThreadPoolExecutor(THREADS) as pool:
            try:
                for done, episode in enumerate(pool.map(self._build_one, missing), 1):
                    self._note(episode)
                    progress(done, len(missing))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _that_fit(self, wanted: list[int]) -> list[int]:
        """Episodes to decode: those that are not there and find room."""
        if self._limit is None or self._dataset.provenance.video == "none":
            return [episode for episode in wanted if not self.has(episode)]
        there = [episode for episode in self._sources if self.has(episode)]
        used = sum(map(self._bytes, there))
        for episode in sorted(there, reverse=True):  # only where the bound is lower than before
            if used <= self._limit:
                break
            self._drop(episode)
            used -= self._bytes(episode)
        fitting = []
        for episode in wanted:
            if self.has(episode):
                continue
            if used + self._bytes(episode) <= self._limit:
                fitting.append(episode)
                used += self._bytes(episode)
            else:  # it will be read without the cache, and without another look at its checksum
                check_sha256(*self._dataset.frames_file(episode))
        return fitting

    def _bytes(self, episode: int) -> int:
        """Size of an episode's decoded frames."""
        return int(self._dataset.records[episode].frames) * self._dataset.size**2 * 3

    def _drop(self, episode: int) -> None:
        """Delete an episode's file; who has it mapped keeps reading it."""
        try:
            self.path(episode).unlink(missing_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error

    def _build_one(self, episode: int) -> int:
        frames = decode_episode(self._dataset, episode, self._reader)
        try:
            replace_file(self.path(episode), npy_bytes(frames))
        except OSError as error:
            raise self._unwritable(error) from error
        return episode

    def _note(self, episode: int) -> None:
        """Append to the index; one short write, so that two builders do not mix their lines."""
        source = self._dataset.records[episode].sha256_of(self._dataset.camera)
        line = json.dumps({"episode": episode, "source_sha256": source}) + "\n"
        try:
            with self._index_path.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise self._unwritable(error) from error
        self._sources[episode] = source

    def _read_index(self) -> dict[int, str]:
        sources: dict[int, str] = {}
        if self._index_path.is_file():
            for line in self._index_path.read_text("utf-8", "replace").splitlines():
                try:
                    entry = json.loads(line)
                    sources[int(entry["episode"])] = str(entry["source_sha256"])
                except (ValueError, KeyError, TypeError):
                    continue  # the last line of a killed run: that episode is decoded again
        return sources

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(
            f"cannot write the frame cache in {self._index_path.parent}: {error.strerror}; free "
            "some space and start again (what is decoded is kept)"
        )


def _open_npy(path: Path, frames: int, size: int) -> Frames:
    try:
        mapped: Frames = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read ({error}); delete it and try again") from None
    _check_shape(path, mapped, frames, size)
    return mapped


def _check_shape(path: Path, found: Frames, frames: int, size: int) -> None:
    if found.shape != (frames, size, size, 3) or found.dtype != np.uint8:
        raise DatasetError(
            f"{path} holds {found.dtype} {found.shape} where uint8 {(frames, size, size, 3)} was "
            "recorded; it is not the file that was written"
        )
