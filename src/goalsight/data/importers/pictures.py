"""Pictures of any log to square RGB: what is no picture of colours or greys is refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from goalsight.errors import DatasetError

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
