"""One dataset out of several.

Videos are hard links where the file system has them; the old datasets stay as they are. The new one
is written beside its place and renamed: a kill leaves nothing there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from goalsight.data import format as layout
from goalsight.data.dataset import Dataset, read_goal
from goalsight.data.format import Episode, Goal, Provenance
from goalsight.data.writer import DatasetWriter
from goalsight.errors import DatasetError
from goalsight.io import check_free, link_or_copy, new_folder
from goalsight.progress import Progress, silent

SHARED = (
    "size",
    "video",
    "control_dt",
    "camera",
    "other_cameras",
    "renderer",
    "action_names",
    "action_low",
    "action_high",
    "proprio_names",
)
"""What datasets must agree in to be one: the robot, its clock, and how it is seen."""


def merge(datasets: Sequence[Dataset], out: str | Path, progress: Progress = silent) -> None:
    """Write one dataset with the episodes of several, one dataset after another.

    Simulator truth is kept where all have it. Every episode remembers its environment and its
    policy; the whole remembers fingerprint, seed and length of what it was made from.

    Args:
        datasets: at least two.
        out: folder of the new one, not there yet or empty.
        progress: told how many episodes are written.

    Raises:
        DatasetError: if they are of different robots or cameras; names the first difference.
        OutputError: if there is something in `out` already, or another process is merging there.
        OSError: if there is no room.
    """
    out = Path(out)
    check_free(out)
    shared = merged_provenance(datasets)
    total = sum(len(dataset.records) for dataset in datasets)
    with new_folder(out) as building, DatasetWriter(building, shared) as writer:
        for dataset in datasets:
            for number in range(len(dataset.records)):
                index = len(writer.records)
                episode = moved(dataset, number, index, writer.staging)
                record = dataset.records[number]
                writer.append(
                    replace(
                        episode,
                        origin=None,
                        truth={name: episode.truth[name] for name in shared.truth},
                        policy=record.policy or dataset.provenance.policy,
                        env=record.env or dataset.provenance.env,
                    )
                )
                progress(index + 1, total)
        writer.finish()


def merged_provenance(datasets: Sequence[Dataset]) -> Provenance:
    """What the merged dataset says of itself.

    Raises:
        DatasetError: if there are fewer than two, or they do not fit together.
    """
    if len(datasets) < 2:
        raise DatasetError("merging takes two datasets or more")
    first = datasets[0].provenance
    for other in datasets[1:]:
        for name in SHARED:
            ours, theirs = getattr(first, name), getattr(other.provenance, name)
            if ours != theirs:
                raise DatasetError(
                    f"{other.path} has {name} {theirs!r}, {datasets[0].path} has {ours!r}; only "
                    "datasets of one robot, seen alike, can be merged"
                )
    described = [dataset.provenance for dataset in datasets]
    versions = {provenance.mujoco for provenance in described}
    return replace(
        first,
        env=_joined([provenance.env for provenance in described]),
        policy=_joined([provenance.policy for provenance in described]),
        steps=max(provenance.steps for provenance in described),
        mujoco=first.mujoco if len(versions) == 1 else None,
        truth={
            name: width
            for name, width in first.truth.items()
            if all(provenance.truth.get(name) == width for provenance in described)
        },
        factors=None,
        redraw=None,
        mix=None,
        agent=None,
        sources=[_source(dataset) for dataset in datasets],
    )


def _joined(names: Sequence[str]) -> str:
    """Each name once, in order."""
    return ", ".join(dict.fromkeys(names))


def _source(dataset: Dataset) -> dict[str, Any]:
    """Enough to find a dataset again, or to make it again."""
    told = ("env", "policy", "seed", "steps", "factors", "redraw", "mix", "agent", "sources")
    values = {name: getattr(dataset.provenance, name) for name in (*told, "commit")}
    return {
        "name": dataset.path.resolve().name,
        "fingerprint": dataset.fingerprint(),
        "episodes": len(dataset.records),
        "frames": dataset.total_frames,
        **{name: value for name, value in values.items() if value is not None},
    }


def moved(dataset: Dataset, episode: int, index: int, staging: Path) -> Episode:
    """An episode with another number; its frames are linked, not copied, where that is possible.

    Args:
        dataset: where it is.
        episode: its number there.
        index: its new number.
        staging: of the writer that will append it.
    """
    record = dataset.records[episode]
    columns = dataset.read_episode(episode, dataset.widths())
    linked = {}
    for camera in dataset.provenance.cameras:
        frames = dataset.seen_by(camera).frames_file(episode)[0]
        linked[camera] = staging / f"episode-{index:06d}-{camera}{frames.suffix}"
        link_or_copy(frames, linked[camera])
    origin = episode if record.origin is None else record.origin
    prefix = layout.TRUTH_PREFIX
    return Episode(
        index=index,
        proprio=columns.get(layout.PROPRIO, np.empty((record.length, 0), np.float32)),
        actions=columns[layout.ACTION],
        success=columns[layout.SUCCESS][:, 0].astype(np.bool_),
        frames_file=linked.pop(dataset.provenance.camera),
        frames_sha256=record.frames_sha256,
        truth={name: columns[prefix + name] for name in dataset.truth_names},
        goal=None
        if record.goal is None
        else Goal(read_goal(dataset, episode), record.goal["is_success"], record.goal["frame"]),
        policy=record.policy,
        origin=None if origin == index else origin,
        other_frames={name: (path, record.sha256_of(name)) for name, path in linked.items()},
        factors=record.factors or {},
        env=record.env,
    )
