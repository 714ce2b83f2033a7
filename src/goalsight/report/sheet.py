"""A sheet of pictures: named rows and columns, for what people would rather look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from goalsight.report.pixels import Frames

_GAP, _HEAD, _FONT, _LEFT = 4, 24, 14, 108
_PAPER, _INK = (255, 255, 255), (40, 44, 52)


def sheet(rows: Mapping[str, Sequence[Frames]], heads: Sequence[str]) -> Image.Image:
    """Lay pictures out in rows.

    Args:
        rows: name of each row and its (H, W, 3) uint8 pictures, one a column, all of one size.
        heads: name of each column.

    Returns:
        An RGB picture.

    Raises:
        ValueError: if a row has not one picture a column, or pictures differ in size.
    """
    tiles = [tile for pictures in rows.values() for tile in pictures]
    shapes = {tile.shape for tile in tiles}
    if len(shapes) != 1 or any(len(pictures) != len(heads) for pictures in rows.values()):
        raise ValueError(
            f"a sheet has one picture of one size for each of {len(heads)} columns in every row, "
            f"got rows of {[len(pictures) for pictures in rows.values()]} and sizes {shapes}"
        )
    height, width = tiles[0].shape[:2]
    across, down = width + _GAP, height + _GAP
    size = (_LEFT + len(heads) * across, _HEAD + len(rows) * down)
    page = Image.new("RGB", size, _PAPER)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(_FONT)
    for column, head in enumerate(heads):
        centre = (_LEFT + column * across + width // 2, _HEAD // 2)
        draw.text(centre, head, fill=_INK, font=font, anchor="mm")
    for row, (name, pictures) in enumerate(rows.items()):
        top = _HEAD + row * down
        draw.text((_LEFT - 8, top + height // 2), name, fill=_INK, font=font, anchor="rm")
        for column, tile in enumerate(pictures):
            page.paste(Image.fromarray(np.ascontiguousarray(tile)), (_LEFT + column * across, top))
    return page
