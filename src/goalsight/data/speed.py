"""How fast random windows are read: from the videos, from the cache, and what copying costs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import goalsight
from goalsight.data.dataset import Dataset, open_dataset
from goalsight.data.episode import Episode
from goalsight.data.files import sha256_of
from goalsight.data.format import Provenance
from goalsight.data.progress import Report, silent
from goalsight.data.video import Reader, VideoWriter, read_frames_at
from goalsight.data.windows import Windows
from goalsight.data.writer import DatasetWriter

READERS: tuple[Reader, ...] = ("decord", "pyav")
DECODED_CLIPS = 24
"""Clips a round of decoding takes: it is slow, and every clip costs the same."""


@dataclass(frozen=True, kw_only=True)
class ReadingSpeed:
    """Clips a second by source, the median of several rounds; all on one thread."""

    size: int
    """Height and width of the frames [pixels]."""
    frames: int
    """Frames of a clip."""
    frameskip: int
    """Control steps between two of them."""
    batch: int
    """Clips read at a time."""
    rounds: int
    """Rounds the medians are of."""
    clips_per_s: dict[str, float]
    """By source: `decord` and `pyav` out of the mp4, `cache` out of the decode-once cache."""
    memcpy_clips_per_s: float
    """Copies of as many bytes in memory a second: no reader can be faster."""

    def times_the_floor(self, source: str) -> float:
        """How many times a source takes what copying takes."""
        return self.memcpy_clips_per_s / self.clips_per_s[source]


def measure_reading(
    dataset: Dataset,
    *,
    frames: int = 4,
    frameskip: int = 5,
    batch: int = 32,
    clips: int = 640,
    rounds: int = 5,
    seed: int = 0,
    progress: Report = silent,
) -> ReadingSpeed:
    """Read random windows in shuffled order, as training does.

    The cache is built before, and its pages are warm; a video is opened for every clip, since a
    dataset has more videos than can be kept open.

    Args:
        dataset: with videos.
        frames: of a clip.
        frameskip: control steps between two of them.
        batch: clips read at a time.
        clips: of a round out of the cache.
        rounds: of each source.
        seed: of the order.
        progress: told how many rounds are done.

    Raises:
        DatasetError: if no episode is long enough, or a video is damaged.
    """
    episodes = np.arange(len(dataset.episodes))
    windows = Windows(dataset, episodes, frames, frameskip, memory_limit=0)
    rng = np.random.default_rng(seed)
    offsets = np.arange(frames) * frameskip
    sources: dict[str, Callable[[], float]] = {}
    if dataset.provenance.video == "h264":
        for reader in READERS:
            sources[reader] = partial(_from_videos, windows, offsets, reader, rng)
    sources["cache"] = partial(_from_cache, windows, batch, clips, rng)
    sources["cache"]()  # warm
    sources["memcpy"] = _copier(frames * dataset.size**2 * 3, clips)
    found: dict[str, list[float]] = {name: [] for name in sources}
    for number in range(rounds):  # one of each in turn: what else the machine does hits all alike
        for name, measure in sources.items():
            found[name].append(measure())
        progress(number + 1, rounds)
    medians = {name: statistics.median(values) for name, values in found.items()}
    return ReadingSpeed(
        size=dataset.size,
        frames=frames,
        frameskip=frameskip,
        batch=batch,
        rounds=rounds,
        memcpy_clips_per_s=medians.pop("memcpy"),
        clips_per_s=medians,
    )


def _from_cache(windows: Windows, batch: int, clips: int, rng: np.random.Generator) -> float:
    """Clips a second in batches of random windows."""
    chosen = rng.integers(len(windows), size=clips).tolist()
    began = time.perf_counter()
    for at in range(0, clips, batch):
        windows.__getitems__(chosen[at : at + batch])
    return clips / (time.perf_counter() - began)


def _from_videos(
    windows: Windows, offsets: NDArray[np.int64], reader: Reader, rng: np.random.Generator
) -> float:
    """Clips a second of random windows, each decoded out of its mp4."""
    dataset = windows.dataset
    chosen = rng.integers(len(windows), size=DECODED_CLIPS).tolist()
    places = [windows.locate(index) for index in chosen]
    began = time.perf_counter()
    for episode, first in places:
        read_frames_at(dataset.frames_file(episode)[0], first + offsets, reader)
    return DECODED_CLIPS / (time.perf_counter() - began)


def _copier(size: int, clips: int) -> Callable[[], float]:
    """Copies clips of so many bytes out of an array far larger than the processor's cache."""
    places = max(1, 2**28 // size)
    source = np.ones((places, size), np.uint8)
    target = np.empty(size, np.uint8)

    def copy() -> float:
        began = time.perf_counter()
        for number in range(clips):
            np.copyto(target, source[(number * 7919) % places])
        return clips / (time.perf_counter() - began)

    return copy


def synthetic_dataset(path: Path, *, size: int, episodes: int = 8, length: int = 100) -> Dataset:
    """A dataset of moving squares before a noisy ground, for measuring alone.

    Args:
        path: folder to write it to.
        size: height and width of the frames [pixels].
        episodes: how many.
        length: frames of each.
    """
    provenance = Provenance(
        env="synthetic", policy="none", seed=0, steps=length, size=size, video="h264",
        control_dt=0.1, camera="front", renderer="numpy", mujoco=None, action_names=["x"],
        action_low=[-1.0], action_high=[1.0], proprio_names=["x"], truth={},
        goalsight=goalsight.__version__, commit=None,
    )  # fmt: skip
    with DatasetWriter(path, provenance) as writer:
        for number in range(episodes):
            file = writer.staging / f"{number}.mp4"
            _write_squares(file, size, length, number)
            zeros = np.zeros((length, 1), np.float32)
            solved = np.zeros(length, np.bool_)
            writer.append(Episode(number, zeros, zeros, solved, file, sha256_of(file), {}))
        writer.finish()
    return open_dataset(path)


def _write_squares(path: Path, size: int, length: int, seed: int) -> None:
    """One video; coarse noise compresses about as badly as a real table."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 200, (size // 8 + 1, size // 8 + 1, 3), np.uint8)
    ground = np.kron(coarse, np.ones((8, 8, 1), np.uint8))[:size, :size]
    writer = VideoWriter(path, size, 10)
    side = max(4, size // 6)
    for step in range(length):
        frame = ground.copy()
        at = int((size - side) * (0.5 + 0.5 * np.sin(0.1 * step + seed)))
        frame[at : at + side, size // 3 : size // 3 + side] = (230, 40, 40)
        writer.add(frame)
    writer.close()
