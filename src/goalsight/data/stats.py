"""LeRobot's `meta/stats.json`: range, moments and quantiles of every feature."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from goalsight.data import format as layout
from goalsight.data.cache import read_frames
from goalsight.data.dataset import Dataset
from goalsight.errors import DatasetError
from goalsight.io import read_json, replace_json

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
