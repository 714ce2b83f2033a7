"""What a user shows as a goal: pictures from files, and the part of them that counts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from goalsight.agent import AgentConfig
    from goalsight.agent.regions import Box


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


def with_region(text: str, config: AgentConfig) -> tuple[Box | None, AgentConfig]:
    """The part of the goal image that counts, as it is typed.

    Args:
        text: `x0,y0,x1,y1` [pixels]; `change` for what differs between the first picture and the
            goal; nothing for what the settings say.
        config: of the agent, as the settings make it.

    Returns:
        The box that is drawn, if any, and the agent's config.

    Raises:
        UserError: for any other text.
    """
    from goalsight.errors import UserError

    if not text.strip():
        return None, config
    if text.strip() == "change":
        return None, replace(config, cost=replace(config.cost, region="change"))
    try:
        x0, y0, x1, y1 = (int(value) for value in text.split(","))
    except ValueError:
        raise UserError(
            f"--goal-region takes x0,y0,x1,y1 in pixels, or change; got {text!r}"
        ) from None
    return (x0, y0, x1, y1), config


def _warn(text: str) -> None:
    print(f"goalsight: warning: {text}", file=sys.stderr)
