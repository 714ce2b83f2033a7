"""Every kind of log is read as it was written: rows exactly, pictures as the codec left them."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from goalsight.cli.main import main
from goalsight.data import open_dataset, validate
from goalsight.data.frames import decode_episode
from goalsight.data.importers import ImportConfig, Keys, import_log, open_log, read_record
from goalsight.errors import DatasetError, UserError

Writers = dict[str, Callable[..., Path]]
RATED = {"lerobot v2.1", "lerobot v3", "hdf5", "folder"}
LOSSLESS = {"hdf5", "minari", "npz"}
NAMES = {
    "lerobot v2.1": ["episode_000000", "episode_000001", "episode_000002"],
    "lerobot v3": ["episode_000000", "episode_000001", "episode_000002"],
    "hdf5": ["demo_8", "demo_9", "demo_10"],
    "minari": ["episode_0", "episode_1", "episode_2"],
    "npz": ["episode_000000", "episode_000001", "episode_000002"],
    "folder": ["run 0", "run 1", "run 2"],
}


def bring(source: Path, out: Path, **changes: Any) -> Any:
    """Import at the pictures' own size, losing nothing; gives dataset and record."""
    values: dict[str, Any] = {"video": "none", **changes}
    import_log(ImportConfig(source=source, out=out, **values))
    record = read_record(out)
    assert record is not None
    return open_dataset(out), record


def rate(kind: str) -> dict[str, Any]:
    return {} if kind in RATED else {"source_hz": 20.0}


@pytest.mark.parametrize("kind", list(NAMES))
def test_a_log_is_read_as_it_was_written(
    kind: str, log_writers: Writers, recorded: list[Any], tmp_path: Path
) -> None:
    source = log_writers[kind](tmp_path / "log", recorded)
    keys = Keys(state="qpos") if kind == "npz" else Keys()
    dataset, record = bring(source, tmp_path / "d", keys=keys, **rate(kind))
    assert record.episode_names == NAMES[kind]
    assert dataset.fps == 20
    assert dataset.size == 24  # the shorter side
    assert validate(tmp_path / "d") == []
    for number, episode in enumerate(recorded):
        rows = dataset.read_episode(number, dataset.widths())
        own = record.scale.from_unit(rows["action"])
        np.testing.assert_allclose(own, episode.actions, rtol=0, atol=1e-6)
        assert np.array_equal(rows["observation.state"], episode.state)
        if kind != "npz":  # it has no successes
            assert np.array_equal(rows["next.success"][:, 0], episode.success)
        seen, wanted = decode_episode(dataset, number), episode.frames[:, :, 4:28]
        if kind in LOSSLESS:
            assert np.array_equal(seen, wanted)
        else:
            assert np.abs(seen.astype(int) - wanted).mean() < 4


@pytest.mark.parametrize(
    ("kind", "actions", "proprio"),
    [
        ("lerobot v3", ["x", "y", "grip"], ["shoulder", "elbow"]),
        ("folder", ["action.x", "action.y", "action.z"], ["state.a", "state.b"]),
        ("hdf5", ["action.0", "action.1", "action.2"], ["robot0_eef_pos.0", "robot0_eef_pos.1"]),
    ],
)
def test_feature_names_are_kept(
    kind: str,
    actions: list[str],
    proprio: list[str],
    log_writers: Writers,
    recorded: list[Any],
    tmp_path: Path,
) -> None:
    dataset, _ = bring(log_writers[kind](tmp_path / "log", recorded), tmp_path / "d")
    assert dataset.provenance.action_names == actions
    assert dataset.provenance.proprio_names == proprio


def test_tasks_are_kept_by_episode(
    log_writers: Writers, recorded: list[Any], tmp_path: Path
) -> None:
    _, record = bring(log_writers["lerobot v3"](tmp_path / "log", recorded), tmp_path / "d")
    assert record.tasks == [["task 0"], ["task 1"], ["task 0"]]


def test_bounds_come_from_the_log_its_convention_or_its_data(
    log_writers: Writers, recorded: list[Any], tmp_path: Path
) -> None:
    minari = bring(log_writers["minari"](tmp_path / "m", recorded), tmp_path / "1", source_hz=20.0)
    assert (minari[1].bounds_from, minari[1].action_low) == ("declared", [-4.0] * 3)
    robomimic = log_writers["hdf5"](tmp_path / "r", recorded)
    reach = np.concatenate([episode.actions for episode in recorded])
    _, beyond = bring(robomimic, tmp_path / "2")
    assert beyond.bounds_from == "data"
    assert beyond.action_low == reach.min(0).astype(float).tolist()
    for episode in recorded:
        episode.actions /= 10
    small = bring(log_writers["hdf5"](tmp_path / "s", recorded), tmp_path / "3")
    assert (small[1].bounds_from, small[1].action_high) == ("convention", [1.0] * 3)
    own = small[0].columns(["action"], range(3))["action"]
    assert np.array_equal(own, reach / np.float32(10))  # already in [-1, 1]: not a bit changed
    given = bring(robomimic, tmp_path / "4", low=(-5.0,), high=(10.0, 10.0, 10.0))
    assert (given[1].bounds_from, given[1].action_high) == ("given", [10.0] * 3)


def test_without_proprio_there_is_no_such_column_and_windows_have_none(
    log_writers: Writers, recorded: list[Any], tmp_path: Path
) -> None:
    from goalsight.data import Windows, proprio_statistics

    dataset, _ = bring(log_writers["npz"](tmp_path / "l", recorded), tmp_path / "d", source_hz=9.0)
    assert "observation.state" not in dataset.info["features"]
    assert tuple(Windows(dataset, [0, 1], 2, 3)[0].proprio.shape) == (2, 0)
    assert proprio_statistics(dataset, [0])["mean"] == []


def test_truth_is_kept_beside_and_never_as_proprio(
    log_writers: Writers, recorded: list[Any], tmp_path: Path
) -> None:
    source = log_writers["hdf5"](tmp_path / "l", recorded)
    dataset, _ = bring(source, tmp_path / "d", keys=Keys(truth="object"))
    rows = dataset.columns(["state.object"], [1])
    assert np.array_equal(rows["state.object"], recorded[1].state[:, :1] * 2)
    assert dataset.proprio_dim == 2


def test_a_camera_is_chosen_by_its_last_part_and_asked_for_where_there_are_two(
    log_writers: Writers, recorded: list[Any], tmp_path: Path
) -> None:
    cameras = ("observation.images.top", "observation.images.wrist")
    source = log_writers["lerobot v2.1"](tmp_path / "l", recorded, cameras)
    with pytest.raises(DatasetError, match=r"several cameras; choose with --camera: .*wrist"):
        open_log(source)
    with pytest.raises(DatasetError, match=r"no camera 'side'; it has: .*top, .*wrist"):
        open_log(source, keys=Keys(camera="side"))
    assert open_log(source, keys=Keys(camera="wrist")).camera == cameras[1]


@pytest.mark.parametrize("kind", ["minari", "npz"])
def test_a_log_without_a_rate_is_asked_for_one(
    kind: str, log_writers: Writers, recorded: list[Any], tmp_path: Path
) -> None:
    source = log_writers[kind](tmp_path / "l", recorded)
    with pytest.raises(UserError, match="give --source-hz"):
        bring(source, tmp_path / "d")


def damaged(kind: str, source: Path) -> str:
    """Do something to a log; gives what the error must say."""
    if kind == "lerobot v2.1":
        (source / "data/chunk-000/episode_000001.parquet").write_bytes(b"PAR1 nothing")
        return r"episode_000001\.parquet cannot be read as parquet"
    if kind == "lerobot v3":
        (source / "videos/observation.image/chunk-000/file-000.mp4").unlink()
        return r"file-000\.mp4 is missing"
    if kind == "folder":
        table = source / "run 1.csv"
        table.write_text(table.read_text().replace("\n0.05,", "\n0.05,broken,", 1))
        return r"run 1\.csv: row 1 has 8 cells where the first line names 7"
    content = source.read_bytes()
    source.write_bytes(content[: len(content) // 2])
    return r"log\.(hdf5|npz) cannot be read as"


@pytest.mark.parametrize("kind", ["lerobot v2.1", "lerobot v3", "folder", "hdf5", "npz"])
def test_damage_is_one_line_that_names_the_file(
    kind: str,
    log_writers: Writers,
    recorded: list[Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = log_writers[kind](tmp_path / "log", recorded)
    message = damaged(kind, source)
    assert main(["data", "import", str(source), "--out", str(tmp_path / "d")]) == 2
    line = capsys.readouterr().err
    assert re.search(message, line)
    assert line.count("\n") == 1


def test_what_is_no_log_at_all_is_told_what_would_be(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DatasetError, match="no log of a known kind; give --format, one of lerobot"):
        open_log(tmp_path)
    with pytest.raises(DatasetError, match="there is no"):
        open_log(tmp_path / "nowhere")


def test_pictures_inside_the_parquet_are_read_without_loss(
    log_writers: Writers, recorded: list[Any], tmp_path: Path
) -> None:
    """LeRobot's other way to keep frames: encoded pictures in a column of their own."""
    source = log_writers["lerobot v2.1"](tmp_path / "log", recorded)
    info = json.loads((source / "meta/info.json").read_text())
    info["features"]["observation.images.top"]["dtype"] = "image"
    (source / "meta/info.json").write_text(json.dumps(info))
    for number, episode in enumerate(recorded):
        path = source / f"data/chunk-000/episode_{number:06d}.parquet"
        cells = []
        for frame in episode.frames:
            buffer = io.BytesIO()
            Image.fromarray(frame).save(buffer, "png")
            cells.append({"bytes": buffer.getvalue(), "path": None})
        table = pq.read_table(path)
        pq.write_table(table.append_column("observation.images.top", [cells]), path)
    shutil.rmtree(source / "videos")
    dataset, _ = bring(source, tmp_path / "d")
    for number, episode in enumerate(recorded):
        assert np.array_equal(decode_episode(dataset, number), episode.frames[:, :, 4:28])
