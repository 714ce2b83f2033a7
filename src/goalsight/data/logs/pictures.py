"""Frames of any log to square RGB pictures, and out of the videos that hold them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from goalsight.data.video import import_av, unreadable
from goalsight.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterable

Frame = NDArray[np.uint8]
Fit = Literal["crop", "squash"]
"""A wide picture becomes square by losing its sides, or by being squashed."""


def to_rgb(frame: NDArray[Any], where: str) -> Frame:
    """(H, W), (H, W, 1), (H, W, 3), (H, W, 4) or (3, H, W) uint8 to (H, W, 3); alpha is dropped.

    Raises:
        DatasetError: if it is no such picture.
    """
    if frame.dtype != np.uint8:
        raise DatasetError(f"{where}: frames are {frame.dtype}, not uint8 pictures of 0 to 255")
    if frame.ndim == 2:
        frame = frame[..., None]
    if frame.ndim == 3 and frame.shape[-1] not in {1, 3, 4} and frame.shape[0] in {1, 3, 4}:
        frame = np.moveaxis(frame, 0, -1)
    if frame.ndim != 3 or frame.shape[-1] not in {1, 3, 4}:
        raise DatasetError(f"{where}: frames have shape {frame.shape}, not (height, width, 3)")
    if frame.shape[-1] == 1:
        frame = np.repeat(frame, 3, axis=-1)
    return np.ascontiguousarray(frame[..., :3])


def to_square(frame: Frame, size: int, fit: Fit) -> Frame:
    """(H, W, 3) to (size, size, 3) with an antialiased filter; the right size stays as it is."""
    height, width = frame.shape[:2]
    if height != width and fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        frame = np.ascontiguousarray(frame[top : top + side, left : left + side])
    if frame.shape[:2] == (size, size):
        return frame
    from PIL import Image

    resized = Image.fromarray(frame).resize((size, size), Image.Resampling.BILINEAR)
    return np.array(resized, np.uint8)


def video_frames(path: Path) -> Iterator[Frame]:
    """Every frame of a video, (H, W, 3) RGB.

    Raises:
        DatasetError: if the file is missing or unreadable.
    """
    return (frame for _, frame in _decode(path, 0.0))


def span_frames(path: Path, start: float, count: int, fps: float) -> Iterator[Frame]:
    """Frames of one episode out of a video that holds several.

    Args:
        path: the video.
        start: time of the first frame [s].
        count: frames to give.
        fps: frames per second.

    Yields:
        (H, W, 3) RGB; fewer than `count` where the video ends early.

    Raises:
        DatasetError: if the file is missing or unreadable, or a frame is not where it must be.
    """
    half = 0.5 / fps
    late = ((time, frame) for time, frame in _decode(path, start) if time > start - half)
    for number, (time, frame) in enumerate(islice(late, count)):
        if abs(time - start - number / fps) > half + 1e-4:
            raise DatasetError(
                f"{path}: frame {number} of the episode at {start:g} s is at {time:.3f} s, not at "
                f"{start + number / fps:.3f} s; the video does not run at {fps:g} frames per second"
            )
        yield frame


def exactly(frames: Iterable[Any], count: int, where: str) -> Iterator[Any]:
    """The same frames, if there are exactly so many.

    Raises:
        DatasetError: after the last of them, if there are fewer or more.
    """
    seen = 0
    for frame in frames:
        seen += 1
        if seen <= count:
            yield frame
    if seen != count:
        raise DatasetError(
            f"{where} has {seen} frames where the log has {count} rows; the video is cut short or "
            "belongs to another episode"
        )


def _decode(path: Path, start: float) -> Iterator[tuple[float, Frame]]:
    """Time [s] and RGB of the frames from the last key frame before `start` on."""
    if not path.is_file():
        raise DatasetError(f"{path} is missing")
    av = import_av()
    from av.video.reformatter import VideoReformatter

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_count = 1
            if start > 0:
                container.seek(int(start / stream.time_base), stream=stream, backward=True)
            convert = VideoReformatter().reformat
            for frame in container.decode(stream):
                picture: Any = convert(frame, format="rgb24").to_ndarray()
                yield float(frame.time or 0.0), picture
    except (av.error.FFmpegError, IndexError) as error:
        raise unreadable(path, error) from error


def video_facts(path: Path) -> tuple[str, str | None, int, int, float | None]:
    """Codec, pixel format, width, height and frames per second of a video.

    Raises:
        DatasetError: if the file is missing or unreadable.
    """
    if not path.is_file():
        raise DatasetError(f"{path} is missing")
    av = import_av()
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            rate = float(stream.average_rate) if stream.average_rate else None
            context = stream.codec_context
            return context.name, context.pix_fmt, context.width, context.height, rate
    except (av.error.FFmpegError, IndexError) as error:
        raise unreadable(path, error) from error
