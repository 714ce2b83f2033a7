"""An episode on its way from one dataset to another."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from goalsight.data import format as layout
from goalsight.data.dataset import Dataset
from goalsight.data.episode import Episode, Goal
from goalsight.data.goals import read_goal
from goalsight.io import link_or_copy


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
