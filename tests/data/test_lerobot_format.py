"""The files are LeRobot v3: paths, columns and types as its readers expect them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from goalsight.data import open_dataset

CAMERA = "observation.images.front"


def test_info_counts_and_describes_every_column(video_dataset: Path) -> None:
    info = json.loads((video_dataset / "meta/info.json").read_text())
    assert (info["codebase_version"], info["fps"]) == ("v3.0", 10)
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (4, 48, 1)
    assert info["splits"] == {"train": "0:4"}
    assert info["features"][CAMERA]["dtype"] == "video"
    assert info["features"][CAMERA]["shape"] == [20, 20, 3]
    table = pq.read_table(video_dataset / "data/chunk-000/file-000.parquet")
    assert set(table.column_names) == set(info["features"]) - {CAMERA}


def test_vectors_are_fixed_size_lists_and_single_numbers_are_plain(video_dataset: Path) -> None:
    schema = pq.read_schema(video_dataset / "data/chunk-000/file-000.parquet")
    assert schema.field("observation.state").type == pa.list_(pa.float32(), 3)
    assert schema.field("action").type == pa.list_(pa.float32(), 2)
    assert schema.field("state.speed").type == pa.float32()
    assert schema.field("next.success").type == pa.bool_()
    assert schema.field("timestamp").type == pa.float32()
    assert schema.field("task_index").type == pa.int64()


def test_timestamps_restart_with_each_episode_and_rows_count_on(video_dataset: Path) -> None:
    table = pq.read_table(video_dataset / "data/chunk-000/file-002.parquet")
    assert table["index"].to_pylist() == list(range(24, 36))
    np.testing.assert_allclose(table["timestamp"].to_numpy(), np.arange(12) / 10, atol=1e-6)
    episodes = pq.read_table(video_dataset / "meta/episodes/chunk-000/file-000.parquet")
    assert episodes["dataset_from_index"].to_pylist() == [0, 12, 24, 36]
    assert episodes["dataset_to_index"].to_pylist() == [12, 24, 36, 48]
    assert episodes[f"videos/{CAMERA}/to_timestamp"].to_pylist() == pytest.approx([1.2] * 4)
    assert episodes[f"videos/{CAMERA}/file_index"].to_pylist() == [0, 1, 2, 3]


def test_tasks_are_indexed_by_their_text_for_pandas(video_dataset: Path) -> None:
    table = pq.read_table(video_dataset / "meta/tasks.parquet")
    assert table["task"].to_pylist() == ["play in fake_env:Fake/Square-v0"]
    assert json.loads(table.schema.metadata[b"pandas"])["index_columns"] == ["task"]


def test_statistics_have_lerobots_shapes(video_dataset: Path) -> None:
    stats = json.loads((video_dataset / "meta/stats.json").read_text())
    actions = open_dataset(video_dataset).columns(["action"], range(4))["action"]
    np.testing.assert_allclose(stats["action"]["mean"], actions.mean(0), atol=1e-6)
    np.testing.assert_allclose(stats["action"]["q50"], np.median(actions, 0), atol=1e-6)
    assert stats["action"]["count"] == [48]
    pixels = stats[CAMERA]
    assert np.shape(pixels["mean"]) == (3, 1, 1)
    assert 0 <= np.min(pixels["min"]) <= np.max(pixels["max"]) <= 1


def test_without_video_no_video_is_promised(bare_dataset: Path) -> None:
    info = json.loads((bare_dataset / "meta/info.json").read_text())
    assert info["video_path"] is None
    assert CAMERA not in info["features"]
    assert not (bare_dataset / "videos").exists()


def test_the_lerobot_package_opens_it_unchanged(video_dataset: Path) -> None:
    lerobot: Any = pytest.importorskip(
        "lerobot.datasets.lerobot_dataset", reason="the lerobot package is not installed"
    )
    opened = lerobot.LeRobotDataset("local/test", root=video_dataset, video_backend="pyav")
    assert len(opened) == 48
    assert tuple(opened[13][CAMERA].shape) == (3, 20, 20)
