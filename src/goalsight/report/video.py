"""A rollout as a small mp4 that every browser plays, with the goal beside it."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import numpy as np

from goalsight.io import replace_file
from goalsight.report.pixels import Frames, check_frames, enlarge

SIDE = 256
"""Least side of a frame in a video [pixels]; smaller frames are enlarged smoothly."""
_GAP, _PAPER = 8, 160  # pixels, grey: visible on light and dark pages


def encode_video(
    frames: Frames, fps: float, *, goal: Frames | None = None, side: int = SIDE
) -> bytes:
    """Encode frames as h264 in mp4.

    4:2:0 chroma is what browsers play; enlarging first keeps a small red cube red.

    Args:
        frames: (T, H, W, 3) uint8.
        fps: frames per second.
        goal: (H, W, 3) uint8, shown at the right of every frame, or (T, H, W, 3), one a frame;
            None shows the rollout alone.
        side: least side of a frame in the video [pixels].

    Returns:
        The bytes of the mp4.

    Raises:
        ValueError: if shapes disagree or fps is not positive.
    """
    import av

    check_frames(frames, goal)
    if fps <= 0:
        raise ValueError(f"fps must be positive, got {fps}")
    if goal is not None and goal.ndim == 4 and len(goal) != len(frames):
        raise ValueError(f"one goal a frame: got {len(goal)} goals, {len(frames)} frames")
    goals = [goal] * len(frames) if goal is None or goal.ndim == 3 else list(goal)
    shown = [
        _beside(enlarge(frame, side), beside, side)
        for frame, beside in zip(frames, goals, strict=True)
    ]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=_rate(fps))
        stream.height, stream.width = shown[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "20", "preset": "veryfast", "threads": "1"}
        for picture in shown:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def write_video(
    path: Path, frames: Frames, fps: float, *, goal: Frames | None = None, side: int = SIDE
) -> None:
    """Write `encode_video` to a file.

    Args:
        path: file to write, ending in `.mp4`.
        frames: (T, H, W, 3) uint8.
        fps: frames per second.
        goal: shown beside the rollout as in `encode_video`, or None.
        side: least side of a frame in the video [pixels].

    Raises:
        ValueError: as `encode_video`.
    """
    replace_file(path, encode_video(frames, fps, goal=goal, side=side))


def _rate(fps: float) -> Fraction:
    """Frames per second as the ratio that containers store."""
    return Fraction(fps).limit_denominator(1000)


def _beside(frame: Frames, goal: Frames | None, side: int) -> Frames:
    """One picture of the video: the frame, the goal at its right, even sides as h264 wants."""
    if goal is not None:
        gap = np.full((frame.shape[0], _GAP, 3), _PAPER, np.uint8)
        frame = np.concatenate([frame, gap, enlarge(goal, side)], axis=1)
    height, width = frame.shape[:2]
    padding = ((0, height % 2), (0, width % 2), (0, 0))
    return np.ascontiguousarray(np.pad(frame, padding, mode="edge"))
