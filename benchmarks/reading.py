"""`python -m benchmarks.reading`: random windows out of videos and out of the frame cache."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
import torch

import goalsight
from benchmarks.timing import Measurement, Turn, beside, clocked, in_turns, run, show
from goalsight.data import Dataset, Windows, open_dataset
from goalsight.data.format import Episode, Provenance
from goalsight.data.video import Reader, VideoWriter, read_frames_at
from goalsight.data.writer import DatasetWriter
from goalsight.errors import UserError
from goalsight.io import sha256_of

READERS: tuple[Reader, ...] = ("decord", "pyav")
DECODED_CLIPS = 24
"""Clips a turn of decoding takes: it is slow, and every clip costs the same."""


def reading(
    *,
    data: Path | None = None,
    size: int = 224,
    frames: int = 4,
    frameskip: int = 5,
    batch: int = 32,
    clips: int = 640,
    rounds: int = 5,
    json: bool = False,
) -> None:
    """Measure clips a second out of videos and out of the decode-once cache, beside memcpy.

    Random windows in shuffled order on one core. Without --data a small dataset is made in a
    temporary folder and removed again.

    Args:
        data: folder of a dataset to read instead.
        size: height and width of the frames of the dataset that is made [pixels].
        frames: frames of a clip.
        frameskip: control steps between two of them.
        batch: clips read at a time.
        clips: clips of a turn out of the cache.
        rounds: turns of each source.
        json: print JSON for a machine to read.

    Example:
        python -m benchmarks.reading --size 224
    """
    if min(frames, frameskip, batch, clips) < 1 or not 16 <= size <= 1024:
        raise UserError("--size must be in [16, 1024], the other numbers at least 1")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        dataset = open_dataset(data) if data else synthetic_dataset(Path(folder) / "d", size=size)
        found = measure_reading(
            dataset, frames=frames, frameskip=frameskip, batch=batch, clips=clips, rounds=rounds
        )
    show(list(found.values()), json=json)


def measure_reading(
    dataset: Dataset,
    *,
    frames: int = 4,
    frameskip: int = 5,
    batch: int = 32,
    clips: int = 640,
    rounds: int = 5,
) -> dict[str, Measurement]:
    """Read random windows in shuffled order, as training does; one clip by source.

    The cache is built and warm; a video is opened for every clip, since a dataset has more videos
    than can be kept open. Arguments as those of `reading`.

    Raises:
        DatasetError: if no episode is long enough, or a video is damaged.
    """
    windows = Windows(dataset, np.arange(len(dataset.episodes)), frames, frameskip, memory_limit=0)
    rng, rows = np.random.default_rng(0), np.arange(frames) * frameskip

    def from_cache() -> None:
        windows.__getitems__(rng.integers(len(windows), size=batch).tolist())

    def from_video(reader: Reader) -> None:
        episode, first = windows.locate(int(rng.integers(len(windows))))
        read_frames_at(dataset.frames_file(episode)[0], first + rows, reader)

    turns: dict[str, Turn] = {}
    if dataset.provenance.video == "h264":
        turns = {name: clocked(partial(from_video, name), DECODED_CLIPS) for name in READERS}
    batches = -(-clips // batch)
    by_batch = clocked(from_cache, batches)
    turns["cache"] = lambda: by_batch() / batch
    turns["memcpy"] = clocked(copier(frames * dataset.size**2 * 3), clips)
    found = in_turns(turns, rounds, what="Reading")
    least = found.pop("memcpy")
    what = f"a clip of {frames} frames, {frameskip} apart, {dataset.size} px"
    return {
        name: beside(f"{what}, from {name}", timing, "memcpy of as many bytes", least)
        for name, timing in found.items()
    }


def copier(size: int) -> Callable[[], None]:
    """Copies so many bytes, out of an array far larger than the processor's cache."""
    places = max(1, 2**28 // size)
    source, target = np.ones((places, size), np.uint8), np.empty(size, np.uint8)
    order = cycle(np.random.default_rng(0).permutation(places).tolist())
    return lambda: np.copyto(target, source[next(order)])


def synthetic_dataset(path: Path, *, size: int, episodes: int = 8, length: int = 100) -> Dataset:
    """A dataset of moving squares before a noisy ground, for measuring alone.

    Args:
        path: folder to write it to.
        size: height and width of the frames [pixels].
        episodes: how many.
        length: frames of each.
    """
    provenance = Provenance(
        env="synthetic",
        policy="none",
        seed=0,
        steps=length,
        size=size,
        video="h264",
        control_dt=0.1,
        camera="front",
        renderer="numpy",
        mujoco=None,
        action_names=["x"],
        action_low=[-1.0],
        action_high=[1.0],
        proprio_names=["x"],
        truth={},
        goalsight=goalsight.__version__,
        commit=None,
    )
    with DatasetWriter(path, provenance) as writer:
        for number in range(episodes):
            file = writer.staging / f"{number}.mp4"
            _write_squares(file, size, length, number)
            at = np.sin(0.1 * np.arange(length, dtype=np.float32) + number)[:, None]
            solved = np.zeros(length, np.bool_)
            writer.append(Episode(number, np.cos(at), at, solved, file, sha256_of(file), {}))
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


if __name__ == "__main__":
    sys.exit(run(reading, sys.argv[1:]))
