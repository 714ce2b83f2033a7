"""Which tokens of a video are hidden: multi-block masks over its whole length.

V-JEPA hides the same patches in every frame, since a moving scene repeats itself from frame to
frame: a block hidden for a moment could be copied from before or after (Bardes et al. 2024,
arXiv:2404.08471; Assran et al. 2025, arXiv:2506.09985).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

Grid = tuple[int, int, int]
"""Tubelets in time, rows and columns of patches."""


@dataclass(frozen=True, kw_only=True)
class MaskFamily:
    """One kind of mask."""

    blocks: int
    """Rectangles that are hidden; they may overlap."""
    area: float
    """Share of the picture that a rectangle covers."""
    aspect: tuple[float, float] = (0.75, 1.5)
    """Range of height by width of a rectangle."""

    def __post_init__(self) -> None:
        low, high = self.aspect
        if self.blocks < 1 or not 0 < self.area < 1 or not 0 < low <= high:
            raise ValueError(
                "a mask needs at least one block, an area in (0, 1) and a rising aspect above 0, "
                f"got {self.blocks}, {self.area} and {self.aspect}"
            )


FAMILIES = (MaskFamily(blocks=8, area=0.15), MaskFamily(blocks=2, area=0.7))
"""V-JEPA's two: many small blocks, and few large ones."""


@dataclass(frozen=True)
class Masks:
    """The tokens of a batch of videos, parted in two; every index once, in rising order."""

    context: Tensor
    """(B, M) indices of visible tokens, int64."""
    target: Tensor
    """(B, K) indices of hidden tokens; M + K is all there are."""

    def to(self, device: torch.device | str) -> Masks:
        """The same masks on another device."""
        return Masks(self.context.to(device), self.target.to(device))


def hidden_cells(
    batch: int, rows: int, columns: int, family: MaskFamily, generator: torch.Generator
) -> Tensor:
    """Draw the rectangles.

    Args:
        batch: B, pictures.
        rows: of patches.
        columns: of patches.
        family: how many rectangles of which kind.
        generator: source of randomness, on the CPU.

    Returns:
        (B, rows, columns) bool, true where at least one rectangle lies.
    """

    def draw(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(batch, family.blocks, generator=generator)

    aspect, cells = draw(*family.aspect), family.area * rows * columns

    def covered(length: Tensor, limit: int) -> Tensor:
        """(B, blocks, limit) whether each row, or column, belongs to a rectangle."""
        length = length.round().clamp(1, limit)
        first = (draw(0.0, 1.0) * (limit - length + 1)).floor()
        at = torch.arange(limit)
        return (at >= first[..., None]) & (at < (first + length)[..., None])

    tall, wide = covered((cells * aspect).sqrt(), rows), covered((cells / aspect).sqrt(), columns)
    return (tall[..., :, None] & wide[..., None, :]).any(dim=1)


def sample_masks(batch: int, grid: Grid, family: MaskFamily, generator: torch.Generator) -> Masks:
    """Part the tokens of a batch into visible and hidden ones.

    Every video of the batch keeps the same number of patches visible, the mean of what its
    rectangles leave, at least one: a video whose rectangles leave more loses random ones, a video
    whose rectangles leave fewer gets random ones back. So nothing is dropped and all lengths are
    equal.

    Args:
        batch: B, videos.
        grid: of each of them; at least two patches in a picture.
        family: the kind of mask.
        generator: source of randomness, on the CPU.

    Returns:
        Masks on the CPU.

    Raises:
        ValueError: if there is nothing to part.

    >>> masks = sample_masks(2, (2, 4, 4), FAMILIES[0], torch.Generator().manual_seed(0))
    >>> masks.context.shape[1] + masks.target.shape[1]
    32
    """
    depth, rows, columns = grid
    if rows * columns < 2:
        raise ValueError(
            f"a picture needs at least 2 patches to hide some, got {rows} x {columns}; "
            "use a smaller patch"
        )
    hidden = hidden_cells(batch, rows, columns, family, generator).flatten(1).float()
    mean = (1.0 - hidden).sum(dim=1).mean().round().long().item()
    visible = min(max(int(mean), 1), rows * columns - 1)
    order = (hidden + 0.5 * torch.rand(hidden.shape, generator=generator)).argsort(dim=1)
    return Masks(
        _over_time(order[:, :visible], depth, rows * columns),
        _over_time(order[:, visible:], depth, rows * columns),
    )


def _over_time(cells: Tensor, depth: int, cells_in_all: int) -> Tensor:
    """(B, C) cells to the sorted (B, depth * C) tokens at those cells."""
    start = torch.arange(depth)[:, None] * cells_in_all
    return (start + cells.sort(dim=1).values[:, None]).flatten(1)


def context_weights(masks: Masks, grid: Grid) -> Tensor:
    """How much the prediction of each visible token counts: 1 / sqrt(distance to a hidden one).

    V-JEPA 2.1 (Mur-Labadia et al. 2026, arXiv:2603.14482) predicts visible tokens as well, those
    beside the hidden ones most.

    Args:
        masks: of a batch.
        grid: of its videos.

    Returns:
        (B, M) weights in (0, 1]; distances are Euclidean, in patches.
    """
    depth, rows, columns = grid
    cells = rows * columns

    def places(tokens: Tensor) -> Tensor:
        first = tokens[:, : tokens.shape[1] // depth]  # all tubelets share their cells
        return torch.stack((first // columns, first % columns), dim=-1).float()

    assert int(masks.context[:, -1].max()) < depth * cells
    nearest = torch.cdist(places(masks.context), places(masks.target)).amin(dim=-1)
    return nearest.rsqrt().repeat(1, depth)
