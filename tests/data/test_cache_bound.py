"""A bounded cache keeps what fits; everything else is decoded each time and is the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from goalsight.data import FrameCache, Windows, open_dataset
from goalsight.data.frames import decode_episode
from goalsight.data.video import Reader, read_frames_at
from goalsight.errors import DatasetError

EPISODE_GB = 12 * 20 * 20 * 3 / 1e9
"""Decoded frames of one episode of the fake environment."""


def held(dataset_path: Path, cache_gb: float | None) -> list[bool]:
    cache = FrameCache(open_dataset(dataset_path, cache_gb=cache_gb))
    return [cache.has(episode) for episode in range(4)]


@pytest.mark.parametrize(("episodes", "kept"), [(0, 0), (2.5, 2), (4, 4), (None, 4)])
def test_a_cache_takes_whole_episodes_up_to_its_bound(
    episodes: float | None, kept: int, video_dataset: Path
) -> None:
    bound = None if episodes is None else episodes * EPISODE_GB
    FrameCache(open_dataset(video_dataset, cache_gb=bound)).build(range(4))
    assert held(video_dataset, bound) == [True] * kept + [False] * (4 - kept)
    files = list((video_dataset / "cache").rglob("*.npy"))
    assert len(files) == kept


def test_a_lower_bound_cuts_the_cache_down_and_a_higher_one_goes_on(video_dataset: Path) -> None:
    FrameCache(open_dataset(video_dataset)).build(range(4))
    FrameCache(open_dataset(video_dataset, cache_gb=1.2 * EPISODE_GB)).build([0, 3])
    assert held(video_dataset, None) == [True, False, False, False]
    FrameCache(open_dataset(video_dataset, cache_gb=2.2 * EPISODE_GB)).build([0, 3])
    assert held(video_dataset, None) == [True, False, False, True]


@pytest.mark.parametrize("memory", [0, 2**30])
def test_windows_are_the_same_with_any_bound(memory: int, video_dataset: Path) -> None:
    free = Windows(open_dataset(video_dataset), [0, 2, 3], 3, 2, memory_limit=memory)
    wanted = free.__getitems__(range(len(free)))
    for episodes in (1.5, 0):
        (video_dataset / "cache/front/index.jsonl").unlink()
        dataset = open_dataset(video_dataset, cache_gb=episodes * EPISODE_GB)
        bounded = Windows(dataset, [0, 2, 3], 3, 2, memory_limit=memory)
        FrameCache(dataset).build([0])
        assert torch.equal(bounded.__getitems__(range(len(free))).frames, wanted.frames)


def test_a_replaced_video_is_found_also_where_the_cache_has_no_room_for_it(
    video_dataset: Path,
) -> None:
    """Its frames will be read without the cache, and nobody would look at the checksum again."""
    videos = video_dataset / "videos/observation.images.front/chunk-000"
    (videos / "file-002.mp4").write_bytes((videos / "file-001.mp4").read_bytes())
    dataset = open_dataset(video_dataset, cache_gb=0)
    with pytest.raises(DatasetError, match=r"file-002\.mp4 is not the file that was written"):
        Windows(dataset, range(4), 3, 2, memory_limit=0)


def test_frames_of_a_dataset_without_videos_are_never_dropped(bare_dataset: Path) -> None:
    """They are the dataset's own, not a copy that can be made again."""
    dataset = open_dataset(bare_dataset, cache_gb=0)
    FrameCache(dataset).build(range(4))
    assert all(FrameCache(dataset).has(episode) for episode in range(4))


def test_a_negative_bound_is_refused(video_dataset: Path) -> None:
    with pytest.raises(DatasetError, match="must be 0 GB or more, got -1"):
        open_dataset(video_dataset, cache_gb=-1)


@pytest.mark.parametrize("reader", ["decord", "pyav"])
def test_frames_by_number_are_those_of_the_whole_video(
    reader: Reader, made_once: dict[str, Path]
) -> None:
    dataset = open_dataset(made_once["h264"])
    path = dataset.path / "videos/observation.images.front/chunk-000/file-001.mp4"
    rows = np.array([9, 2, 7, 2])
    found = read_frames_at(path, rows, reader)
    assert np.array_equal(found, decode_episode(dataset, 1)[rows])
    with pytest.raises(DatasetError):
        read_frames_at(path, np.array([3, 12]), reader)
