"""Append episodes to a dataset so that a kill at any moment loses none that was committed.

An episode's files are written beside and renamed; `meta/info.json` comes last and is the commit
point: what it does not count was never there, and the next run writes over it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from goalsight.data import format as layout
from goalsight.data.dataset import Dataset, open_dataset, read_records
from goalsight.data.format import Episode, EpisodeRecord, Provenance
from goalsight.data.frames import read_frames
from goalsight.errors import DatasetError, OutputError
from goalsight.io import (
    FolderLock,
    read_json,
    remove_folder,
    remove_unfinished,
    replace_file,
    replace_json,
    seal,
    sha256_of,
)

STAGING = ".partial"
"""Folder inside the dataset for files of episodes in flight."""
OURS = {"meta", "data", "videos", "cache", "goals", STAGING}


def check_output(path: Path) -> Provenance | None:
    """Look at a folder before anything is written to it.

    Returns:
        The provenance of the dataset that is there, or None if there is nothing yet.

    Raises:
        OutputError: if the folder holds something else.
    """
    if not path.exists():
        return None
    if not path.is_dir():
        raise OutputError(f"{path} is a file; give --out a folder")
    foreign = sorted(
        entry.name
        for entry in path.iterdir()
        if entry.name not in OURS and not entry.name.startswith(".")
    )
    committed = (path / layout.INFO).is_file()
    ours = (path / layout.PROVENANCE).is_file()
    if committed and not ours:
        raise OutputError(
            f"{path} holds a dataset that goalsight did not write; give --out an empty folder"
        )
    if foreign and not committed:
        raise OutputError(
            f"{path} already holds something else ({foreign[0]}); give --out an empty folder"
        )
    if not ours:
        _refuse_foreign_files(path)
    if not committed:
        _refuse_lost_info(path)
        return None
    return Provenance.from_json(
        layout.read_meta(path / layout.PROVENANCE), path / layout.PROVENANCE
    )


def _refuse_foreign_files(path: Path) -> None:
    """Folders named like ours but without our provenance must be empty of files."""
    for name in OURS - {STAGING}:
        for file in (path / name).rglob("*"):
            if file.is_file() and not file.name.startswith("."):
                raise OutputError(
                    f"{path} already holds something else ({file.relative_to(path)}); give --out "
                    "an empty folder"
                )


def _refuse_lost_info(path: Path) -> None:
    """Without `info.json` nothing counts as committed, but a dataset that lost it is not empty."""
    records = path / layout.RECORDS
    recorded = len(records.read_text(encoding="utf-8").splitlines()) if records.is_file() else 0
    if recorded > 1:  # one is what a run leaves that was killed in its first commit
        raise OutputError(
            f"{path} holds {recorded} episodes but {layout.INFO} is missing; restore it, or give "
            "--out an empty folder"
        )


class DatasetWriter:
    """The one writer of a dataset; a context manager that holds its lock."""

    def __init__(self, path: Path, provenance: Provenance) -> None:
        """Create the dataset, or go on with the one that is there.

        Args:
            path: its folder.
            provenance: what every episode of it shares.

        Raises:
            OutputError: if the folder holds something else, a dataset made with other settings,
                or another run is writing to it.
            OSError: if it cannot be written.
        """
        self.path = path
        self.provenance = provenance
        found = check_output(path)
        if found is not None:
            _check_same(path, found, provenance)
            self.provenance = found
        path.mkdir(parents=True, exist_ok=True)
        self._lock = FolderLock(path, who="goalsight collect")
        try:
            self.records = self._recover() if found is not None else self._create()
            self._clear_staging()
            self.staging.mkdir()
        except BaseException:
            self._lock.release()
            raise
        self._starts = layout.starts([record.length for record in self.records])

    def __enter__(self) -> DatasetWriter:
        """The writer itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove what was in flight and release the lock."""
        self._clear_staging()
        self._lock.release()

    @property
    def staging(self) -> Path:
        """Folder for files of episodes in flight, on the same file system."""
        return self.path / STAGING

    @property
    def total_frames(self) -> int:
        """Rows committed so far."""
        return self._starts[-1]

    def append(self, episode: Episode) -> None:
        """Commit the next episode.

        Raises:
            ValueError: if it is not the next one or does not fit the dataset.
            OSError: if it cannot be written; what was committed before stays.
        """
        self._check(episode)
        for camera, file in self._files(episode).items():
            frames = self.path / layout.frames_path(self.provenance, episode.index, camera)
            frames.parent.mkdir(parents=True, exist_ok=True)
            file.replace(frames)
        data = self.path / layout.data_path(episode.index)
        table = episode_table(episode, self._starts[-1], self.provenance.fps)
        replace_file(data, parquet_bytes(table))
        record = EpisodeRecord(
            episode=episode.index,
            length=episode.length,
            frames=episode.length,
            data_sha256=sha256_of(data),
            frames_sha256=episode.frames_sha256,
            policy=episode.policy,
            origin=episode.origin,
            goal=write_goal(self.path, episode),
            other_sha256={n: digest for n, (_, digest) in episode.other_frames.items()} or None,
            factors=episode.factors or None,
            env=episode.env,
        )
        with (self.path / layout.RECORDS).open("a", encoding="utf-8") as lines:
            lines.write(record.to_line())
        lengths = [record.length for record in (*self.records, record)]
        write_episodes(self.path, self.provenance, lengths)
        replace_json(self.path / layout.INFO, layout.info(self.provenance, lengths))
        self.records.append(record)
        self._starts.append(self._starts[-1] + record.length)

    def finish(self) -> None:
        """Bring `meta/stats.json` up to date; does nothing without episodes.

        Raises:
            OSError: if it cannot be written.
        """
        if self.records:
            ensure_stats(open_dataset(self.path))

    def _files(self, episode: Episode) -> dict[str, Path]:
        """Frames file of each camera."""
        others = {name: path for name, (path, _) in episode.other_frames.items()}
        return {self.provenance.camera: episode.frames_file} | others

    def _check(self, episode: Episode) -> None:
        length, p = episode.length, self.provenance
        if list(episode.other_frames) != p.cameras[1:]:
            raise ValueError(
                f"the dataset has cameras {p.cameras}, episode {episode.index} has "
                f"{[p.camera, *episode.other_frames]}"
            )
        if episode.index != len(self.records):
            raise ValueError(
                f"the next episode is {len(self.records)}, got {episode.index}; append in order"
            )
        shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
            "action": (episode.actions.shape, (length, len(p.action_names))),
            "proprio": (episode.proprio.shape, (length, len(p.proprio_names))),
            "success": (episode.success.shape, (length,)),
        }
        for name, width in p.truth.items():
            shapes[f"state.{name}"] = (episode.truth[name].shape, (length, width))
        for name, (got, wanted) in shapes.items():
            if got != wanted or length < 1:
                raise ValueError(f"{name} must have shape {wanted} and rows, got {got}")

    def _create(self) -> list[EpisodeRecord]:
        replace_json(self.path / layout.PROVENANCE, seal(self.provenance.to_json()))
        write_tasks(self.path, [self.provenance.task])
        replace_file(self.path / layout.RECORDS, b"")
        return []

    def _recover(self) -> list[EpisodeRecord]:
        """Records that count; what a killed run wrote after its last commit is cut off."""
        count = int(layout.read_meta(self.path / layout.INFO)["total_episodes"])
        records = list(read_records(self.path, count))
        lines = [record.to_line() for record in records]
        replace_file(self.path / layout.RECORDS, "".join(lines).encode())
        lengths = [record.length for record in records]
        write_episodes(self.path, self.provenance, lengths)
        for leftover in (
            layout.data_path(count),
            *(layout.frames_path(self.provenance, count, name) for name in self.provenance.cameras),
            layout.episodes_path((count - 1) // layout.EPISODES_PER_FILE + 1),
            layout.goal_path(count),
        ):
            (self.path / leftover).unlink(missing_ok=True)
            remove_unfinished((self.path / leftover).parent)
        remove_unfinished((self.path / layout.INFO).parent)
        return records

    def _clear_staging(self) -> None:
        remove_folder(self.staging)


def _check_same(path: Path, found: Provenance, wanted: Provenance) -> None:
    name = found.difference(wanted)
    if name is not None:
        raise OutputError(
            f"{path} holds a dataset with {name} {getattr(found, name)!r}, not "
            f"{getattr(wanted, name)!r}; use the same settings to append, or another --out"
        )


def recount(path: Path) -> int:
    """Episodes committed in a folder, 0 if there is no dataset."""
    try:
        return int(layout.read_meta(path / layout.INFO)["total_episodes"])
    except DatasetError:
        return 0


def episode_table(episode: Episode, first_row: int, fps: float) -> pa.Table:
    """The episode's parquet table in LeRobot's columns.

    Args:
        episode: what happened.
        first_row: global index of its first row.
        fps: control steps per second.
    """
    rows = np.arange(episode.length)
    columns: dict[str, NDArray[Any]] = {
        **({layout.PROPRIO: episode.proprio} if episode.proprio.shape[1] else {}),
        layout.ACTION: episode.actions,
        **{layout.TRUTH_PREFIX + name: value for name, value in episode.truth.items()},
        layout.SUCCESS: episode.success,
        "timestamp": (rows / fps).astype(np.float32),
        "frame_index": rows.astype(np.int64),
        "episode_index": np.full(episode.length, episode.index, np.int64),
        "index": (first_row + rows).astype(np.int64),
        "task_index": np.zeros(episode.length, np.int64),
    }
    return pa.table({name: _to_arrow(value) for name, value in columns.items()})


def _to_arrow(values: NDArray[Any]) -> pa.Array:
    """(L, d) as fixed-size lists; LeRobot wants plain numbers where d is 1."""
    if values.ndim == 2 and values.shape[1] > 1:
        flat = pa.array(np.ascontiguousarray(values).reshape(-1))
        return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    return pa.array(values.reshape(-1))


def parquet_bytes(table: pa.Table) -> bytes:
    """The table as a parquet file; the same table gives the same bytes."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="snappy")
    content: bytes = sink.getvalue().to_pybytes()
    return content


def write_episodes(root: Path, provenance: layout.Provenance, lengths: list[int]) -> None:
    """Write the `meta/episodes` file that holds the last of these episodes.

    Args:
        root: the dataset.
        provenance: names the camera and the task.
        lengths: of all episodes so far.
    """
    block = (len(lengths) - 1) // layout.EPISODES_PER_FILE
    table = episodes_table(provenance, lengths, block)
    replace_file(root / layout.episodes_path(block), parquet_bytes(table))


def episodes_table(provenance: layout.Provenance, lengths: list[int], block: int) -> pa.Table:
    """What the `meta/episodes` file number `block` holds.

    Args:
        provenance: names the camera and the task.
        lengths: of all episodes.
        block: which hundred of them.
    """
    starts = layout.starts(lengths)
    first = block * layout.EPISODES_PER_FILE
    episodes = range(first, min(first + layout.EPISODES_PER_FILE, len(lengths)))
    places = [layout.chunk_and_file(episode) for episode in episodes]
    chunk, file = layout.chunk_and_file(block)
    columns: dict[str, list[Any]] = {
        "episode_index": list(episodes),
        "tasks": [[provenance.task] for _ in episodes],
        "length": [lengths[episode] for episode in episodes],
        "data/chunk_index": [place[0] for place in places],
        "data/file_index": [place[1] for place in places],
        "dataset_from_index": [starts[episode] for episode in episodes],
        "dataset_to_index": [starts[episode + 1] for episode in episodes],
    }
    if provenance.video == "h264":
        ends = [lengths[episode] / provenance.fps for episode in episodes]
        for camera in provenance.cameras:
            video = f"videos/{layout.video_key(camera)}"
            columns |= {
                f"{video}/chunk_index": [place[0] for place in places],
                f"{video}/file_index": [place[1] for place in places],
                f"{video}/from_timestamp": [0.0 for _ in episodes],
                f"{video}/to_timestamp": ends,
            }
    columns |= {
        "meta/episodes/chunk_index": [chunk for _ in episodes],
        "meta/episodes/file_index": [file for _ in episodes],
    }
    return pa.table(columns)


def write_tasks(root: Path, tasks: Sequence[str]) -> None:
    """Write `meta/tasks.parquet`."""
    replace_file(root / layout.TASKS, parquet_bytes(tasks_table(tasks)))


def tasks_table(tasks: Sequence[str]) -> pa.Table:
    """The list of tasks: a pandas frame indexed by the task, made without pandas."""
    numbers = pa.array(range(len(tasks)), pa.int64())
    table = pa.table({"task_index": numbers, "task": pa.array(tasks, pa.string())})

    def column(name: str, kind: str, numpy_type: str) -> dict[str, Any]:
        return {
            "name": name,
            "field_name": name,
            "pandas_type": kind,
            "numpy_type": numpy_type,
            "metadata": None,
        }

    pandas = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [column("task_index", "int64", "int64"), column("task", "unicode", "object")],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.0.0",
    }
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})


def write_goal(root: Path, episode: Episode) -> dict[str, Any] | None:
    """Write the picture of what an episode sought.

    Returns:
        What its record says of it, or None if it sought nothing.
    """
    if episode.goal is None:
        return None
    path = root / layout.goal_path(episode.index)
    buffer = io.BytesIO()
    Image.fromarray(episode.goal.image).save(buffer, "png")
    replace_file(path, buffer.getvalue())
    return {
        "image_sha256": sha256_of(path),
        "is_success": episode.goal.is_success,
        "frame": episode.goal.frame,
    }


QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
SAMPLED_EPISODES = 32
"""Pixels are counted in this many episodes, evenly spaced; LeRobot samples them as well."""
SAMPLED_FRAMES = 10
"""Frames of each, evenly spaced."""


def ensure_stats(dataset: Dataset) -> None:
    """Write `meta/stats.json` unless the one that is there covers every committed row.

    Raises:
        DatasetError: if the dataset cannot be read.
        OSError: if the file cannot be written.
    """
    path = dataset.path / layout.STATS
    try:
        counted = read_json(path, error=DatasetError)["index"]["count"]
    except (DatasetError, KeyError, TypeError):
        counted = None
    if counted != [dataset.total_frames]:
        replace_json(path, compute_stats(dataset))


def compute_stats(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """Statistics of every feature over all episodes, in LeRobot's form.

    A vector feature has a list per statistic, an image nested lists [C, 1, 1] in 0..1.
    """
    columns = dataset.columns(dataset.widths(), range(len(dataset.records)))
    stats = {name: describe(values) for name, values in columns.items()}
    if dataset.provenance.video == "h264":
        for camera in dataset.provenance.cameras:
            stats[layout.video_key(camera)] = describe_pixels(dataset.seen_by(camera))
    return stats


def describe(values: NDArray[Any]) -> dict[str, Any]:
    """Statistics of (N, d) numbers over the rows."""
    rows = values.astype(np.float64)
    described = {
        "min": rows.min(0).tolist(),
        "max": rows.max(0).tolist(),
        "mean": rows.mean(0).tolist(),
        "std": rows.std(0).tolist(),
        "count": [len(rows)],
    }
    quantiles = np.quantile(rows, list(QUANTILES.values()), axis=0)
    return described | dict(zip(QUANTILES, quantiles.tolist(), strict=True))


def _sample_pixels(dataset: Dataset) -> NDArray[np.uint8]:
    """(N, H, W, 3) frames spread over the dataset."""
    chosen = _spread(len(dataset.records), SAMPLED_EPISODES)
    return np.concatenate(
        [
            read_frames(dataset, episode)[_spread(dataset.records[episode].frames, SAMPLED_FRAMES)]
            for episode in chosen.tolist()
        ]
    )


def describe_pixels(dataset: Dataset) -> dict[str, Any]:
    """Statistics of each channel in 0..1 over a sample of the frames, as [C, 1, 1] lists."""
    frames = _sample_pixels(dataset)
    described = describe(frames.reshape(-1, 3) / 255.0)
    count = described.pop("count")
    nested = {name: [[[channel]] for channel in values] for name, values in described.items()}
    return nested | {"count": [len(frames)] if count else [0]}


def _spread(available: int, wanted: int) -> NDArray[np.int64]:
    """At most `wanted` of the indices 0 to available - 1, evenly spaced, ends included."""
    return np.unique(np.linspace(0, available - 1, min(available, wanted)).round().astype(np.int64))
