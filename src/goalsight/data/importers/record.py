"""What an import remembers of its log: names, units, scale."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goalsight.errors import DatasetError
from goalsight.io import read_json, sha256

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


RECORD = Path("meta/goalsight_import.json")
"""Where it is kept in a dataset."""
SCHEMA = 1
"""Version of the record."""


@dataclass(frozen=True, kw_only=True)
class ImportRecord:
    """Everything of a log that the columns of a dataset do not say."""

    schema: int = SCHEMA
    """Version of this record."""
    format: str
    """Kind of log."""
    source: str
    """Name of its file or folder."""
    camera: str
    """Key of the frames in the log."""
    recorded_hz: float
    """Rows per second in the log."""
    actions_are: str
    """What an action is; see `goalsight.data.importers.importing`."""
    fit: str
    """How pictures became square."""
    action_low: list[float]
    """(A,) what -1 stands for, in the log's own units."""
    action_high: list[float]
    """(A,) what 1 stands for."""
    bounds_from: str
    """Where these bounds come from: `given`, `declared`, `convention` or `data`."""
    episode_names: list[str]
    """Of every episode."""
    tasks: list[list[str]]
    """What was to be done in every episode, in words."""

    @property
    def scale(self) -> ActionScale:
        """Between the log's own units and [-1, 1]."""
        return ActionScale.of(self.action_low, self.action_high)

    def to_json(self) -> dict[str, Any]:
        """As plain values with their checksum: a scale that is off by a digit must not go by."""
        return asdict(self) | {"sha256": _checksum(asdict(self))}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], path: Path) -> ImportRecord:
        """Read what `to_json` gave.

        Raises:
            DatasetError: if a field is missing, unknown or changed, or the schema is not ours.
        """
        said = {name: item for name, item in value.items() if name != "sha256"}
        names = {field.name for field in fields(cls)}
        if said.get("schema") != SCHEMA or names != set(said):
            wrong = ", ".join(sorted(names ^ set(said))) or f"schema {said.get('schema')!r}"
            raise DatasetError(f"{path}: missing, unknown or of another version: {wrong}")
        if value.get("sha256") != _checksum(said):
            raise DatasetError(
                f"{path} is not what was written (its sha256 differs); restore it or import again"
            )
        return cls(**said)

    def difference(self, other: ImportRecord) -> str | None:
        """Name of the first field in which two imports differ, or None."""
        for field in fields(self):
            if getattr(self, field.name) != getattr(other, field.name):
                return field.name
        return None


def _checksum(values: Mapping[str, Any]) -> str:
    return sha256(json.dumps(values, sort_keys=True))


def read_record(dataset: Path) -> ImportRecord | None:
    """The record of an imported dataset; None for one that was collected.

    Raises:
        DatasetError: if it is damaged.
    """
    path = dataset / RECORD
    return (
        ImportRecord.from_json(read_json(path, error=DatasetError), path)
        if path.is_file()
        else None
    )
