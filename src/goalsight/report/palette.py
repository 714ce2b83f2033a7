"""How the rows of a table are told apart: by colour, dash and marker, given out in their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

COLOURS = (
    ("#2563c9", "#7db0ff"),
    ("#c2500a", "#ff9d5c"),
    ("#0b7d63", "#4fd1a5"),
    ("#8a3fb5", "#cf9bf2"),
    ("#8a6d00", "#e3c04a"),
    ("#5b6577", "#a9b4c6"),
    ("#c2255c", "#ff8fb3"),
    ("#0a7c9e", "#58cdf0"),
    ("#4d7c0f", "#a9d86a"),
    ("#84502e", "#d3a27f"),
)
"""On white and on near-black; each has at least 4.5 : 1 contrast with the page around it."""
_DASHES: tuple[tuple[float, ...], ...] = ((), (6, 2), (1.5, 1.5), (6, 2, 1.5, 2))
_MARKERS = {
    "o": "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z",
    "s": "M-2.7-2.7h5.4v5.4h-5.4z",
    "^": "M0-3.4l3.3 6h-6.6z",
    "D": "M0-3.7l3.7 3.7l-3.7 3.7l-3.7-3.7z",
    "v": "M0 3.4l3.3-6h-6.6z",
    "p": "M0-3.4l3.4 2.5l-1.3 3.9h-4.2l-1.3-3.9z",
}
"""Markers as matplotlib names them, and as the path of an SVG for the legend."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """How one row is drawn."""

    number: int
    """Place of its colour in `COLOURS`."""
    dash: tuple[float, ...]
    """Lengths of ink and gap in widths of the line; empty for an unbroken line."""
    marker: str
    """As matplotlib names it."""

    @property
    def path(self) -> str:
        """The marker as the path of an SVG, about (0, 0)."""
        return _MARKERS[self.marker]

    @property
    def colour(self) -> str:
        """The colour as CSS: the page knows it for light and for dark."""
        return f"var(--row{self.number})"

    @property
    def stand_in(self) -> str:
        """A colour to draw with where CSS is not understood; the one on white."""
        return COLOURS[self.number][0]


def looks(rows: Sequence[str]) -> dict[str, Look]:
    """A look for each row, by its place alone, so that rows nobody knew of have one, too.

    Colours repeat after ten rows, and then with other dashes.

    >>> [look.number for look in looks(["random", "agent"]).values()]
    [0, 1]
    """
    return {
        row: Look(
            number=place % len(COLOURS),
            dash=_DASHES[(place + place // len(COLOURS)) % len(_DASHES)],
            marker=list(_MARKERS)[place % len(_MARKERS)],
        )
        for place, row in enumerate(rows)
    }
