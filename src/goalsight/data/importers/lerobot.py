"""LeRobot datasets of version 2.0, 2.1 and 3.0 as logs.

Facts of the formats: https://huggingface.co/docs/lerobot/lerobot-dataset-v3 and its page on
porting from v2.1.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from string import Formatter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from goalsight.data import format as layout
from goalsight.data.dataset import UNREADABLE
from goalsight.data.format import INFO
from goalsight.data.importers.pictures import match_times, open_picture, pick_frames, video_facts
from goalsight.data.importers.source import (
    Frame,
    Keys,
    Log,
    LogEpisode,
    Rows,
    check_rows,
    choose_camera,
    join_columns,
    names_for,
    require_keys,
    split_keys,
)
from goalsight.errors import DatasetError
from goalsight.io import inside, read_json, read_text

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


EPISODE, FRAME, TIME = "episode_index", "frame_index", "timestamp"


class RowStore:
    """Tables of episodes, chosen by `episode_index` and ordered by `frame_index`."""

    def __init__(self, path: Path) -> None:
        """Read from a dataset's folder; nothing is opened yet."""
        self._path = path
        self._open: tuple[Path, pa.Table] | None = None
        self._files: dict[int, list[Path]] | None = None

    def take(self, entry: Entry) -> pa.Table:
        """The rows of an episode in their order.

        They are looked for in every file of the dataset if the one that the list names lacks them.

        Raises:
            DatasetError: if they are missing, too few, too many, or numbered twice.
        """
        table = self._own(entry.data, entry.number) if entry.data.is_file() else None
        where = [entry.data]
        if table is None or table.num_rows != entry.length:
            where = self.files_of(entry.number) or where
            parts = [self._own(file, entry.number) for file in where]
            table = pa.concat_tables(parts, promote_options="default")
        names = ", ".join(str(file.relative_to(self._path)) for file in where)
        if table.num_rows != entry.length:
            raise DatasetError(
                f"{self._path}: {names} has {table.num_rows} rows of {entry.name} where the list "
                f"of episodes counts {entry.length}; leave it out with --skip {entry.name}"
            )
        if FRAME not in table.column_names:
            return table
        numbers = plain(table, FRAME)
        order = np.argsort(numbers, kind="stable")
        if (np.diff(numbers[order]) == 0).any():
            raise DatasetError(
                f"{self._path}: {names} has two rows of {entry.name} with one frame_index; leave "
                f"it out with --skip {entry.name}"
            )
        return table if (np.diff(order) == 1).all() else table.take(pa.array(order))

    def files_of(self, number: int) -> list[Path]:
        """Files that hold rows of an episode, whatever the list says."""
        return self._scan().get(number, [])

    def numbers(self) -> list[int]:
        """Numbers of all episodes that have rows."""
        return sorted(self._scan())

    def _scan(self) -> dict[int, list[Path]]:
        if self._files is None:
            self._files = {}
            for file in sorted((self._path / "data").rglob("*.parquet")):
                for number in _numbers_in(file):
                    self._files.setdefault(number, []).append(file)
        return self._files

    def _own(self, file: Path, number: int) -> pa.Table:
        """Rows of one file that carry an episode's number; all where rows carry none."""
        if self._open is None or self._open[0] != file:
            self._open = (file, read_parquet(file))
        table = self._open[1]
        if EPISODE not in table.column_names:
            return table
        mine = np.flatnonzero(plain(table, EPISODE) == number)
        if len(mine) and mine[-1] - mine[0] + 1 == len(mine):
            return table.slice(int(mine[0]), len(mine))
        return table.take(pa.array(mine))


def _numbers_in(file: Path) -> list[int]:
    """Numbers of the episodes whose rows a file holds; none of a file that cannot be read."""
    try:
        table = pq.read_table(file, columns=[EPISODE])
    except UNREADABLE:  # whoever needs its rows will hear of it by name
        return []
    return [int(number) for number in np.unique(plain(table, EPISODE))] if len(table) else []


def plain(table: pa.Table, key: str) -> NDArray[Any]:
    """(N,) values of a column of numbers, or of lists of numbers one after another.

    Raises:
        DatasetError: if it holds something else, or gaps.
    """
    column = table.column(key).combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks)
    while pa.types.is_nested(column.type):
        if pa.types.is_struct(column.type):
            raise DatasetError(f"column {key!r} holds {column.type}, not numbers")
        column = column.flatten()
    if column.null_count:
        raise DatasetError(f"column {key!r} lacks {column.null_count} of its values")
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values


def row_times(table: pa.Table, fps: float, where: str, name: str) -> NDArray[np.float64]:
    """(L,) when each row of an episode was recorded, since the episode began [s].

    Raises:
        DatasetError: if they do not follow each other at the rate of the dataset.
    """
    if TIME not in table.column_names:
        if FRAME not in table.column_names:
            return np.arange(table.num_rows) / fps
        return plain(table, FRAME).astype(np.float64) / fps
    times = plain(table, TIME).astype(np.float64)
    wrong = np.flatnonzero(~(np.abs(np.diff(times) * fps - 1) <= 0.5))
    if len(wrong):
        row = int(wrong[0]) + 1
        raise DatasetError(
            f"{where}: row {row} is {times[row] - times[row - 1]:.3f} s after the one before, at "
            f"{fps:g} rows a second; rows were taken out, or the rate is another: leave the "
            f"episode out with --skip {name}"
        )
    return times


EXPORTED = Path("meta/goalsight_export.json")
"""What `goalsight data export` adds: the bounds of the actions, which LeRobot does not keep."""
PICTURES = {"video", "image"}
NUMBERS = {"float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"}


class LeRobotLog(Log):
    """A LeRobot dataset."""

    format = "lerobot"

    def __init__(self, path: Path, keys: Keys) -> None:
        """Read the metadata.

        Raises:
            DatasetError: if it is damaged, of another version, or lacks what is asked for.
        """
        self.path = path
        info = read_json(path / layout.INFO, error=DatasetError)
        version = str(info.get("codebase_version"))
        if version not in {"v2.0", "v2.1", "v3.0"}:
            raise DatasetError(
                f"{path / layout.INFO}: LeRobot version {version!r}; v2.0, v2.1 and v3.0 are read"
            )
        self._features = _features(info, path)
        cameras = [k for k, feature in self._features.items() if feature["dtype"] in PICTURES]
        self.camera = choose_camera(keys.camera, cameras, path)
        _refuse_depth(self._features[self.camera], self.camera, path)
        is_video = self._features[self.camera]["dtype"] == "video"
        self.action_key = keys.action or layout.ACTION
        numbers = [k for k, feature in self._features.items() if feature["dtype"] in NUMBERS]
        require_keys([self.action_key], numbers, "feature", path)
        self._states = _states(keys, numbers)
        self._truth = _truths(keys, numbers)
        require_keys([*self._states, *self._truth], numbers, "feature", path)
        self.action_names = self._names(self.action_key)
        self.proprio_names = [name for key in self._states for name in self._names(key)]
        self.fps = self._rate = float(info["fps"])
        self._entries = read_index(path, info, self.camera if is_video else None)
        self.episodes = [LogEpisode(e.name, e.length, e.tasks) for e in self._entries]
        self._rows = RowStore(path)
        self._check_total(info.get("total_episodes"))
        self.bounds = self._declared_bounds()
        self._own = any((path / mark).is_file() for mark in (EXPORTED, layout.PROVENANCE))

    def rows(self, index: int) -> Rows:
        """See `Log.rows`."""
        entry = self._entries[index]
        table = self._rows.take(entry)
        where = f"{entry.data}, {entry.name}"
        row_times(table, self._rate, where, entry.name)  # a gap in an episode is damage

        def read(key: str) -> NDArray[Any]:
            feature = self._features.get(key)  # a column that info.json forgets is one all the same
            return _matrix(table, key, None if feature is None else _width(feature), where)

        solved = np.zeros(entry.length, np.bool_)
        if layout.SUCCESS in table.column_names:
            solved = read(layout.SUCCESS)[:, 0].astype(np.bool_)
        states = [read(key).astype(np.float32) for key in self._states]
        rows = Rows(
            actions=read(self.action_key).astype(np.float64),
            proprio=join_columns(states, entry.length),
            success=solved,
            truth={
                key.removeprefix(layout.TRUTH_PREFIX): read(key).astype(np.float32)
                for key in self._truth
            },
        )
        return check_rows(rows, entry.length, where)

    def frames(self, index: int) -> Iterator[Frame]:
        """See `Log.frames`."""
        entry = self._entries[index]
        if entry.video is None:
            yield from self._pictures(entry)
            return
        where = f"{entry.video}, {entry.name}"
        wanted = self._frame_numbers(entry, entry.video, where)
        yield from pick_frames(entry.video, wanted, where)

    def whole_video(self, index: int) -> Path | None:
        """The episode's own mp4 if this package wrote it, so that every reader agrees on it."""
        entry = self._entries[index]
        if entry.video is None or not entry.alone or not self._own:
            return None
        facts = video_facts(entry.video)
        ours = (facts.codec, facts.pixels, len(facts.times)) == ("h264", "yuv444p", entry.length)
        return entry.video if ours and facts.even and facts.upright else None

    def _frame_numbers(self, entry: Entry, video: Path, where: str) -> NDArray[np.int64]:
        """(L,) numbers of an episode's frames in its video.

        Where the video has as many frames as its episodes have rows, the rows before say it: the
        times of the list drift. Else a row's frame is the one that is shown at its time, as
        LeRobot itself reads.
        """
        facts = video_facts(video)
        if len(facts.times) == entry.shared:
            return np.arange(entry.before, entry.before + entry.length)
        if entry.overlaps:
            raise DatasetError(
                f"{where}: the list of episodes puts {entry.overlaps} at the same place of the "
                f"video; mend the list, or leave it out with --skip {entry.name}"
            )
        times = entry.start + row_times(self._rows.take(entry), self._rate, where, entry.name)
        return match_times(facts, times, self._rate, where)

    def _pictures(self, entry: Entry) -> Iterator[NDArray[Any]]:
        """Frames kept as encoded pictures in the parquet, or as files beside it."""
        for cell in self._rows.take(entry).column(self.camera).to_pylist():
            content = cell.get("bytes") if isinstance(cell, dict) else None
            try:
                yield open_picture(content or self._picture(entry, cell["path"]))
            except (OSError, KeyError, TypeError) as error:
                raise DatasetError(
                    f"{entry.data}, {entry.name}: a picture of {self.camera!r} cannot be read "
                    f"({error}); leave it out with --skip {entry.name}"
                ) from None

    def _picture(self, entry: Entry, name: object) -> Path:
        """A picture beside the parquet that names it."""
        return inside(
            self.path,
            name,
            source=f"{entry.data}, {entry.name}",
            field=f"a picture of {self.camera!r}",
            nested=True,
            error=DatasetError,
        )

    def _check_total(self, total: object) -> None:
        """Episodes that have rows and are not listed are not lost without a word.

        What info.json counts is a summary that outlives a deletion, and no more than that.
        """
        listed = {entry.number for entry in self._entries}
        if not isinstance(total, int) or total <= len(listed):
            return
        lost = [number for number in self._rows.numbers() if number not in listed]
        if lost:
            raise DatasetError(
                f"{self.path / 'meta'} lists {len(listed)} episodes where info.json counts "
                f"{total}, and the data hold episode {lost[0]}, which is not listed; restore the "
                "list"
            )

    def _names(self, key: str) -> list[str]:
        feature = self._features[key]
        width = _width(feature)
        names = _flat(feature.get("names"))
        return names if len(names) == width else names_for(key, width)

    def _declared_bounds(self) -> tuple[list[float], list[float]] | None:
        if not (self.path / EXPORTED).is_file():
            return None
        said = read_json(self.path / EXPORTED, error=DatasetError)
        low, high = said.get("action_low"), said.get("action_high")
        wide = len(self.action_names)
        if not (isinstance(low, list) and isinstance(high, list) and len(low) == len(high) == wide):
            raise DatasetError(f"{self.path / EXPORTED} has no bounds for {wide} action numbers")
        return [float(x) for x in low], [float(x) for x in high]


def _features(info: dict[str, Any], path: Path) -> dict[str, dict[str, Any]]:
    found = info.get("features")
    fps = info.get("fps")
    if not isinstance(found, dict) or not isinstance(fps, int | float) or not fps > 0:
        raise DatasetError(f"{path / layout.INFO} has no features or no fps")
    for key, feature in found.items():
        if not (isinstance(feature, dict) and "dtype" in feature and "shape" in feature):
            raise DatasetError(f"{path / layout.INFO}: feature {key!r} has no dtype or no shape")
    return found


def _refuse_depth(feature: dict[str, Any], key: str, path: Path) -> None:
    """A video that says of itself that it is depth is no picture, whatever its format."""
    said = feature.get("info")
    marks = ("is_depth_map", "video.is_depth_map")
    if isinstance(said, dict) and any(said.get(mark) for mark in marks):
        raise DatasetError(
            f"{path}: {key!r} is depth, not colour; choose another camera with --camera, or write "
            "it as 8-bit pictures first"
        )


def _states(keys: Keys, numbers: list[str]) -> list[str]:
    wanted = split_keys(keys.state)
    if wanted is not None:
        return wanted
    return [layout.PROPRIO] if layout.PROPRIO in numbers else []


def _truths(keys: Keys, numbers: list[str]) -> list[str]:
    wanted = split_keys(keys.truth)
    if wanted is not None:
        return wanted
    return [key for key in numbers if key.startswith(layout.TRUTH_PREFIX)]


def _width(feature: dict[str, Any]) -> int:
    return int(np.prod(feature["shape"])) if feature["shape"] else 1


def _flat(names: object) -> list[str]:
    """Names as a list, whether they are one, nested in a mapping such as `motors`, or missing."""
    if isinstance(names, str):
        return [names]
    parts = list(names.values()) if isinstance(names, dict) else names
    return [name for part in parts for name in _flat(part)] if isinstance(parts, list) else []


def _matrix(table: pa.Table, key: str, width: int | None, where: str) -> NDArray[Any]:
    """(L, width) numbers of a column of lists or of plain numbers; None takes what is there."""
    if key not in table.column_names:
        known = ", ".join(table.column_names)
        raise DatasetError(f"{where}: no column {key!r}; there are: {known}")
    try:
        values = plain(table, key)
    except DatasetError as error:
        raise DatasetError(f"{where}: {error}") from None
    if width is None:
        width = max(1, len(values) // max(1, len(table)))
    if len(values) != len(table) * width:
        raise DatasetError(
            f"{where}: column {key!r} must have {width} numbers in each of {len(table)} rows, "
            f"got {len(values)} in all"
        )
    return values.reshape(len(table), width)
