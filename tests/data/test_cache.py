"""Video and the decode-once cache: what went in comes out, once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from goalsight.data import FrameCache, open_dataset
from goalsight.data.frames import decode_episode
from goalsight.data.video import Reader, VideoWriter, read_video
from goalsight.errors import DatasetError

VIDEO = "videos/observation.images.front/chunk-000/file-001.mp4"


def test_encoding_keeps_the_colours_of_small_things(tmp_path: Path) -> None:
    """A 6-pixel red square on grey: 4:2:0 chroma would bleed; full chroma stays above 36 dB."""
    frames = np.full((10, 64, 64, 3), 128, np.uint8)
    for t in range(10):
        frames[t, 20 + t : 26 + t, 30:36] = (220, 20, 30)
    decoded = encode_and_read(tmp_path / "a.mp4", frames)
    square = np.zeros_like(frames[..., 0], bool)
    for t in range(10):
        square[t, 20 + t : 26 + t, 30:36] = True
    error = (decoded[square].astype(float) - frames[square]) ** 2
    assert 10 * np.log10(255**2 / error.mean()) > 36


def test_both_readers_decode_the_same_pixels(made_once: dict[str, Path]) -> None:
    path = made_once["h264"] / VIDEO
    assert np.array_equal(read_video(path, 12, "decord"), read_video(path, 12, "pyav"))


def test_a_picture_size_that_decord_refuses_is_read_with_the_second_reader(tmp_path: Path) -> None:
    """decord2 3.4 raises at 16, 24, 32, 48, 96 and 144 pixels (and is right at all others)."""
    frames = np.full((3, 48, 48, 3), 90, np.uint8)
    assert np.abs(encode_and_read(tmp_path / "a.mp4", frames).astype(int) - 90).max() <= 2


@pytest.mark.parametrize("reader", ["decord", "pyav"])
def test_a_video_with_other_than_the_recorded_frames_is_refused(
    made_once: dict[str, Path], reader: Reader
) -> None:
    with pytest.raises(DatasetError, match="has 12 frames where 13 were recorded"):
        read_video(made_once["h264"] / VIDEO, 13, reader)


def test_decoded_frames_look_like_those_collected_without_video(
    made_once: dict[str, Path],
) -> None:
    lossy = decode_episode(open_dataset(made_once["h264"]), 1).astype(float)
    exact = decode_episode(open_dataset(made_once["none"]), 1)
    assert np.abs(lossy - exact).mean() < 2


def test_the_cache_decodes_once_and_goes_on_where_it_was_stopped(video_dataset: Path) -> None:
    dataset = open_dataset(video_dataset)
    seen: list[tuple[int, int]] = []
    FrameCache(dataset).build([0, 1])
    first = FrameCache(dataset).path(0).stat().st_mtime_ns
    FrameCache(dataset).build(range(4), lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    assert FrameCache(dataset).path(0).stat().st_mtime_ns == first
    frames = FrameCache(dataset).open(3)
    assert isinstance(frames, np.memmap)
    assert np.array_equal(frames, decode_episode(dataset, 3))


def test_a_cache_file_without_its_index_line_is_decoded_again(video_dataset: Path) -> None:
    """A run killed between the two leaves a file that nobody vouches for."""
    dataset = open_dataset(video_dataset)
    cache = FrameCache(dataset)
    cache.build([2])
    index = cache.path(0).with_name("index.jsonl")
    index.write_text('{"episode": 2, "sourc')
    assert not FrameCache(dataset).has(2)
    assert np.array_equal(FrameCache(dataset).open(2), decode_episode(dataset, 2))


def test_frames_of_a_replaced_video_are_not_taken_from_the_cache(
    video_dataset: Path, made_once: dict[str, Path]
) -> None:
    dataset = open_dataset(video_dataset)
    FrameCache(dataset).build([1])
    index = FrameCache(dataset).path(0).with_name("index.jsonl")
    index.write_text(index.read_text().replace(dataset.records[1].frames_sha256, "0" * 64))
    assert not FrameCache(dataset).has(1)


def encode_and_read(path: Path, frames: np.ndarray) -> np.ndarray:
    writer = VideoWriter(path, frames.shape[1], 10)
    for frame in frames:
        writer.add(frame)
    writer.close()
    return read_video(path, len(frames))
