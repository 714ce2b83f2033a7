"""Damaged and foreign files: each is named in one line, by `validate` and before training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from goalsight.data import Windows, open_dataset, validate
from goalsight.errors import DatasetError

VIDEO = "videos/observation.images.front/chunk-000/file-001.mp4"
OTHER_VIDEO = "videos/observation.images.front/chunk-000/file-002.mp4"
TABLE = "data/chunk-000/file-001.parquet"


def truncate(root: Path) -> None:
    """What decord reads without a word."""
    content = (root / VIDEO).read_bytes()
    (root / VIDEO).write_bytes(content[: len(content) * 2 // 3])


def flip_a_byte(root: Path) -> None:
    content = bytearray((root / VIDEO).read_bytes())
    content[-20] ^= 0xFF
    (root / VIDEO).write_bytes(content)


def exchange(root: Path) -> None:
    (root / VIDEO).write_bytes((root / OTHER_VIDEO).read_bytes())


def not_a_video(root: Path) -> None:
    (root / VIDEO).write_text("not a video")


@pytest.mark.parametrize("damage", [truncate, flip_a_byte, exchange, not_a_video])
def test_a_damaged_video_is_named_by_validate_and_before_training(
    video_dataset: Path, damage: Callable[[Path], None]
) -> None:
    damage(video_dataset)
    problems = validate(video_dataset)
    assert [problem.episode for problem in problems] == [1]
    assert "file-001.mp4 is not the file that was written" in problems[0].message
    dataset = open_dataset(video_dataset)
    with pytest.raises(DatasetError, match=r"file-001\.mp4 is not the file that was written"):
        Windows(dataset, range(4), 2, 1)
    assert len(Windows(dataset, [0, 2, 3], 2, 1)) > 0


@pytest.mark.parametrize("name", [VIDEO, TABLE])
def test_a_missing_file_is_noticed_when_the_dataset_is_opened(
    video_dataset: Path, name: str
) -> None:
    (video_dataset / name).unlink()
    with pytest.raises(DatasetError, match=rf"{Path(name).name} is missing"):
        open_dataset(video_dataset)


def rewrite(root: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(root / TABLE)), root / TABLE)


def with_actions(values: Callable[[np.ndarray], np.ndarray]) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        flat = table["action"].combine_chunks().flatten().to_numpy().reshape(-1, 2).copy()
        changed = values(flat).astype(np.float32)
        lists = pa.FixedSizeListArray.from_arrays(pa.array(changed.ravel()), changed.shape[1])
        return table.set_column(table.schema.get_field_index("action"), "action", lists)

    return change


def put(row: int, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(actions: np.ndarray) -> np.ndarray:
        actions[row, 1] = value
        return actions

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.drop_columns(["action"]), "has no column 'action'"),
        (lambda table: table.slice(0, 7), "has 7 rows where 12 were recorded"),
        (with_actions(put(3, np.nan)), "column 'action' is not finite in row 3"),
        (with_actions(put(4, 1.5)), "action 'dy' is 1.5 in row 4, outside"),
        (with_actions(lambda a: np.hstack([a, a])), "has 4 numbers a row where 2"),
    ],
)
def test_a_damaged_table_is_named_by_validate_and_before_training(
    video_dataset: Path, change: Callable[[pa.Table], pa.Table], said: str
) -> None:
    rewrite(video_dataset, change)
    problems = validate(video_dataset)
    assert [problem.episode for problem in problems] == [1]
    assert said in problems[0].message
    with pytest.raises(DatasetError) as refused:
        Windows(open_dataset(video_dataset), range(4), 2, 1)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_table_that_is_sound_but_not_ours_has_another_checksum(video_dataset: Path) -> None:
    rewrite(video_dataset, with_actions(lambda actions: actions * 0.5))
    problems = validate(video_dataset)
    assert "file-001.parquet is not the file that was written" in problems[0].message


def test_a_table_of_another_episode_is_noticed(video_dataset: Path) -> None:
    other = (video_dataset / "data/chunk-000/file-002.parquet").read_bytes()
    (video_dataset / TABLE).write_bytes(other)
    assert "'episode_index' is not what episode 1" in validate(video_dataset)[0].message


def test_garbage_instead_of_parquet_is_one_line(video_dataset: Path) -> None:
    (video_dataset / TABLE).write_bytes(b"garbage" * 100)
    problem = validate(video_dataset)[0]
    assert "cannot be read as parquet" in problem.message
    assert "\n" not in problem.message


def change_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"total_frames": 47}, "total_frames 47 where the episodes make 48"),
        ({"total_episodes": 5}, "records 4 episodes in order where meta/info.json counts 5"),
        ({"total_episodes": 0}, "total_episodes must be a number above 0"),
        ({"codebase_version": "v2.1"}, "of version 'v2.1'"),
        ({"fps": 30}, "fps 30 where the episodes make 10"),
        ({"features": {}}, "features differs"),
    ],
)
def test_totals_and_versions_that_do_not_fit_are_named(
    video_dataset: Path, changes: dict[str, Any], said: str
) -> None:
    change_json(video_dataset / "meta/info.json", **changes)
    with pytest.raises(DatasetError) as refused:
        open_dataset(video_dataset)
    assert said in str(refused.value)


def test_the_index_that_lerobot_reads_must_agree(video_dataset: Path) -> None:
    path = video_dataset / "meta/episodes/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    column = table.schema.get_field_index("length")
    pq.write_table(table.set_column(column, "length", pa.array([12, 12, 11, 12])), path)
    assert ["'length' does not agree" in p.message for p in validate(video_dataset)] == [True]


def test_no_dataset_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no dataset in .* goalsight collect"):
        open_dataset(tmp_path)


def test_provenance_of_another_schema_is_refused(video_dataset: Path) -> None:
    change_json(video_dataset / "meta/goalsight.json", schema=2)
    with pytest.raises(DatasetError, match="schema 2 is not 1"):
        open_dataset(video_dataset)


def test_frames_collected_without_video_are_checked_as_well(bare_dataset: Path) -> None:
    path = bare_dataset / "cache/front/episode-000002.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert [problem.episode for problem in validate(bare_dataset)] == [2]


def test_a_sound_dataset_has_no_problems(made_once: dict[str, Path]) -> None:
    assert [validate(path) for path in made_once.values()] == [[], []]
