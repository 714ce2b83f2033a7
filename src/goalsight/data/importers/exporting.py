"""A dataset of ours back to plain LeRobot v3: own units, own names, readable by anybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from goalsight.data import format as layout
from goalsight.data.dataset import Dataset
from goalsight.data.format import Episode
from goalsight.data.frames import decode_episode, read_frames
from goalsight.data.importers.lerobot import EXPORTED, NAME
from goalsight.data.importers.record import ActionScale, ImportRecord, read_record
from goalsight.data.writer import (
    compute_stats,
    describe,
    describe_pixels,
    episode_table,
    parquet_bytes,
    write_tasks,
)
from goalsight.errors import DatasetError
from goalsight.io import check_free, copy_new, new_folder, replace_file, replace_json
from goalsight.progress import Progress, silent


@dataclass(frozen=True, kw_only=True)
class ExportSummary:
    """What an export did."""

    path: Path
    """Folder of the LeRobot dataset."""
    episodes: int
    """Episodes in it."""
    frames: int
    """Frames in it."""
    video_key: str
    """Feature that holds the frames."""


def export_dataset(dataset: Dataset, out: str | Path, progress: Progress = silent) -> ExportSummary:
    """Write a dataset as LeRobot v3 with its actions in the units they were recorded in.

    Everything is written beside and renamed in the end, so that `out` is whole or not there.

    Args:
        dataset: collected or imported.
        out: folder, not there yet or empty.
        progress: told how many episodes are written.

    Raises:
        OutputError: if `out` holds something, or another process is exporting there.
        DatasetError: if the dataset is damaged.
        OSError: if it cannot be written.
    """
    out = Path(out)
    check_free(out)
    names = _Names.of(dataset)
    with new_folder(out) as beside:
        actions = []
        for episode in range(len(dataset.records)):
            actions.append(_write_episode(dataset, names, episode, beside))
            progress(episode + 1, len(dataset.records))
        _write_meta(dataset, names, np.concatenate(actions), beside)
    return ExportSummary(
        path=out,
        episodes=len(dataset.records),
        frames=dataset.total_frames,
        video_key=names.video_key,
    )


@dataclass(frozen=True)
class _Names:
    """What things are called outside, and the scale of the actions."""

    video_key: str
    episodes: Sequence[str]
    tasks: Sequence[Sequence[str]]
    scale: ActionScale
    scaled: bool

    @classmethod
    def of(cls, dataset: Dataset) -> _Names:
        """From the import's record; a collected dataset keeps what it has."""
        count, provenance = len(dataset.records), dataset.provenance
        record = read_record(dataset.path)
        if record is None:
            return cls(
                layout.video_key(dataset.camera),
                [f"episode_{i:06d}" for i in range(count)],
                [[provenance.task]] * count,
                ActionScale.of(provenance.action_low, provenance.action_high),
                scaled=False,
            )
        if len(record.episode_names) < count:
            raise DatasetError(
                f"{dataset.path} has {count} episodes, the record of its import names "
                f"{len(record.episode_names)}; import it again"
            )
        tasks = [list(task) or [provenance.task] for task in record.tasks]
        key = _outer_key(record, provenance)
        return cls(key, record.episode_names, tasks, record.scale, scaled=True)

    @cached_property
    def all_tasks(self) -> list[str]:
        """Every task once, in the order of its first episode."""
        return list(dict.fromkeys(task for tasks in self.tasks for task in tasks))


def _outer_key(record: ImportRecord, provenance: layout.Provenance) -> str:
    """LeRobot's own key where the log was one; else its name for a camera."""
    return record.camera if record.format == "lerobot" else provenance.video_key


def _write_episode(
    dataset: Dataset, names: _Names, episode: int, root: Path
) -> NDArray[np.float32]:
    """Rows and frames of one episode; gives its actions as they were written."""
    columns = dataset.read_episode(episode, dataset.widths())
    own = columns[layout.ACTION]
    actions = names.scale.from_unit(own) if names.scaled else own
    length = len(actions)
    rows = Episode(
        index=episode,
        proprio=columns.get(layout.PROPRIO, np.empty((length, 0), np.float32)),
        actions=actions,
        success=columns[layout.SUCCESS][:, 0],
        frames_file=Path(),
        frames_sha256="",
        truth={name: columns[layout.TRUTH_PREFIX + name] for name in dataset.provenance.truth},
    )
    first = int(dataset.episodes[:episode].sum())
    table = episode_table(rows, first, dataset.fps)
    task = names.all_tasks.index(names.tasks[episode][0])
    place = table.column_names.index("task_index")
    table = table.set_column(place, "task_index", pa.array([task] * length, pa.int64()))
    replace_file(root / layout.data_path(episode), parquet_bytes(table))
    _write_video(dataset, names, episode, root)
    return actions


def _write_video(dataset: Dataset, names: _Names, episode: int, root: Path) -> None:
    """The mp4 as it is; frames that were never a video become one."""
    path = root / layout.video_path(names.video_key, episode)
    path.parent.mkdir(parents=True, exist_ok=True)
    if dataset.provenance.video == "h264":
        decode_episode(dataset, episode)  # checksum and count: damage is not passed on
        copy_new(dataset.frames_file(episode)[0], path)
        return
    from goalsight.data.video import VideoWriter

    writer = VideoWriter(path, dataset.size, dataset.fps)
    for frame in read_frames(dataset, episode):
        writer.add(np.ascontiguousarray(frame))
    writer.close()


def _write_meta(dataset: Dataset, names: _Names, actions: NDArray[np.float32], root: Path) -> None:
    """Everything under `meta/`, `info.json` last."""
    # One camera goes out, the one that the dataset is read through.
    provenance = replace(dataset.provenance, video="h264", other_cameras=None)
    lengths = dataset.episodes.tolist()
    for first in range(0, len(lengths), layout.EPISODES_PER_FILE):
        block = first // layout.EPISODES_PER_FILE
        rows = _episode_rows(names, lengths, provenance.fps, block)
        replace_file(root / layout.episodes_path(block), parquet_bytes(pa.table(rows)))
    write_tasks(root, names.all_tasks)
    stats = compute_stats(dataset) | {layout.ACTION: describe(actions)}
    for camera in dataset.provenance.cameras:
        stats.pop(layout.video_key(camera), None)
    replace_json(root / layout.STATS, stats | {names.video_key: describe_pixels(dataset)})
    bounds = {"action_low": list(names.scale.low), "action_high": list(names.scale.high)}
    replace_json(root / EXPORTED, bounds)
    info = layout.info(provenance, lengths) | {"total_tasks": len(names.all_tasks)}
    info["features"] = _renamed(info["features"], provenance.video_key, names.video_key)
    replace_json(root / layout.INFO, info)


def _episode_rows(
    names: _Names, lengths: list[int], fps: float, block: int
) -> dict[str, list[Any]]:
    """Columns of one `meta/episodes` file."""
    starts = layout.starts(lengths)
    end = min(len(lengths), (block + 1) * layout.EPISODES_PER_FILE)
    episodes = range(block * layout.EPISODES_PER_FILE, end)
    places = [layout.chunk_and_file(episode) for episode in episodes]
    chunks, files = [list(part) for part in zip(*places, strict=True)]
    video = f"videos/{names.video_key}"
    own_chunk, own_file = layout.chunk_and_file(block)
    return {
        "episode_index": list(episodes),
        NAME: [names.episodes[i] for i in episodes],
        "tasks": [list(names.tasks[i]) for i in episodes],
        "length": [lengths[i] for i in episodes],
        "data/chunk_index": chunks,
        "data/file_index": files,
        "dataset_from_index": [starts[i] for i in episodes],
        "dataset_to_index": [starts[i + 1] for i in episodes],
        f"{video}/chunk_index": chunks,
        f"{video}/file_index": files,
        f"{video}/from_timestamp": [0.0 for _ in episodes],
        f"{video}/to_timestamp": [lengths[i] / fps for i in episodes],
        "meta/episodes/chunk_index": [own_chunk for _ in episodes],
        "meta/episodes/file_index": [own_file for _ in episodes],
    }


def _renamed(features: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    """The same features in the same order, one of them under another name."""
    return {new if key == old else key: value for key, value in features.items()}
