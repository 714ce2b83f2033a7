"""Frames to mp4 and back. PyAV and decord are imported where they are used, never before.

Encoder settings: H.264 with a key frame every 8 (short seeks), crf 20, no B-frames, and full
chroma: at 64 pixels the usual 4:2:0 halves the colour resolution of a 9-pixel cube.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from goalsight.errors import DatasetError, UserError

if TYPE_CHECKING:
    from av import VideoFrame
    from av.error import FFmpegError
    from av.video.stream import VideoStream

Frames = NDArray[np.uint8]
Reader = Literal["auto", "decord", "pyav"]

ENCODER = {"preset": "ultrafast", "g": "8", "crf": "20", "bf": "0", "threads": "1"}
"""x264 options. One thread: the bytes must not depend on the number of cores. The fastest
preset, because encoding is the largest cost of collection after the simulation itself."""


class VideoWriter:
    """An mp4 that grows frame by frame, so that an episode need not be held in memory."""

    def __init__(self, path: Path, size: int, fps: float) -> None:
        """Open the file.

        Args:
            path: mp4 to write; replaced if it is there.
            size: height and width [pixels].
            fps: frames per second.

        Raises:
            UserError: if PyAV is not installed.
            OSError: if the disk is full.
        """
        av = import_av()
        from fractions import Fraction

        self._av, self._path, self._packets = av, path, 0
        self.frames = 0
        """Frames added so far."""
        try:
            self._container = av.open(
                str(path), "w", format="mp4", options={"movflags": "faststart"}
            )
            rate = Fraction(fps).limit_denominator(10_000)
            self._stream: VideoStream = self._container.add_stream(
                "libx264", rate=rate, options=dict(ENCODER)
            )
        except av.error.FFmpegError as error:
            raise _as_os_error(error, path) from error
        self._stream.width = self._stream.height = size
        self._stream.pix_fmt = "yuv444p"
        self._stream.thread_count = 1

    def add(self, frame: Frames) -> None:
        """Append one (H, W, 3) RGB frame."""
        self._mux(self._av.VideoFrame.from_ndarray(frame, format="rgb24"))
        self.frames += 1

    def close(self) -> None:
        """Finish the file.

        Raises:
            OSError: if the disk is full.
        """
        self._mux(None)
        try:
            self._container.close()
        except self._av.error.FFmpegError as error:
            raise _as_os_error(error, self._path) from error
        assert self._packets == self.frames, "the encoder must give one packet a frame"

    def abandon(self) -> None:
        """Close and delete what there is."""
        # It is deleted next, and why it could not be finished is already being reported.
        with suppress(self._av.error.FFmpegError, OSError):
            self._container.close()
        self._path.unlink(missing_ok=True)

    def _mux(self, frame: VideoFrame | None) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
                self._packets += 1
        except self._av.error.FFmpegError as error:
            raise _as_os_error(error, self._path) from error


def read_video(path: Path, frames: int, reader: Reader = "auto") -> Frames:
    """Decode a whole video.

    decord accepts a truncated file without a word, hence the count, and refuses some picture
    sizes (48 and 96 among them; decord2 3.4), hence the second reader.

    Args:
        path: mp4.
        frames: how many there must be.
        reader: `decord`, `pyav`, or `auto`: decord, and PyAV where that is not installed or fails.

    Returns:
        (T, H, W, 3) RGB.

    Raises:
        DatasetError: if the file is missing, unreadable, or has another number of frames.
    """
    if not path.is_file():
        raise DatasetError(f"{path} is missing; collect the dataset again")
    decoded = None if reader == "pyav" else _read_with_decord(path, required=reader == "decord")
    if decoded is None:
        decoded = _read_with_av(path)
    if len(decoded) != frames:
        raise DatasetError(
            f"{path} has {len(decoded)} frames where {frames} were recorded; it is damaged or "
            "not the file that was written: restore it or collect the dataset again"
        )
    return decoded


def count_frames(path: Path) -> int:
    """Frames that can be decoded, whatever the header says.

    Decodes with PyAV up to the first damage: decord repeats frames in place of missing ones.

    Raises:
        DatasetError: if there is no video in the file.
    """
    av = import_av()
    frames = 0
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_count = 1
            with suppress(av.error.FFmpegError):  # the end of what can be decoded
                for _ in container.decode(stream):
                    frames += 1
    except (av.error.FFmpegError, IndexError) as error:
        raise unreadable(path, error) from error
    return frames


def frame_rate(path: Path) -> float:
    """Frames per second that a video says it has.

    Raises:
        DatasetError: if there is no video in the file.
    """
    av = import_av()
    try:
        with av.open(str(path)) as container:
            return float(container.streams.video[0].average_rate or 0)
    except (av.error.FFmpegError, IndexError) as error:
        raise unreadable(path, error) from error


def _read_with_decord(
    path: Path, required: bool, rows: NDArray[np.int64] | None = None
) -> Frames | None:
    """All frames or those asked for, (T, H, W, 3), or None if another reader should try."""
    # PyAV first: both bring an FFmpeg of their own, and where decord's is loaded first PyAV writes
    # with that one, so that the bytes of a video would depend on what was read before.
    with suppress(ImportError):
        import av  # noqa: F401
    try:
        import decord
    except ImportError:
        if required:
            raise UserError("decord is not installed; pip install decord2") from None
        return None
    try:
        video = decord.VideoReader(str(path), num_threads=1)
        wanted = np.arange(len(video)) if rows is None else rows
        decoded: Frames = video.get_batch(wanted).asnumpy()
    except (decord.DECORDError, RuntimeError, IndexError) as error:
        if required:
            raise unreadable(path, error) from error
        return None
    return decoded


def _read_with_av(path: Path) -> Frames:
    """(T, H, W, 3)."""
    av = import_av()
    from av.video.reformatter import VideoReformatter

    try:
        with av.open(str(path)) as container:
            # One thread and one converter for all frames: three times faster on small pictures.
            container.streams.video[0].thread_count = 1
            convert = VideoReformatter().reformat
            decoded = container.decode(video=0)
            frames = [convert(frame, format="rgb24").to_ndarray() for frame in decoded]
    except (av.error.FFmpegError, IndexError) as error:
        raise unreadable(path, error) from error
    return np.stack(frames) if frames else np.empty((0, 0, 0, 3), np.uint8)


def read_frames_at(path: Path, rows: NDArray[np.int64], reader: Reader = "auto") -> Frames:
    """Decode some frames of a video, from the nearest key frames on.

    Args:
        path: mp4 whose frames are evenly spaced.
        rows: (n,) numbers of the frames, in any order.
        reader: as for `read_video`.

    Returns:
        (n, H, W, 3) RGB.

    Raises:
        DatasetError: if the file is missing, unreadable, or too short.
    """
    if not path.is_file():
        raise DatasetError(f"{path} is missing; collect the dataset again")
    found = None
    if reader != "pyav":
        found = _read_with_decord(path, required=reader == "decord", rows=rows)
    return _pick_with_av(path, rows) if found is None else found


def _pick_with_av(path: Path, rows: NDArray[np.int64]) -> Frames:
    """Frames by number: seek to before the first of them, decode up to the last."""
    av = import_av()
    from av.video.reformatter import VideoReformatter

    wanted, found = set(rows.tolist()), {}
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_count = 1
            step = 1 / (stream.average_rate * stream.time_base)
            container.seek(int(min(wanted) * step), stream=stream, backward=True)
            convert = VideoReformatter().reformat
            for frame in container.decode(stream):
                number = round(frame.pts / step)
                if number in wanted:
                    found[number] = convert(frame, format="rgb24").to_ndarray()
                if number >= max(wanted):
                    break
    except (av.error.FFmpegError, IndexError, TypeError, ZeroDivisionError) as error:
        raise unreadable(path, error) from error
    missing = sorted(wanted - set(found))
    if missing:
        raise DatasetError(f"{path} has no frame {missing[0]}; it is cut short: restore it")
    return np.stack([found[row] for row in rows.tolist()])


def unreadable(path: Path, error: Exception) -> DatasetError:
    """What to raise for a video that a library cannot read."""
    first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return DatasetError(
        f"{path} cannot be read as a video ({first_line}); restore it or collect the dataset again"
    )


def import_av() -> ModuleType:
    """PyAV with its errors.

    Raises:
        UserError: if it is not installed.
    """
    try:
        import av
        import av.error
    except ImportError:
        raise UserError(
            "PyAV is not installed; pip install av, or collect with --video none"
        ) from None
    return av


def _as_os_error(error: FFmpegError, path: Path) -> OSError:
    """FFmpeg's errors do not survive the way from a worker to its parent; the system's do."""
    number = error.errno if isinstance(error.errno, int) and error.errno > 0 else errno.EIO
    return OSError(number, os.strerror(number), str(path))
