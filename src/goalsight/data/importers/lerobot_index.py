"""Where each episode of a LeRobot dataset lies: files, rows, and times in the video."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from string import Formatter
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
    before: int = 0
    """Rows of the episodes that lie before it in the video."""
    shared: int = 0
    """Rows of all episodes in the video, its own among them."""
    overlaps: str = ""
    """Name of another episode that is said to lie at the same place of the video."""

    @property
    def alone(self) -> bool:
        """Whether the video holds nothing else, as far as the list says."""
        return self.shared == self.length and self.start == 0


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
    if not entries:
        raise DatasetError(f"{path / 'meta'} lists no episodes")
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
    for line in sorted(_lines(listing), key=lambda line: int(line["episode_index"])):
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
                tasks=_words(line.get("tasks")),
                data=_file(path, info, "data_path", **place),
                video=video,
                start=0.0,
                shared=int(line["length"]),
            )
        )
    return entries


def _lines(path: Path) -> list[dict[str, Any]]:
    text = read_text(path, error=DatasetError)
    try:
        # `splitlines` would also cut at U+2028 and its like, which JSON may hold as they are.
        lines = text.removeprefix("\ufeff").split("\n")
        return [json.loads(line) for line in lines if line.strip()]
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
    entries = [_v3_entry(path, info, row, camera) for row in rows]
    return entries if camera is None else _placed(entries, float(info["fps"]))


def _v3_entry(
    path: Path, info: Mapping[str, Any], row: Mapping[str, Any], camera: str | None
) -> Entry:
    number = int(row["episode_index"])
    data = _file(
        path,
        info,
        "data_path",
        chunk_index=int(row["data/chunk_index"]),
        file_index=int(row["data/file_index"]),
    )
    video, start = None, 0.0
    if camera is not None:
        video = _file(
            path,
            info,
            "video_path",
            video_key=camera,
            chunk_index=int(row[f"videos/{camera}/chunk_index"]),
            file_index=int(row[f"videos/{camera}/file_index"]),
        )
        start = float(row[f"videos/{camera}/from_timestamp"])
    return Entry(
        number=number,
        name=str(row.get(NAME) or f"episode_{number:06d}"),
        length=int(row["length"]),
        tasks=_words(row.get("tasks")),
        data=data,
        video=video,
        start=start,
    )


def _file(path: Path, info: Mapping[str, Any], field: str, **values: int | str) -> Path:
    """The file that a template of `info.json` names; never one outside of the dataset."""
    template = str(info[field])
    for _, wanted, _, _ in Formatter().parse(template):
        if wanted is not None and wanted not in values:  # such as {episode_index.real}
            raise KeyError(f"{field} names {{{wanted}}}")
    name = template.format(**values)
    return inside(path, name, source=path / INFO, field=field, nested=True, error=DatasetError)


def _placed(entries: list[Entry], fps: float) -> list[Entry]:
    """The same entries, each with what lies before and over it in its video."""
    videos: dict[Path | None, list[int]] = {}
    for place, entry in enumerate(entries):
        videos.setdefault(entry.video, []).append(place)
    placed = list(entries)
    for places in videos.values():
        places.sort(key=lambda place: entries[place].start)
        shared = sum(entries[place].length for place in places)
        before, last = 0, None
        for place in places:
            entry = entries[place]
            over = ""
            if last is not None and last.start + (last.length - 1) / fps > entry.start:
                over = last.name
            placed[place] = replace(entry, before=before, shared=shared, overlaps=over)
            before, last = before + entry.length, entry
    return placed


def _words(tasks: object) -> tuple[str, ...]:
    """What was to be done, of a list or of one text."""
    if isinstance(tasks, str):
        return (tasks,)
    return tuple(str(task) for task in tasks) if isinstance(tasks, list | tuple) else ()
