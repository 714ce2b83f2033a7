"""Where the frames of an episode that is being recorded go."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from goalsight.data.files import npy_bytes


class FrameSink(Protocol):
    """Where the frames of an episode go."""

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Append one (H, W, 3) frame."""

    def close(self) -> None:
        """Finish the file."""

    def abandon(self) -> None:
        """Delete the file."""


class ArraySink:
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
