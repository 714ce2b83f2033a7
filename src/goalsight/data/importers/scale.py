"""Actions in a log's own units to [-1, 1] and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ActionScale:
    """Bounds of an action, by which it is scaled: `low` becomes -1 and `high` becomes 1.

    An axis whose bounds agree is only moved, so that it becomes 0.

    >>> scale = ActionScale((0.0,), (4.0,))
    >>> scale.to_unit(np.array([[1.0]])).tolist(), scale.from_unit(np.array([[-0.5]])).tolist()
    ([[-0.5]], [[1.0]])
    """

    low: tuple[float, ...]
    """(A,) in the log's own units."""
    high: tuple[float, ...]
    """(A,)."""

    def __post_init__(self) -> None:
        if len(self.low) != len(self.high) or not np.isfinite([*self.low, *self.high]).all():
            raise ValueError(f"bounds must be as many finite numbers, got {self.low}, {self.high}")
        if any(high < low for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError(f"an upper bound is under its lower one: {self.low}, {self.high}")

    @classmethod
    def of(cls, low: Sequence[float] | Array, high: Sequence[float] | Array) -> ActionScale:
        """From any sequences of numbers."""
        return cls(tuple(map(float, low)), tuple(map(float, high)))

    @property
    def is_identity(self) -> bool:
        """Whether the log's own units are [-1, 1] already."""
        return all(low == -1 for low in self.low) and all(high == 1 for high in self.high)

    def to_unit(self, actions: NDArray[Any]) -> NDArray[np.float32]:
        """(L, A) actions within the bounds to [-1, 1]."""
        scaled = (actions.astype(np.float64) - self._middle) / self._half
        return np.clip(scaled, -1, 1).astype(np.float32)

    def from_unit(self, actions: NDArray[Any]) -> NDArray[np.float32]:
        """(L, A) actions in [-1, 1] to the log's own units; undoes `to_unit` but for rounding."""
        return (actions.astype(np.float64) * self._half + self._middle).astype(np.float32)

    def outside(self, actions: NDArray[Any]) -> tuple[int, int] | None:
        """Row and axis of the first action beyond the bounds, or None."""
        reach = 1e-6 * self._half
        beyond = (actions < np.array(self.low) - reach) | (actions > np.array(self.high) + reach)
        if not beyond.any():
            return None
        row, axis = np.argwhere(beyond)[0].tolist()
        return row, axis

    @property
    def _middle(self) -> Array:
        middle: Array = (np.array(self.low) + np.array(self.high)) / 2
        return middle

    @property
    def _half(self) -> Array:
        half = (np.array(self.high) - np.array(self.low)) / 2
        safe: Array = np.where(half > 0, half, 1.0)
        return safe
