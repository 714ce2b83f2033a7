"""Pictures of logs: what a video is and its frames by time or number, and how they become ours."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from goalsight.data.video import import_av, unreadable
from goalsight.errors import DatasetError

SURE = 0.25
"""How far from a frame, as a share of the time between two, a row may be and still be its row."""


@dataclass(frozen=True)
class VideoFacts:
    """What a video says of itself, and when its frames are shown."""

    codec: str
    """Such as `h264`."""
    pixels: str
    """Pixel format, such as `yuv420p`."""
    width: int
    """As stored, before the display matrix [pixels]."""
    height: int
    """Likewise."""
    rate: float | None
    """Frames per second by the header."""
    times: NDArray[np.float64]
    """(N,) when each frame is shown [s], ascending; those that an edit list hides are not here."""
    ticks: NDArray[np.int64] | None
    """(N,) the same in the stream's own unit; None where packets do not say."""
    hidden: int
    """Frames that an edit list hides."""
    upright: bool
    """Whether the pictures are shown as they are stored."""

    @property
    def even(self) -> bool:
        """Whether the frames are shown one after another from 0 on, at the header's rate."""
        if not self.rate or self.hidden:
            return False
        expected = np.arange(len(self.times)) / self.rate
        return bool((np.abs(self.times - expected) < 0.01 / self.rate).all())


def video_facts(path: Path) -> VideoFacts:
    """Read what a video holds without decoding more than its first frame.

    Raises:
        DatasetError: if the file is missing or unreadable.
    """
    if not path.is_file():
        raise DatasetError(f"{path} is missing")
    status = path.stat()
    return _facts(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _facts(path: Path, _changed: int, _size: int) -> VideoFacts:
    av = import_av()
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            packets = [(p.pts, p.is_discard) for p in container.demux(stream) if p.size]
            shown = [pts for pts, hidden in packets if not hidden]
            unit, context = stream.time_base, stream.codec_context
            rate = float(stream.average_rate) if stream.average_rate else None
            known = None not in shown and unit is not None
            ticks = np.sort(np.array(shown, np.int64)) if known else None
            facts = VideoFacts(
                codec=context.name,
                pixels=context.pix_fmt or "",
                width=context.width,
                height=context.height,
                rate=rate,
                times=np.asarray([] if ticks is None else ticks * float(unit), np.float64),
                ticks=ticks,
                hidden=len(packets) - len(shown),
                upright=True,
            )
        count, upright = 0, True
        with av.open(str(path)) as container:
            container.streams.video[0].thread_count = 1
            for frame in container.decode(video=0):
                upright, count = _turn(frame, path) is None, count + 1
                if known:
                    break
    except (av.error.FFmpegError, IndexError) as error:
        raise unreadable(path, error) from error
    times = facts.times if known else np.arange(count) / (rate or 1.0)
    return VideoFacts(**{**vars(facts), "times": times, "upright": upright})


def match_times(
    facts: VideoFacts, wanted: NDArray[np.float64], fps: float, where: str
) -> NDArray[np.int64]:
    """Numbers of the frames that are shown at the times of an episode's rows.

    Args:
        facts: of the video.
        wanted: (L,) when each row was recorded, on the video's clock [s].
        fps: rows per second.
        where: what errors begin with.

    Returns:
        (L,) numbers of frames.

    Raises:
        DatasetError: if the video has no frame then, or it cannot be told which is meant.
    """
    times = facts.times
    if not len(times):
        raise DatasetError(f"{where}: the video has no frames; leave it out with --skip NAME")
    after = np.clip(np.searchsorted(times, wanted), 1, max(len(times) - 1, 1))
    left, right = times[after - 1], times[np.minimum(after, len(times) - 1)]
    found = np.where(wanted - left <= right - wanted, after - 1, np.minimum(after, len(times) - 1))
    off = np.abs(times[found] - wanted) * fps
    if (off > SURE).any():
        row = int(np.argmax(off > SURE))
        raise DatasetError(
            f"{where}: row {row} is at {wanted[row]:.3f} s of the video, its nearest frame at "
            f"{times[found[row]]:.3f} s (the video shows {len(times)} frames from {times[0]:.3f} "
            f"to {times[-1]:.3f} s); frames are missing or the times are not the video's: leave "
            "the episode out with --skip NAME"
        )
    return found.astype(np.int64)


def pick_frames(path: Path, wanted: NDArray[np.int64], where: str) -> Iterator[Frame]:
    """Frames by number, upright and in RGB.

    Args:
        path: the video.
        wanted: (L,) numbers, ascending, as in `VideoFacts.times`.
        where: what errors begin with.

    Yields:
        (H, W, 3) RGB.

    Raises:
        DatasetError: if the file cannot be read, one of them cannot be decoded, or the pictures
            are no colours or greys of 8 bits.
    """
    from av.video.reformatter import VideoReformatter

    facts = video_facts(path)
    _refuse_depth(facts, where)
    convert = VideoReformatter().reformat  # one for all frames: three times faster on small ones
    done = 0
    for number, frame in _decode(path, facts, int(wanted[0]) if len(wanted) else 0):
        while done < len(wanted) and wanted[done] == number:
            picture: Any = convert(frame, format="rgb24").to_ndarray()
            yield _upright(picture, _turn(frame, path))
            done += 1
        if done == len(wanted):
            return
        if number > wanted[done]:
            break
    if done < len(wanted):
        raise DatasetError(
            f"{where}: frame {wanted[done]} of {path.name} cannot be decoded; the video is "
            "damaged: restore it, or leave the episode out with --skip NAME"
        )


def _decode(path: Path, facts: VideoFacts, first: int) -> Iterator[tuple[int, Any]]:
    """Numbers and frames, from `first` or earlier on."""
    av = import_av()
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_count = 1
            if facts.ticks is None:
                yield from enumerate(container.decode(stream))
                return
            numbers = {tick: number for number, tick in enumerate(facts.ticks.tolist())}
            if first > 0:
                container.seek(int(facts.ticks[first]), stream=stream, backward=True)
            late = False
            for place, frame in enumerate(container.decode(stream)):
                number = numbers.get(frame.pts)
                if place == 0 and first > 0 and (number is None or number > first):
                    late = True  # a seek by decoding time may end behind what is shown then
                    break
                if number is not None:
                    yield number, frame
        if late:
            yield from _decode(path, facts, 0)
    except (av.error.FFmpegError, IndexError) as error:
        raise unreadable(path, error) from error


def _refuse_depth(facts: VideoFacts, where: str) -> None:
    """Grey of more than 8 bits is depth or heat: cut to 8 bits it would be something else."""
    if facts.pixels.startswith("gray") and facts.pixels != "gray":
        raise DatasetError(
            f"{where}: the video is {facts.pixels}, grey of more than 8 bits such as depth, not "
            "colour; choose another camera with --camera, or write it as 8-bit pictures first"
        )


def _upright(picture: Frame, turn: tuple[bool, int, int] | None) -> Frame:
    """(H, W, 3) RGB as a player shows it."""
    if turn is None:
        return picture
    swap, rows, columns = turn
    picture = picture.swapaxes(0, 1) if swap else picture
    return np.ascontiguousarray(picture[::rows, ::columns])


def _turn(frame: Any, path: Path) -> tuple[bool, int, int] | None:  # noqa: ANN401
    """How the display matrix turns and mirrors: whether axes swap, and their directions.

    None where it changes nothing.

    Raises:
        DatasetError: if it is not by quarters.
    """
    if not frame.rotation and "DISPLAYMATRIX" not in frame.side_data:
        return None
    a, b, _, c, d = np.frombuffer(frame.side_data["DISPLAYMATRIX"], np.int32)[:5].tolist()
    if (a and b) or not (a or b) or bool(a) != bool(d) or bool(b) != bool(c):
        raise DatasetError(f"{path} is shown turned by {frame.rotation} degrees, not by quarters")
    # A point (x, y) is shown at (a x + c y, b x + d y).
    turn = (not a, 1 if (d or b) > 0 else -1, 1 if (a or c) > 0 else -1)
    return None if turn == (False, 1, 1) else turn


Frame = NDArray[np.uint8]
Fit = Literal["crop", "squash"]
"""A wide picture becomes square by losing its sides, or by being squashed."""
CHANNELS = {1, 3, 4}
"""Grey, RGB, RGB and alpha."""
EIGHT_BITS = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}
"""Pillow's modes that are greys or colours of 8 bits at most."""


def to_rgb(frame: NDArray[Any], where: str) -> Frame:
    """Any picture array to (H, W, 3) RGB.

    Args:
        frame: (H, W), (H, W, C) or (C, H, W) with C 1, 3 or 4, uint8, or float in [0, 1] with
            C 3 or 4. The fourth channel must be opaque, and is dropped.
        where: what errors begin with.

    Raises:
        DatasetError: if it is no such picture: depth, stacked frames, other ranges.
    """
    other = "choose another camera with --camera, or write it as 8-bit RGB first"
    if frame.ndim == 2:
        frame = frame[..., None]
    if frame.ndim == 3 and frame.shape[-1] not in CHANNELS and frame.shape[0] in CHANNELS:
        frame = np.moveaxis(frame, 0, -1)
    if frame.ndim != 3 or frame.shape[-1] not in CHANNELS:
        stacked = " (several pictures in one?)" if frame.ndim == 3 else ""
        raise DatasetError(
            f"{where}: frames have shape {frame.shape}{stacked}, not (height, width, 3); {other}"
        )
    if frame.dtype != np.uint8:
        if frame.dtype.kind != "f" or frame.shape[-1] == 1:
            raise DatasetError(
                f"{where}: frames are {frame.dtype}, not uint8 pictures of 0 to 255 (depth?); "
                f"{other}"
            )
        if not (frame.min() >= 0 and frame.max() <= 1):
            raise DatasetError(
                f"{where}: frames are {frame.dtype} from {frame.min():g} to {frame.max():g}, not "
                f"in [0, 1]; {other}"
            )
        frame = np.rint(frame * 255.0).astype(np.uint8)
    if frame.shape[-1] == 4 and (frame[..., 3] != 255).any():
        raise DatasetError(
            f"{where}: frames have four channels of which the last is not opaque (255 all over): "
            f"stacked greys, or transparent; {other}"
        )
    if frame.shape[-1] == 1:
        frame = np.repeat(frame, 3, axis=-1)
    return np.ascontiguousarray(frame[..., :3])


def refuse_stack(before: NDArray[Any] | None, frame: NDArray[Any], where: str) -> None:
    """Refuse three grey pictures in a row that pass for the colours of one.

    Args:
        before: the picture before this one, if there is one.
        frame: as a log has it; (H, W, 3) or (3, H, W) are looked at.
        where: what errors begin with.

    Raises:
        DatasetError: if two of its channels are those of the picture before, moved by one.
    """
    if before is None or frame.ndim != 3 or frame.shape != before.shape:
        return
    if frame.shape[-1] != 3 and frame.shape[0] == 3:
        before, frame = np.moveaxis(before, 0, -1), np.moveaxis(frame, 0, -1)
    if frame.shape[-1] != 3 or np.array_equal(frame[..., 1:], frame[..., :2]):  # of one grey
        return
    newest_last = np.array_equal(before[..., 1:], frame[..., :2])
    if newest_last or np.array_equal(before[..., :2], frame[..., 1:]):
        raise DatasetError(
            f"{where}: the three channels are greys of three frames in a row, not red, green and "
            "blue; write each frame as one 8-bit picture first"
        )


def open_picture(source: bytes | Path) -> NDArray[Any]:
    """A picture file as an array: RGB of what has 8 bits, upright; else its own numbers.

    Raises:
        OSError: if it is missing or no picture.
    """
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as picture:
        if picture.mode not in EIGHT_BITS:
            return np.array(picture)
        upright = ImageOps.exif_transpose(picture)
        return np.array(upright.convert("RGB"), np.uint8)


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
