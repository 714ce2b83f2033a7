"""Whose rows, and which frames: by number and by time, wherever a list says that they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.importers.field import (
    CAMERA,
    DATA,
    FILM,
    LIST,
    assert_true,
    edit,
    mark,
    read_mark,
    refusal,
    take,
)

from goalsight.data.importers import Keys, open_log

Writers = dict[str, Callable[..., Path]]
START = f"videos/{CAMERA}/from_timestamp"


@pytest.fixture
def recorded(recorded: list[Any]) -> list[Any]:
    return mark(recorded)


@pytest.fixture
def v3(log_writers: Writers, recorded: list[Any], tmp_path: Path) -> Path:
    return log_writers["lerobot v3"](tmp_path / "log", recorded)


@pytest.fixture
def v21(log_writers: Writers, recorded: list[Any], tmp_path: Path) -> Path:
    return log_writers["lerobot v2.1"](tmp_path / "log", recorded)


def test_rows_are_those_that_carry_the_episodes_number_whatever_the_list_says(
    v3: Path, recorded: list[Any], tmp_path: Path
) -> None:
    """A list that put every episode into file 0 once gave all of them the rows of the first."""
    table = pq.read_table(v3 / DATA)
    owners = table.column("episode_index").to_numpy()
    for number in (2, 1, 0):
        path = (v3 / DATA).with_name(f"file-{number:03d}.parquet")
        pq.write_table(table.filter(pa.array(owners == number)), path)
    assert_true(v3, tmp_path / "d", recorded)


def test_rows_are_put_in_the_order_of_their_frames(
    v3: Path, recorded: list[Any], tmp_path: Path
) -> None:
    order = np.random.default_rng(0).permutation(sum(len(e.actions) for e in recorded))
    take(v3 / DATA, order.tolist())
    assert_true(v3, tmp_path / "d", recorded)


def test_an_episodes_own_file_that_holds_another_ones_rows_is_refused(
    v21: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(
        v21 / "data/chunk-000/episode_000001.parquet",
        lambda row: row.update(episode_index=7),
    )
    line = refusal(v21, tmp_path / "d", capsys)
    assert "has 0 rows of episode_000001 where the list of episodes counts 9" in line
    assert "--skip episode_000001" in line


def test_a_row_that_is_there_twice_is_refused(
    v3: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(v3 / DATA, lambda row: row.update(frame_index=row["frame_index"] // 2 * 2))
    assert "two rows of episode_000000 with one frame_index" in refusal(v3, tmp_path / "d", capsys)


def test_lines_of_the_list_may_stand_in_any_order(
    v21: Path, recorded: list[Any], tmp_path: Path
) -> None:
    path = v21 / "meta/episodes.jsonl"
    first, *others = path.read_text().splitlines()
    path.write_text("\n".join([*others, first]) + "\n")
    assert_true(v21, tmp_path / "d", recorded)


@pytest.mark.parametrize("late", [0.0003, 0.03, 0.2])
def test_times_that_drift_lose_against_the_rows_before(
    late: float, v3: Path, recorded: list[Any], tmp_path: Path
) -> None:
    """Over half a frame too late, an episode used to begin one frame late and end in the next."""
    edit(v3 / LIST, lambda row: row.update({START: row[START] + late * row["episode_index"]}))
    assert_true(v3, tmp_path / "d", recorded)


def test_a_frame_is_the_one_that_is_shown_at_its_rows_time(
    v3: Path, recorded: list[Any], tmp_path: Path
) -> None:
    """The first three rows of one episode and the last four of another were taken out."""
    kept = [[*range(3, 12)], [*range(5)], [*range(15)]]
    firsts = [0, 12, 21]
    take(v3 / DATA, [firsts[e] + t for e, rows in enumerate(kept) for t in rows])
    edit(v3 / LIST, lambda row: row.update(length=len(kept[row["episode_index"]])))
    assert_kept(v3, recorded, kept)


def assert_kept(source: Path, recorded: list[Any], kept: list[list[int]]) -> None:
    """Frames and actions must be those of the rows that were kept."""
    log = open_log(source)
    for number, rows in enumerate(kept):
        assert [read_mark(frame) for frame in log.frames(number)] == [(number, t) for t in rows]
        assert np.array_equal(log.rows(number).actions, recorded[number].actions[rows])


@pytest.mark.parametrize("kind", ["lerobot v3", "lerobot v2.1"])
def test_a_gap_in_an_episode_is_named(
    kind: str,
    log_writers: Writers,
    recorded: list[Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Idle rows were taken out of the table, not out of the video."""
    source = log_writers[kind](tmp_path / "gap", recorded)
    table = DATA if kind == "lerobot v3" else Path("data/chunk-000/episode_000000.parquet")
    take(
        source / table,
        [i for i in range(pq.read_metadata(source / table).num_rows) if not 4 <= i < 7],
    )
    if kind == "lerobot v3":
        edit(source / LIST, lambda row: row.update(length=[9, 9, 15][row["episode_index"]]))
    else:
        path = source / "meta/episodes.jsonl"
        path.write_text(path.read_text().replace('"length": 12', '"length": 9'))
    line = refusal(source, tmp_path / "d", capsys)
    assert "episode_000000: row 4 is 0.200 s after the one before" in line
    assert "--skip episode_000000" in line


@pytest.mark.parametrize("kind", ["lerobot v3", "lerobot v2.1"])
def test_a_video_with_a_tail_is_read_up_to_the_rows(
    kind: str, log_writers: Writers, recorded: list[Any], tmp_path: Path
) -> None:
    """The table of each episode ends three rows before its part of the video."""
    source = log_writers[kind](tmp_path / "tail", recorded)
    kept = [list(range(len(e.actions) - 3)) for e in recorded]
    if kind == "lerobot v3":
        firsts = [0, 12, 21]
        take(source / DATA, [firsts[e] + t for e, rows in enumerate(kept) for t in rows])
        edit(source / LIST, lambda row: row.update(length=row["length"] - 3))
    else:
        path = source / "meta/episodes.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("\n".join(json.dumps(x | {"length": x["length"] - 3}) for x in lines))
        for number, rows in enumerate(kept):
            take(source / f"data/chunk-000/episode_{number:06d}.parquet", rows)
    assert_kept(source, recorded, kept)


def test_a_time_between_two_frames_is_refused_where_nothing_else_tells_them_apart(
    v3: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    take(v3 / DATA, [i for i in range(36) if i != 20])
    edit(
        v3 / LIST,
        lambda row: row.update(
            {"length": [12, 8, 15][row["episode_index"]], START: row[START] + 0.02}
        ),
    )
    line = refusal(v3, tmp_path / "d", capsys)
    assert "episode_000000: row 0 is at 0.020 s of the video, its nearest frame at 0.000 s" in line


def test_two_episodes_at_one_place_of_a_video_are_refused(
    v3: Path,
    recorded: list[Any],
    encode: Callable[..., None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One video an episode, and a list that puts all of them into the first."""
    for number, episode in enumerate(recorded):
        encode((v3 / FILM).with_name(f"file-{number:03d}.mp4"), episode.frames)
    edit(v3 / LIST, lambda row: row.update({START: 0.0}))
    line = refusal(v3, tmp_path / "d", capsys)
    assert "the list of episodes puts episode_000000 at the same place of the video" in line


@pytest.mark.parametrize("total", [2, 6])
def test_what_info_json_counts_is_a_summary_and_no_more(
    total: int, v21: Path, recorded: list[Any], tmp_path: Path
) -> None:
    info = json.loads((v21 / "meta/info.json").read_text())
    (v21 / "meta/info.json").write_text(json.dumps(info | {"total_episodes": total}))
    assert_true(v21, tmp_path / "d", recorded)


def test_an_episode_that_has_rows_and_is_not_listed_is_named(
    v21: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = v21 / "meta/episodes.jsonl"
    path.write_text("\n".join(path.read_text().splitlines()[:2]) + "\n")
    line = refusal(v21, tmp_path / "d", capsys)
    assert "lists 2 episodes where info.json counts 3, and the data hold episode 2" in line


def test_a_list_is_cut_into_lines_where_json_ends_and_nowhere_else(
    v21: Path, tmp_path: Path
) -> None:
    """A task that holds a line separator of its own, U+2028, cut its line in two."""
    path = v21 / "meta/episodes.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0]["tasks"], lines[1]["tasks"] = ["take\u2028it", "\u0085 next"], "put it down"
    path.write_text("\n".join(json.dumps(x, ensure_ascii=False) for x in lines), encoding="utf-8")
    log = open_log(v21)
    assert log.episodes[0].tasks == ("take\u2028it", "\u0085 next")
    assert log.episodes[1].tasks == ("put it down",)


def test_a_column_that_info_json_does_not_list_is_read_all_the_same(
    v3: Path, recorded: list[Any], tmp_path: Path
) -> None:
    info = json.loads((v3 / "meta/info.json").read_text())
    del info["features"]["next.success"]
    (v3 / "meta/info.json").write_text(json.dumps(info))
    log = open_log(v3, keys=Keys())
    assert np.array_equal(log.rows(1).success, recorded[1].success)
