"""What an import remembers of its log: names, units, scale."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from goalsight.data.importers.scale import ActionScale
from goalsight.errors import DatasetError
from goalsight.io import read_json, sha256

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
    """What an action is; see `goalsight.data.importers.resample`."""
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
