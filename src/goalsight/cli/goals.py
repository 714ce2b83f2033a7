"""What a user shows as a goal: pictures from files, and the part of them that counts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from goalsight.agent.regions import Box

CHANGE: Literal["change"] = "change"
"""The region that is not drawn but found: what differs between the first picture and the goal."""


def read_goals(paths: Sequence[Path], size: int) -> NDArray[np.uint8]:
    """Goal images from files, (G, size, size, 3); each as `read_goal`."""
    return np.stack([read_goal(path, size) for path in paths])


def read_goal(path: Path, size: int) -> NDArray[np.uint8]:
    """A goal image from a file.

    Args:
        path: of a picture in any format Pillow reads.
        size: height and width the model sees [pixels].

    Returns:
        (size, size, 3) uint8; resized and converted to RGB with a warning where needed.

    Raises:
        ImageError: if there is no such file or it is no picture.
    """
    from PIL import Image, UnidentifiedImageError

    from goalsight.errors import ImageError

    try:
        with Image.open(path) as opened:
            image: Image.Image = opened.copy()
    except FileNotFoundError:
        raise ImageError(f"no goal image at {path}; give the path of a picture") from None
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError(f"{path} cannot be read as a picture: {error}") from None
    if image.mode != "RGB":
        _warn(f"goal image is {image.mode}, converted to RGB")
        image = image.convert("RGB")
    if image.size != (size, size):
        _warn(f"goal image is {image.width}x{image.height}, resized to {size}x{size}")
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    return np.array(image)  # writable: PyTorch warns of anything else


def parse_region(text: str) -> Box | Literal["change"] | None:
    """The part of the goal image that counts, as it is typed.

    Args:
        text: `x0,y0,x1,y1` [pixels], `change`, or nothing for all of it.

    Raises:
        UserError: for anything else.

    >>> parse_region("8,16,40,48"), parse_region("change"), parse_region("")
    ((8, 16, 40, 48), 'change', None)
    """
    from goalsight.errors import UserError

    if text.strip() in {"", CHANGE}:
        return CHANGE if text.strip() else None
    try:
        x0, y0, x1, y1 = (int(value) for value in text.split(","))
    except ValueError:
        raise UserError(
            f"--goal-region takes x0,y0,x1,y1 in pixels, or change; got {text!r}"
        ) from None
    return x0, y0, x1, y1


def _warn(text: str) -> None:
    print(f"goalsight: warning: {text}", file=sys.stderr)
