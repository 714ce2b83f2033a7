"""A rollout as one picture: some of its frames in a row, the goal beside the last."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from goalsight.report.pixels import Frames, check_frames, enlarge, spread

TILE = 256
"""Least side of a frame in the strip [pixels]; smaller frames are enlarged smoothly."""
_GAP, _CAPTION, _FONT = 6, 34, 22
_PAPER, _INK, _ACCENT = (255, 255, 255), (40, 44, 52), (214, 73, 40)


def filmstrip(
    frames: Frames, goal: Frames, times_s: Sequence[float], *, count: int = 8
) -> Image.Image:
    """Lay out at most `count` frames, first and last included, and the goal at the right.

    Args:
        frames: (T, H, W, 3) uint8 pictures of the rollout.
        goal: (H, W, 3) uint8 goal image, framed in colour, or (G, H, W, 3) several in their order.
        times_s: T times [s], the captions.
        count: frames shown.

    Returns:
        An RGB picture; frames below 256 pixels are enlarged smoothly.

    Raises:
        ValueError: if shapes disagree or there is not one time a frame.
    """
    check_frames(frames, goal)
    if len(times_s) != len(frames):
        raise ValueError(f"one time a frame: got {len(times_s)} times, {len(frames)} frames")
    chosen = spread(len(frames), count)
    goals = goal[None] if goal.ndim == 3 else goal
    tiles = np.stack([enlarge(tile, TILE) for tile in (*frames[chosen], *goals)])
    captions = [f"{times_s[i]:.1f} s" for i in chosen]
    captions += [f"goal {i + 1}" for i in range(len(goals))] if len(goals) > 1 else ["goal"]
    height, width = tiles.shape[1:3]
    right = len(chosen) * (width + _GAP) + 4 * _GAP  # the goals stand a little apart
    size = (right + len(goals) * (width + 2 * _GAP), height + _CAPTION + 2 * _GAP)
    strip = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(_FONT)
    for i, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        is_goal = i >= len(chosen)
        after = right + (i - len(chosen)) * (width + 2 * _GAP)
        left = after if is_goal else _GAP + i * (width + _GAP)
        if is_goal:
            edge = (left - 2, _GAP - 2, left + width + 1, _GAP + height + 1)
            draw.rectangle(edge, outline=_ACCENT, width=2)
        strip.paste(Image.fromarray(tile), (left, _GAP))
        centre = (left + width // 2, _GAP + height + _CAPTION // 2 + 2)
        colour = _ACCENT if is_goal else _INK
        draw.text(centre, caption, fill=colour, font=font, anchor="mm")
    return strip


def write_filmstrip(
    path: Path, frames: Frames, goal: Frames, times_s: Sequence[float], *, count: int = 8
) -> None:
    """Write `filmstrip` as a PNG.

    Args:
        path: file to write.
        frames: (T, H, W, 3) uint8.
        goal: (H, W, 3) or (G, H, W, 3) uint8.
        times_s: T times [s].
        count: frames shown.

    Raises:
        ValueError: as `filmstrip`.
    """
    filmstrip(frames, goal, times_s, count=count).save(path, format="PNG", optimize=True)
