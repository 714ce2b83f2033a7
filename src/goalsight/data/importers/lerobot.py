"""LeRobot datasets of version 2.0, 2.1 and 3.0 as logs.

Facts of the formats: https://huggingface.co/docs/lerobot/lerobot-dataset-v3 and its page on
porting from v2.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from goalsight.data import format as layout
from goalsight.data.importers.lerobot_index import Entry, read_index
from goalsight.data.importers.lerobot_rows import RowStore, plain, row_times
from goalsight.data.importers.pictures import open_picture
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
from goalsight.data.importers.videos import match_times, pick_frames, video_facts
from goalsight.errors import DatasetError
from goalsight.io import inside, read_json

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
