"""The line that each episode has in `meta/goalsight_episodes.jsonl`: what must be on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goalsight.errors import DatasetError
from goalsight.io import seal, unseal

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True)
class EpisodeRecord:
    """One line of `meta/goalsight_episodes.jsonl`: what must be found on disk."""

    episode: int
    """Index from 0."""
    length: int
    """Control steps, rows of the parquet."""
    frames: int
    """Frames in the video (or the cache file with `video: none`)."""
    data_sha256: str
    """Of the parquet."""
    frames_sha256: str
    """Of the mp4, or of the cache file with `video: none`."""
    policy: str | None = None
    """Who acted, where that differs from episode to episode; else see `Provenance.policy`."""
    origin: int | None = None
    """Index that the seed made it from, where that is no longer `episode`: bad ones were taken
    out before it."""

    goal: dict[str, Any] | None = None
    """Of a goal-seeking policy's episode: `image_sha256`, `is_success` and `frame`, see
    `goalsight.data.episode.Goal`; left out elsewhere."""

    other_sha256: dict[str, str] | None = None
    """What `frames_sha256` is, for cameras beside the main one, by name."""
    factors: dict[str, Any] | None = None
    """Factors of variation that were not nominal in this episode."""
    env: str | None = None
    """Gymnasium id, where that differs from episode to episode; else see `Provenance.env`."""

    def sha256_of(self, camera: str) -> str:
        """Checksum of a camera's frames."""
        return (self.other_sha256 or {}).get(camera, self.frames_sha256)

    def to_json(self) -> dict[str, Any]:
        """As plain values; what is optional and absent is left out."""
        return without_absent(self)

    def to_line(self) -> str:
        """As the sealed line of `meta/goalsight_episodes.jsonl`."""
        return json.dumps(seal(self.to_json())) + "\n"

    @classmethod
    def from_line(cls, line: str, path: Path) -> EpisodeRecord:
        """Read what `to_line` gave.

        Raises:
            DatasetError: if the line is damaged.
        """
        try:
            value = json.loads(line)
        except ValueError as error:
            raise DatasetError(f"{path} cannot be read: {error}") from None
        if not isinstance(value, dict):
            raise DatasetError(f"{path} cannot be read: a line is not a JSON object")
        content = unseal(value, path, error=DatasetError)
        wrong = wrong_names(cls, content)
        if wrong:
            raise DatasetError(
                f"{path} cannot be read: missing or unknown fields: {', '.join(wrong)}"
            )
        length = content["length"]
        if not isinstance(length, int) or length < 1:
            raise DatasetError(f"{path}: length must be a number above 0, got {length!r}")
        return cls(**content)


def without_absent(value: DataclassInstance) -> dict[str, Any]:
    """Fields as plain values, without the optional ones that are None."""
    optional = {field.name for field in fields(value) if field.default is None}
    plain = asdict(value).items()
    return {name: item for name, item in plain if item is not None or name not in optional}


def wrong_names(kind: type[DataclassInstance], value: Mapping[str, Any]) -> list[str]:
    """Names that are missing or that nobody knows, sorted."""
    known = {field.name for field in fields(kind)}
    needed = {field.name for field in fields(kind) if field.default is MISSING}
    return sorted((set(value) - known) | (needed - set(value)))
