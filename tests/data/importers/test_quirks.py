"""What arrays, tables and clocks of logs may look like, and what is refused by name."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.data.importers.field import assert_true, mark, read_mark, refusal

from goalsight.data.importers import Keys, open_log
from goalsight.data.importers.pictures import to_rgb
from goalsight.errors import DatasetError

Writers = dict[str, Callable[..., Path]]
Array = np.ndarray


@pytest.fixture
def recorded(recorded: list[Any]) -> list[Any]:
    return mark(recorded)


def arrays_of(recorded: list[Any]) -> dict[str, Array]:
    ends = [np.arange(len(e.actions)) == len(e.actions) - 1 for e in recorded]
    return {
        "observations": np.concatenate([e.frames for e in recorded]),
        "actions": np.concatenate([e.actions for e in recorded]),
        "terminals": np.concatenate(ends),
    }


def save(path: Path, **arrays: Array) -> Path:
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    return path


# -- where an episode ends


@pytest.mark.parametrize("name", ["timeouts", "truncations", "dones"])
@pytest.mark.parametrize("terminals", ["all false", "one", "none"])
def test_an_episode_ends_where_any_array_says_so(
    name: str, terminals: str, recorded: list[Any], tmp_path: Path
) -> None:
    """D4RL marks what time cut off in `timeouts`; windows used to cross the seams."""
    arrays = arrays_of(recorded)
    ends = arrays.pop("terminals")
    first = np.arange(len(ends)) == np.flatnonzero(ends)[0]
    if terminals != "none":
        arrays["terminals"] = first if terminals == "one" else np.zeros(len(ends))
    arrays[name] = ends & ~first if terminals == "one" else ends
    assert_true(save(tmp_path / "log.npz", **arrays), tmp_path / "d", recorded, source_hz=20)


def test_a_log_that_marks_no_ends_is_told_what_was_looked_for(
    recorded: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = arrays_of(recorded)
    del arrays["terminals"]
    line = refusal(save(tmp_path / "log.npz", **arrays), tmp_path / "d", capsys)
    assert "looked for terminals, timeouts, terminations, truncations, dones" in line


# -- what is a picture


@pytest.mark.parametrize(
    "change",
    [
        lambda p: np.moveaxis(p, -1, 1),
        lambda p: (p / 255).astype(np.float32),
        lambda p: np.moveaxis(p, -1, 1).astype(np.float64) / 255,
        lambda p: p[..., 0],
        lambda p: p[..., :1],
        lambda p: np.concatenate((p, np.full_like(p[..., :1], 255)), -1),
    ],
    ids=["channels first", "floats", "floats first", "grey", "one channel", "opaque"],
)
def test_pictures_of_any_form_are_read(
    change: Callable[[Array], Array], recorded: list[Any], tmp_path: Path
) -> None:
    arrays = arrays_of(recorded)
    arrays["observations"] = change(arrays["observations"])
    assert_true(save(tmp_path / "log.npz", **arrays), tmp_path / "d", recorded, source_hz=20)


def stacked(pictures: Array, order: tuple[int, ...]) -> Array:
    return np.stack([np.roll(pictures[..., 0], k, 0) for k in order], 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: stacked(p, (3, 2, 1, 0)), "four channels of which the last is not opaque"),
        (lambda p: stacked(p, (2, 1, 0)), "greys of three frames in a row"),
        (lambda p: np.moveaxis(stacked(p, (0, 1, 2)), 1, -1), "greys of three frames in a row"),
        (lambda p: np.concatenate((p, p, p), -1), r"shape \(24, 32, 9\) \(several pictures in one"),
        (lambda p: p.astype(np.float32), r"float32 from 40 to 215, not in \[0, 1\]"),
        (lambda p: p / 127.5 - 1, r"float64 from -0\.\d+ to 0\.\d+, not in \[0, 1\]"),
    ],
    ids=["four greys", "three greys", "newest first", "three colours", "floats to 255", "signed"],
)
def test_what_only_looks_like_a_picture_is_refused(
    change: Callable[[Array], Array],
    message: str,
    recorded: list[Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arrays = arrays_of(recorded)
    arrays["observations"] = change(arrays["observations"])
    path = save(tmp_path / "log.npz", **arrays)
    import re

    assert re.search(message, refusal(path, tmp_path / "d", capsys, "--source-hz", "20"))


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.int8])
def test_numbers_of_other_sizes_are_no_pictures(kind: Any) -> None:
    with pytest.raises(DatasetError, match=r"here: frames are u?int\d+, not uint8 .* \(depth\?\)"):
        to_rgb(np.zeros((4, 5, 3), kind), "here")


def with_pictures(
    source: Path, recorded: list[Any], save: Callable[[Array, io.BytesIO], None]
) -> Path:
    """LeRobot's pictures in the table, each as one file."""
    info = json.loads((source / "meta/info.json").read_text())
    info["features"]["observation.images.top"]["dtype"] = "image"
    (source / "meta/info.json").write_text(json.dumps(info))
    for number, episode in enumerate(recorded):
        path = source / f"data/chunk-000/episode_{number:06d}.parquet"
        cells = []
        for frame in episode.frames:
            buffer = io.BytesIO()
            save(frame, buffer)
            cells.append({"bytes": buffer.getvalue(), "path": None})
        table = pq.read_table(path).append_column("observation.images.top", pa.array(cells))
        pq.write_table(table, path)
    return source


def test_depth_of_sixteen_bits_in_a_table_is_refused(
    log_writers: Writers, recorded: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It became 98 % white."""

    def depth(frame: Array, file: io.BytesIO) -> None:
        Image.fromarray(frame[..., 0].astype(np.uint16) * 10).save(file, "png")

    source = with_pictures(log_writers["lerobot v2.1"](tmp_path / "log", recorded), recorded, depth)
    assert "frames are uint16, not uint8 pictures" in refusal(source, tmp_path / "d", capsys)


def test_a_photograph_is_turned_as_it_says(
    log_writers: Writers, recorded: list[Any], tmp_path: Path
) -> None:
    def lying(frame: Array, file: io.BytesIO) -> None:
        exif = Image.Exif()
        exif[274] = 6  # to be turned clockwise by a quarter
        Image.fromarray(np.rot90(frame)).save(file, "png", exif=exif)

    source = with_pictures(log_writers["lerobot v2.1"](tmp_path / "log", recorded), recorded, lying)
    assert_true(source, tmp_path / "d", recorded)


# -- layouts, damage and emptiness


@pytest.fixture
def robomimic(log_writers: Writers, recorded: list[Any], tmp_path: Path) -> Path:
    return log_writers["hdf5"](tmp_path / "log", recorded)


def write_aloha(folder: Path, recorded: list[Any]) -> Path:
    folder.mkdir()
    for number, episode in enumerate(recorded):
        with h5py.File(folder / f"episode_{9 + number}.hdf5", "w") as file:
            file["action"] = episode.actions
            file["observations/qpos"] = episode.state
            file["observations/images/top"] = episode.frames
            file["observations/images/wrist"] = episode.frames[:, ::-1]
    return folder


def test_aloha_is_a_file_an_episode(
    recorded: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_aloha(tmp_path / "log", recorded)
    assert_true(folder, tmp_path / "d", recorded, keys=Keys(camera="top"), source_hz=50)
    log = open_log(folder, keys=Keys(camera="top"))
    assert [e.name for e in log.episodes] == ["episode_9", "episode_10", "episode_11"]
    assert log.proprio_names == ["qpos.0", "qpos.1"]
    single = folder / "episode_10.hdf5"
    assert len(open_log(single, keys=Keys(camera="top")).episodes) == 1
    assert "choose with --camera: images/top, images/wrist" in refusal(folder, tmp_path, capsys)
    with h5py.File(single, "a") as file:
        del file["observations/images/top"]
        file["observations/images/top"] = np.zeros((9, 400), np.uint8)
    assert "images/top holds compressed pictures" in refusal(single, tmp_path, capsys)


def test_hdf5_of_another_layout_is_told_what_was_looked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with h5py.File(tmp_path / "log.h5", "w") as file:
        file["frames"] = np.zeros(3)
    line = refusal(tmp_path / "log.h5", tmp_path / "d", capsys)
    assert "looked for data/demo_N (robomimic), action and observations (ALOHA), episode_N" in line
    assert "there is: frames" in line


def test_a_log_without_pictures_is_told_what_was_looked_for(
    robomimic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with h5py.File(robomimic, "a") as file:
        for demo in file["data"].values():
            del demo["obs/agentview_image"]
    line = refusal(robomimic, tmp_path / "d", capsys)
    assert "looked for arrays of pictures, uint8 (steps, height, width, channels)" in line
    assert "there is: object (12, 1) float32, robot0_eef_pos (12, 2) float64" in line


@pytest.mark.parametrize("place", ["demo_11", "demo_0"])
def test_an_episode_that_was_given_up_can_be_left_out(
    place: str,
    robomimic: Path,
    recorded: list[Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Isaac Lab keeps a demo of no steps; there was no way past it, even with `--skip`."""
    with h5py.File(robomimic, "a") as file:
        file["data"].create_group(place).attrs["num_samples"] = 0
    assert f"--skip {place}" in refusal(robomimic, tmp_path / "d", capsys)
    assert_true(robomimic, tmp_path / "e", recorded, skip=frozenset({place}))


@pytest.mark.parametrize("key", ["obs/agentview_image", "actions"])
def test_a_damaged_chunk_is_one_line_and_can_be_left_out(
    key: str,
    robomimic: Path,
    recorded: list[Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with h5py.File(robomimic, "a") as file:
        values = file[f"data/demo_9/{key}"][:]
        del file[f"data/demo_9/{key}"]
        array = file.create_dataset(
            f"data/demo_9/{key}", data=values, chunks=(1, *values.shape[1:]), compression="gzip"
        )
        place = array.id.get_chunk_info(3)
    data = bytearray(robomimic.read_bytes())
    at, end = place.byte_offset + 2, place.byte_offset + place.size
    data[at:end] = b"\xff" * (end - at)
    robomimic.write_bytes(bytes(data))
    line = refusal(robomimic, tmp_path / "d", capsys)
    assert f"/data/demo_9/{key} cannot be read" in line
    assert "--skip demo_9" in line
    others = [recorded[0], SimpleNamespace(**vars(recorded[2]))]
    log = open_log(robomimic)
    for number, episode in zip((0, 2), others, strict=True):
        assert np.array_equal(log.rows(number).actions, episode.actions)
        assert [read_mark(frame)[1] for frame in log.frames(number)] == list(
            range(len(episode.actions))
        )


def test_damage_in_an_npz_is_one_line(
    recorded: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path / "log.npz", **arrays_of(recorded))
    data = bytearray(path.read_bytes())
    at = data.index(b"actions.npy") + 60
    data[at : at + 80] = b"\xff" * 80
    path.write_bytes(bytes(data))
    assert "'actions' cannot be read" in refusal(path, tmp_path / "d", capsys, "--source-hz", "20")


# -- tables and clocks


@pytest.fixture
def folder(log_writers: Writers, recorded: list[Any], tmp_path: Path) -> Path:
    return log_writers["folder"](tmp_path / "log", recorded)


def restamp(folder: Path, stamp: Callable[[int], float]) -> None:
    """Give every row another time."""
    for table in folder.glob("*.csv"):
        head, *rows = table.read_text().splitlines()
        cells = [row.partition(",")[2] for row in rows]
        lines = [f"{stamp(t)},{rest}" for t, rest in enumerate(cells)]
        table.write_text("\n".join([head, *lines]) + "\n")


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_table_may_have_other_separators_and_decimal_commas(
    separator: str, folder: Path, recorded: list[Any], tmp_path: Path
) -> None:
    for table in folder.glob("*.csv"):
        table.write_text(table.read_text().replace(",", separator).replace(".", ","))
        head, _, body = table.read_text().partition("\n")
        table.write_text(
            head.replace("action,", "action.").replace("state,", "state.") + "\n" + body
        )
    assert_true(folder, tmp_path / "d", recorded)


@pytest.mark.parametrize(
    "stamp",
    [
        lambda t: round(round(t / 20 / 0.01) * 0.01, 2),
        lambda t: round(t / 20 / 0.03) * 0.03,
        lambda t: t / 20 + (0.012 if t % 2 else 0),
        lambda t: 1_700_000_000 + t / 20,
        lambda t: t / 20.1,
    ],
    ids=["coarse", "coarser", "jitter", "since 1970", "a little slow"],
)
def test_a_clock_is_read_by_all_of_its_time_and_yields_to_the_video(
    stamp: Callable[[int], float], folder: Path, recorded: list[Any], tmp_path: Path
) -> None:
    """The middle step of a logger that ticks every 10 ms said 33.3 Hz of 30 frames a second."""
    restamp(folder, stamp)
    assert open_log(folder).fps == 20
    assert_true(folder, tmp_path / "d", recorded)


@pytest.mark.parametrize(
    ("many", "unit"), [(1e3, "milliseconds"), (1e6, "microseconds"), (1e9, "nanoseconds")]
)
def test_a_clock_in_another_unit_is_named(
    many: float,
    unit: str,
    folder: Path,
    recorded: list[Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    restamp(folder, lambda t: 7 * many + t * many / 20)
    line = refusal(folder, tmp_path / "d", capsys)
    assert f"the videos 20: it seems to count {unit}" in line
    assert "--source-hz 20" in line
    assert_true(folder, tmp_path / "e", recorded, source_hz=20)


def test_a_clock_that_contradicts_the_video_is_asked_about(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    restamp(folder, lambda t: t / 5)
    line = refusal(folder, tmp_path / "d", capsys)
    assert "'timestamp' [s] says 5 rows a second, the videos 20; say which is right" in line


def test_one_table_at_another_rate_is_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = folder / "run 2.csv"
    head, *rows = table.read_text().splitlines()
    lines = [f"{t / 28},{row.partition(',')[2]}" for t, row in enumerate(rows)]
    table.write_text("\n".join([head, *lines]) + "\n")
    line = refusal(folder, tmp_path / "d", capsys)
    assert "run 2.csv: 15 rows last 0.500 s, at 20 rows a second" in line
