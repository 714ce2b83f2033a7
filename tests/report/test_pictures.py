"""Filmstrip and video show the frames they were given, the goal at the right."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from goalsight.report import encode_video, filmstrip, write_filmstrip, write_video
from goalsight.report.pixels import enlarge, spread, with_inset

RED, GREEN, BLUE = ([200, 30, 30], [30, 200, 30], [30, 30, 200])


def plain(*colours: list[int], size: int = 64) -> NDArray[np.uint8]:
    """(len(colours), size, size, 3) pictures of one colour each."""
    return np.array(colours, np.uint8)[:, None, None].repeat(size, 1).repeat(size, 2)


def decode(content: bytes) -> NDArray[np.uint8]:
    with av.open(io.BytesIO(content), "r") as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack(frames).astype(np.uint8)


def test_a_strip_shows_the_first_and_last_frame_and_the_goal() -> None:
    frames = plain(RED, *[BLUE] * 20, GREEN)
    strip = np.array(filmstrip(frames, plain(RED)[0], [0.1 * i for i in range(22)], count=4))
    middle = strip[120]
    assert (middle[6:262] == RED).all()
    assert sum((middle == BLUE).all(axis=-1)) == 2 * 256
    assert sum((middle == GREEN).all(axis=-1)) == 256
    assert sum((middle == RED).all(axis=-1)) == 2 * 256


def test_a_strip_shows_every_goal_of_several_at_its_end() -> None:
    strip = np.array(filmstrip(plain(RED, RED), plain(GREEN, BLUE), [0.0, 0.1]))
    middle = strip[120]
    for colour in (GREEN, BLUE):
        assert sum((middle == colour).all(axis=-1)) == 256
    green, blue = (np.flatnonzero((middle == colour).all(axis=-1)) for colour in (GREEN, BLUE))
    assert green.max() < blue.min()


def test_a_video_may_show_another_goal_beside_every_frame() -> None:
    frames = decode(encode_video(plain(RED, RED), 10, goal=plain(GREEN, BLUE))).astype(int)
    for frame, colour in zip(frames, (GREEN, BLUE), strict=True):
        assert np.abs(frame[60, -60] - colour).max() < 12
    with pytest.raises(ValueError, match="one goal a frame: got 3 goals, 2 frames"):
        encode_video(plain(RED, RED), 10, goal=plain(GREEN, BLUE, RED))


@given(length=st.integers(1, 200), count=st.integers(2, 12))
def test_frames_are_spread_over_the_whole_rollout(length: int, count: int) -> None:
    """Both ends, in order, none twice, gaps equal to rounding."""
    chosen = spread(length, count)
    assert chosen[0] == 0
    assert chosen[-1] == length - 1
    assert len(chosen) == min(length, count)
    if len(chosen) > 1:
        gaps = np.diff(chosen)
        assert gaps.min() >= 1
        assert gaps.max() - gaps.min() <= 1


def test_enlarging_is_smooth_and_keeps_what_is_large_enough() -> None:
    """Black beside white: greys between, ends as they were; a constant stays constant."""
    picture = np.zeros((8, 16, 3), np.uint8)
    picture[:, 8:] = 255
    large = enlarge(picture, 64)
    assert large.shape == (64, 128, 3)
    row = large[32, :, 0].astype(int)
    assert (row[0], row[-1]) == (0, 255)
    assert len(set(row.tolist())) > 4
    assert (enlarge(plain(RED)[0], 200) == RED).all()
    assert enlarge(picture, 8) is picture


def test_an_inset_shows_every_pixel_and_leaves_the_rest() -> None:
    small = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    picture = plain(BLUE, size=160)[0]
    shown = with_inset(picture, small)
    assert (shown[-48::3, -48::3] == small).all()
    assert (shown[:-50] == BLUE).all()
    assert (shown[:, :-50] == BLUE).all()
    assert (picture == BLUE).all()


def test_a_strip_is_written_as_a_picture_file(tmp_path: Path) -> None:
    path = tmp_path / "strip.png"
    write_filmstrip(path, plain(RED, BLUE), plain(GREEN)[0], [0.0, 0.1])
    with Image.open(path) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")


def test_a_video_plays_in_browsers_and_shows_the_goal_beside_every_frame(tmp_path: Path) -> None:
    """H.264 with 4:2:0 chroma; colours come back to a few of 255."""
    path = tmp_path / "rollout.mp4"
    write_video(path, plain(RED, BLUE, RED), 10, goal=plain(GREEN)[0])
    with av.open(path) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.average_rate == 10
    frames = decode(path.read_bytes()).astype(int)
    assert frames.shape == (3, 256, 2 * 256 + 8, 3)
    for frame, colour in zip(frames, (RED, BLUE, RED), strict=True):
        assert np.abs(frame[100, 100] - colour).max() < 12
        assert np.abs(frame[100, -100] - GREEN).max() < 12


@pytest.mark.parametrize("size", [17, 63, 128, 300])
def test_any_size_of_picture_makes_a_video(size: int) -> None:
    """H.264 wants even sides; odd ones get one more column or row."""
    frames = decode(encode_video(plain(RED, BLUE, size=size), 12.5))
    assert len(frames) == 2
    assert frames.shape[1] % 2 == frames.shape[2] % 2 == 0
    assert min(frames.shape[1:3]) >= max(size, 256)


@pytest.mark.parametrize(
    ("frames", "goal", "message"),
    [
        (plain(RED)[0], plain(RED)[0], r"frames must be \(T, H, W, 3\) with T >= 1"),
        (plain(RED)[:0], plain(RED)[0], r"got \(0, 64, 64, 3\)"),
        (plain(RED), plain(RED, size=32)[0], r"\(64, 64, 3\), got \(32, 32, 3\); render both at"),
        (plain(RED).astype(np.float32), plain(RED)[0], "must be uint8"),
    ],
)
def test_what_is_no_rollout_is_refused(
    frames: NDArray[np.uint8], goal: NDArray[np.uint8], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        filmstrip(frames, goal, [0.0] * len(frames))
    with pytest.raises(ValueError, match=message):
        encode_video(frames, 10, goal=goal)


def test_times_and_rates_are_checked() -> None:
    with pytest.raises(ValueError, match="one time a frame: got 2 times, 1 frames"):
        filmstrip(plain(RED), plain(RED)[0], [0.0, 0.1])
    with pytest.raises(ValueError, match="fps must be positive, got 0"):
        encode_video(plain(RED), 0)
