"""LeRobot datasets of version 2.0, 2.1 and 3.0 as logs.

Facts of the formats: https://huggingface.co/docs/lerobot/lerobot-dataset-v3 and its page on
porting from v2.1.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from goalsight.data import format as layout
from goalsight.data.logs.lerobot_index import Entry, read_index, read_parquet
from goalsight.data.logs.pictures import exactly, span_frames, video_facts, video_frames
from goalsight.data.logs.source import (
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
        self._is_video = self._features[self.camera]["dtype"] == "video"
        self.action_key = keys.action or layout.ACTION
        numbers = [k for k, feature in self._features.items() if feature["dtype"] in NUMBERS]
        require_keys([self.action_key], numbers, "feature", path)
        self._states = _states(keys, numbers)
        self._truth = _truths(keys, numbers)
        require_keys([*self._states, *self._truth], numbers, "feature", path)
        self.action_names = self._names(self.action_key)
        self.proprio_names = [name for key in self._states for name in self._names(key)]
        self.fps = float(info["fps"])
        self._entries = read_index(path, info, self.camera if self._is_video else None)
        self.episodes = [LogEpisode(e.name, e.length, e.tasks) for e in self._entries]
        self.bounds = self._declared_bounds()
        self._open: tuple[Path, pa.Table] | None = None

    def rows(self, index: int) -> Rows:
        """See `Log.rows`."""
        entry = self._entries[index]
        table = self._table(entry)
        where = f"{entry.data}, {entry.name}"

        def read(key: str) -> NDArray[Any]:
            return _matrix(table, key, _width(self._features[key]), where)

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
        if not self._is_video:
            yield from self._pictures(entry)
            return
        assert entry.video is not None
        assert self.fps is not None
        if entry.alone:
            found = video_frames(entry.video)
        else:
            found = span_frames(entry.video, entry.start, entry.length, self.fps)
        yield from exactly(found, entry.length, f"{entry.video}, {entry.name}")

    def whole_video(self, index: int) -> Path | None:
        """The episode's own mp4 if it is H.264 with full chroma, as this package writes it."""
        entry = self._entries[index]
        if entry.video is None or not entry.alone:
            return None
        codec, pixels, *_ = video_facts(entry.video)
        return entry.video if (codec, pixels) == ("h264", "yuv444p") else None

    def _pictures(self, entry: Entry) -> Iterator[Frame]:
        """Frames kept as encoded pictures in the parquet, or as files beside it."""
        from PIL import Image

        for cell in self._table(entry).column(self.camera).to_pylist():
            content = cell.get("bytes") if isinstance(cell, dict) else None
            try:
                source = io.BytesIO(content) if content else self._picture(entry, cell["path"])
                with Image.open(source) as picture:
                    yield np.array(picture.convert("RGB"), np.uint8)
            except (OSError, KeyError, TypeError) as error:
                raise DatasetError(
                    f"{entry.data}, {entry.name}: a picture of {self.camera!r} cannot be read "
                    f"({error})"
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

    def _table(self, entry: Entry) -> pa.Table:
        """Rows of an episode; the file that holds it is kept for the next."""
        if self._open is None or self._open[0] != entry.data:
            self._open = (entry.data, read_parquet(entry.data))
        table = self._open[1]
        if "episode_index" in table.column_names:
            mine = np.flatnonzero(table.column("episode_index").to_numpy() == entry.number)
            if len(mine):
                table = table.slice(int(mine[0]), len(mine))
        if table.num_rows != entry.length:
            raise DatasetError(
                f"{entry.data} has {table.num_rows} rows of {entry.name} where the metadata "
                f"counts {entry.length}"
            )
        return table

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


def _matrix(table: pa.Table, key: str, width: int, where: str) -> NDArray[Any]:
    """(L, width) numbers of a column of lists or of plain numbers."""
    if key not in table.column_names:
        known = ", ".join(table.column_names)
        raise DatasetError(f"{where}: no column {key!r}; there are: {known}")
    column = table.column(key).combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks)
    while pa.types.is_nested(column.type):
        if pa.types.is_struct(column.type):
            raise DatasetError(f"{where}: column {key!r} holds {column.type}, not numbers")
        column = column.flatten()
    if len(column) != len(table) * width or column.null_count:
        raise DatasetError(
            f"{where}: column {key!r} must have {width} numbers in each of {len(table)} rows, "
            f"got {len(column) - column.null_count} in all"
        )
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values.reshape(len(table), width)
