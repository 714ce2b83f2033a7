"""What a user shows as a goal: pictures from files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


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


def _warn(text: str) -> None:
    print(f"goalsight: warning: {text}", file=sys.stderr)
