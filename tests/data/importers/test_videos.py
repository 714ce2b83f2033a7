"""Video as cameras, phones and editors write it: what is shown, upright, and encoded again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tests.data.importers.field import (
    FILM,
    assert_true,
    hide_beginning,
    mark,
    mark_turned,
    read_mark,
    refusal,
    write_film,
)

from goalsight.data import open_dataset, validate
from goalsight.data.importers import ImportConfig, export_dataset, import_log, open_log
from goalsight.data.importers.pictures import pick_frames, video_facts
from goalsight.data.video import read_frames_at, read_video
from goalsight.errors import DatasetError

Writers = dict[str, Callable[..., Path]]


@pytest.fixture
def recorded(recorded: list[Any]) -> list[Any]:
    return mark(recorded)


@pytest.fixture
def folder(log_writers: Writers, recorded: list[Any], tmp_path: Path) -> Path:
    return log_writers["folder"](tmp_path / "log", recorded)


def square(recorded: list[Any]) -> list[np.ndarray]:
    """The marked middle of every frame, (L, 24, 24, 3), at a size that no reader refuses."""
    return [np.repeat(np.repeat(e.frames[:, :, 4:28], 2, 1), 2, 2) for e in recorded]


def uneven(count: int) -> list[float]:
    steps = [0.0] + [0.05 if t % 3 else 0.1 for t in range(count - 1)]
    return [float(time) for time in np.cumsum(steps)]


@pytest.mark.parametrize("quirk", ["uneven", "late", "b-frames", "trimmed"])
def test_full_chroma_alone_does_not_make_a_video_one_of_ours(
    quirk: str, folder: Path, recorded: list[Any], tmp_path: Path
) -> None:
    """Such videos were copied, and then refused by validation or read otherwise by a reader."""
    options = {"bf": "3"} if quirk == "b-frames" else {"bf": "0"}
    for number, frames in enumerate(square(recorded)):
        path = folder / f"run {number}.mp4"
        times = (np.arange(len(frames)) / 20).tolist()
        if quirk == "uneven":
            times = uneven(len(frames))
        if quirk == "late":
            times = [time + 0.5 for time in times]
        if quirk == "trimmed":
            before = frames[[-1] * 4]
            write_film(
                path,
                np.concatenate((before, frames)),
                [*times, *(times[-1] + 0.05 * np.arange(1, 5))],
                **options,
            )
            hide_beginning(path, 0.2)
        else:
            write_film(path, frames, times, **options)
    import_log(ImportConfig(source=folder, out=tmp_path / "d", source_hz=20))
    assert [p.message for p in validate(tmp_path / "d") if not p.warning] == []
    dataset = open_dataset(tmp_path / "d")
    for number, frames in enumerate(square(recorded)):
        path, rows = dataset.frames_file(number)[0], np.arange(len(frames))
        for reader in ("pyav", "auto"):
            for found in (read_video(path, len(rows), reader), read_frames_at(path, rows, reader)):
                assert [read_mark(frame[::2, ::2]) for frame in found] == [
                    (number, t) for t in range(len(frames))
                ]


def test_a_video_that_goalsight_wrote_is_copied_byte_by_byte(folder: Path, tmp_path: Path) -> None:
    import_log(ImportConfig(source=folder, out=tmp_path / "d"))
    export_dataset(open_dataset(tmp_path / "d"), tmp_path / "plain")
    log = open_log(tmp_path / "plain")
    assert log.whole_video(1) is not None
    assert open_log(folder).whole_video(1) is None
    import_log(ImportConfig(source=tmp_path / "plain", out=tmp_path / "again"))
    one, other = (open_dataset(tmp_path / name).frames_file(1)[0] for name in ("d", "again"))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((0, 1, -1, 0), lambda picture: np.rot90(picture, -1)),
        ((-1, 0, 0, -1), lambda picture: np.rot90(picture, 2)),
        ((0, -1, 1, 0), lambda picture: np.rot90(picture, 1)),
        ((-1, 0, 0, 1), lambda picture: picture[:, ::-1]),
        ((0, 1, 1, 0), lambda picture: picture.swapaxes(0, 1)),
    ],
)
def test_a_video_is_read_as_a_player_shows_it(
    matrix: tuple[int, int, int, int],
    shown: Callable[[np.ndarray], np.ndarray],
    recorded: list[Any],
    tmp_path: Path,
) -> None:
    """A phone keeps its pictures as the sensor gives them, and a matrix that says how to turn."""
    path = tmp_path / "film.mp4"
    write_film(path, recorded[0].frames, (np.arange(12) / 20).tolist())
    plain = list(pick_frames(path, np.arange(12), "here"))
    mark_turned(path, matrix)
    assert not video_facts(path).upright
    for stored, frame in zip(plain, pick_frames(path, np.arange(12), "here"), strict=True):
        assert np.array_equal(frame, shown(stored))


def test_frames_are_found_by_number_from_anywhere(recorded: list[Any], tmp_path: Path) -> None:
    """A seek goes by the times of decoding, which B-frames make others than those of showing."""
    path = tmp_path / "film.mp4"
    frames = np.concatenate([e.frames for e in recorded])
    names = [read_mark(frame) for frame in frames]
    write_film(path, frames, (np.arange(36) / 20 + 0.3).tolist(), "yuv420p", bf="3", g="7")
    for first in range(36):
        wanted = np.arange(first, min(first + 4, 36))
        found = [read_mark(frame) for frame in pick_frames(path, wanted, "here")]
        assert found == [names[i] for i in wanted]


@pytest.mark.parametrize(("change", "word"), [(1, "longer"), (-1, "cut short")])
def test_a_video_of_another_length_than_its_table_says_which_is_longer(
    change: int,
    word: str,
    folder: Path,
    recorded: list[Any],
    encode: Callable[..., None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    frames = recorded[1].frames
    frames = np.concatenate((frames, frames[-1:])) if change > 0 else frames[:-1]
    encode(folder / "run 1.mp4", frames)
    line = refusal(folder, tmp_path / "d", capsys)
    assert (
        f"run 1.mp4 has {9 + change} frames where the log has 9 rows: the video is {word}" in line
    )
    assert "--skip run 1" in line


def test_grey_of_more_than_eight_bits_is_refused_by_name(
    log_writers: Writers, recorded: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Depth of 12 bits became 8 without a word."""
    source = log_writers["lerobot v3"](tmp_path / "log", recorded)
    with av.open(str(source / FILM), "w") as container:
        options = {"x265-params": "log-level=none:lossless=1"}
        stream = container.add_stream("libx265", rate=20, options=options)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "gray12le"
        for _ in range(36):
            container.mux(stream.encode(av.VideoFrame(32, 32, "gray12le")))
        container.mux(stream.encode(None))
    line = refusal(source, tmp_path / "d", capsys)
    assert "episode_000000: the video is gray12le, grey of more than 8 bits such as depth" in line


@pytest.mark.parametrize("key", ["is_depth_map", "video.is_depth_map"])
def test_a_camera_that_says_it_is_depth_is_no_camera(
    key: str, log_writers: Writers, recorded: list[Any], tmp_path: Path
) -> None:
    source = log_writers["lerobot v3"](tmp_path / "log", recorded)
    info = json.loads((source / "meta/info.json").read_text())
    info["features"]["observation.image"]["info"] = {key: True}
    (source / "meta/info.json").write_text(json.dumps(info))
    with pytest.raises(DatasetError, match=r"'observation\.image' is depth, not colour"):
        open_log(source)


def test_capitals_and_other_containers_are_videos_too(
    folder: Path, recorded: list[Any], tmp_path: Path
) -> None:
    """GoPros write NAME.MP4."""
    (folder / "run 0.mp4").rename(folder / "run 0.MP4")
    (folder / "run 1.mp4").rename(folder / "run 1.mov")
    (folder / "run 2.csv").rename(folder / "run 2.CSV")
    assert_true(folder, tmp_path / "d", recorded)
    (folder / "run 1.csv").unlink()
    with pytest.raises(DatasetError, match=r"run 1\.mov has no table beside it: run 1\.csv is"):
        open_log(folder)
