"""Where each episode of a LeRobot dataset lies: files, rows, and times in the video."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from goalsight.data.format import INFO
from goalsight.errors import DatasetError
from goalsight.io import inside, read_text

NAME = "episode_name"
"""Column (v3.0) or key (v2.1) of an episode's name; LeRobot itself only numbers them."""


@dataclass(frozen=True)
class Entry:
    """One episode."""

    number: int
    """`episode_index`."""
    name: str
    """Its name."""
    length: int
    """Rows."""
    tasks: tuple[str, ...]
    """What was to be done."""
    data: Path
    """Parquet that holds the rows, perhaps with those of other episodes."""
    video: Path | None
    """mp4 that holds the frames, perhaps with those of other episodes; None for pictures."""
    start: float
    """Time of the first frame in it [s]."""
    alone: bool
    """Whether the video holds nothing else."""


def read_index(path: Path, info: Mapping[str, Any], camera: str | None) -> list[Entry]:
    """All episodes in order.

    Args:
        path: folder of the dataset.
        info: its `meta/info.json`.
        camera: key of the video, None for pictures in the parquet.

    Raises:
        DatasetError: if the metadata is missing or does not fit together.
    """
    try:
        if str(info["codebase_version"]).startswith("v2"):
            entries = _read_v2(path, info, camera)
        else:
            entries = _read_v3(path, info, camera)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DatasetError(
            f"{path / 'meta'}: the list of episodes is damaged ({error!r})"
        ) from None
    total = info.get("total_episodes")
    if not entries or len(entries) != total:
        raise DatasetError(
            f"{path / 'meta'} lists {len(entries)} episodes where info.json counts {total}"
        )
    return entries


def read_parquet(path: Path) -> pa.Table:
    """A whole parquet file.

    Raises:
        DatasetError: if it is missing or unreadable.
    """
    try:
        with pq.ParquetFile(path) as file:
            return file.read(use_threads=False)
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing") from None
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise DatasetError(f"{path} cannot be read as parquet ({reason})") from None


def _read_v2(path: Path, info: Mapping[str, Any], camera: str | None) -> list[Entry]:
    listing = path / "meta" / "episodes.jsonl"
    entries = []
    for line in _lines(listing):
        number = int(line["episode_index"])
        place = {"episode_chunk": number // int(info["chunks_size"]), "episode_index": number}
        video = None
        if camera is not None:
            video = _file(path, info, "video_path", video_key=camera, **place)
        entries.append(
            Entry(
                number=number,
                name=str(line.get(NAME, f"episode_{number:06d}")),
                length=int(line["length"]),
                tasks=tuple(line.get("tasks", ())),
                data=_file(path, info, "data_path", **place),
                video=video,
                start=0.0,
                alone=True,
            )
        )
    return entries


def _lines(path: Path) -> list[dict[str, Any]]:
    text = read_text(path, error=DatasetError)
    try:
        return [json.loads(line) for line in text.splitlines() if line]
    except ValueError as error:
        raise DatasetError(f"{path} cannot be read: {error}") from None


def _read_v3(path: Path, info: Mapping[str, Any], camera: str | None) -> list[Entry]:
    files = sorted((path / "meta" / "episodes").rglob("*.parquet"))
    if not files:
        raise DatasetError(f"{path / 'meta/episodes'} has no parquet file")
    rows: list[dict[str, Any]] = []
    for file in files:
        table = read_parquet(file)
        wanted = [name for name in table.column_names if not name.startswith("stats/")]
        rows += table.select(wanted).to_pylist()
    rows.sort(key=lambda row: int(row["episode_index"]))
    videos = Counter(_video_place(row, camera) for row in rows) if camera else Counter()
    return [_v3_entry(path, info, row, camera, videos) for row in rows]


def _v3_entry(
    path: Path,
    info: Mapping[str, Any],
    row: Mapping[str, Any],
    camera: str | None,
    videos: Mapping[tuple[int, int], int],
) -> Entry:
    number = int(row["episode_index"])
    data = _file(
        path,
        info,
        "data_path",
        chunk_index=int(row["data/chunk_index"]),
        file_index=int(row["data/file_index"]),
    )
    video, start, alone = None, 0.0, False
    if camera is not None:
        chunk, file = _video_place(row, camera)
        video = _file(
            path, info, "video_path", video_key=camera, chunk_index=chunk, file_index=file
        )
        start = float(row[f"videos/{camera}/from_timestamp"])
        alone = videos[(chunk, file)] == 1 and start == 0
    return Entry(
        number=number,
        name=str(row.get(NAME) or f"episode_{number:06d}"),
        length=int(row["length"]),
        tasks=tuple(row.get("tasks") or ()),
        data=data,
        video=video,
        start=start,
        alone=alone,
    )


def _file(path: Path, info: Mapping[str, Any], field: str, **values: int | str) -> Path:
    """The file that a template of `info.json` names; never one outside of the dataset."""
    name = str(info[field]).format(**values)
    return inside(path, name, source=path / INFO, field=field, nested=True, error=DatasetError)


def _video_place(row: Mapping[str, Any], camera: str) -> tuple[int, int]:
    return int(row[f"videos/{camera}/chunk_index"]), int(row[f"videos/{camera}/file_index"])
