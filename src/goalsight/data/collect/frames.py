"""Where the frames of an episode go while it is recorded: one file for each camera."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from goalsight.data.format import VideoMode
from goalsight.io import npy_bytes


class FrameWriter(Protocol):
    """Where the frames of an episode go."""

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Append one (H, W, 3) frame."""

    def close(self) -> None:
        """Finish the file."""

    def abandon(self) -> None:
        """Delete the file."""


class ArrayWriter:
    """Frames as a .npy file, written at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._frames: list[NDArray[np.uint8]] = []

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Append one (H, W, 3) frame."""
        self._frames.append(frame)

    def close(self) -> None:
        """Write the file."""
        self._path.write_bytes(npy_bytes(np.stack(self._frames)))

    def abandon(self) -> None:
        """Delete the file."""
        self._path.unlink(missing_ok=True)


class FrameWriters:
    """One writer for each camera, opened, finished and given up together."""

    def __init__(self, paths: Sequence[Path], video: VideoMode, size: int, fps: float) -> None:
        """Open a file for each camera.

        Args:
            paths: the files.
            video: mp4 or arrays.
            size: height and width of the frames [pixels].
            fps: frames per second.

        Raises:
            UserError: if PyAV is not installed.
            OSError: if a file cannot be opened; none is left behind then.
        """
        self._writers: list[FrameWriter] = []
        try:
            for path in paths:
                self._writers.append(_open(path, video, size, fps))
        except BaseException:
            self.abandon()
            raise

    def add(self, frames: Sequence[NDArray[np.uint8]]) -> None:
        """Append one (H, W, 3) frame of each camera."""
        for writer, frame in zip(self._writers, frames, strict=True):
            writer.add(frame)

    def close(self) -> None:
        """Finish every file."""
        for writer in self._writers:
            writer.close()

    def abandon(self) -> None:
        """Delete every file."""
        for writer in self._writers:
            writer.abandon()


def _open(path: Path, video: VideoMode, size: int, fps: float) -> FrameWriter:
    if video == "none":
        return ArrayWriter(path)
    from goalsight.data.video import VideoWriter

    return VideoWriter(path, size, fps)
