"""`validate --out`: the good episodes become a dataset of their own, the old one is untouched."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from goalsight.cli.main import main
from goalsight.data import open_dataset, repair, validate
from goalsight.data.collect import CollectConfig, collect
from goalsight.data.format import EpisodeRecord
from goalsight.data.frames import decode_episode
from goalsight.data.merge import moved
from goalsight.data.repair import write_good
from goalsight.errors import DatasetError, OutputError

MakeConfig = Callable[..., CollectConfig]
VIDEO = "videos/observation.images.front/chunk-000/file-001.mp4"


def tree(root: Path) -> dict[str, bytes]:
    files = (file for file in root.rglob("*") if file.is_file())
    return {str(file.relative_to(root)): file.read_bytes() for file in files}


def damage(root: Path) -> None:
    (root / VIDEO).write_bytes((root / VIDEO).read_bytes()[:-200])


def episodes_of(root: Path) -> list[tuple[bytes, bytes]]:
    """Actions and frames of every episode."""
    dataset = open_dataset(root)
    return [
        (dataset.columns(["action"], [e])["action"].tobytes(), decode_episode(dataset, e).tobytes())
        for e in range(len(dataset.records))
    ]


def test_the_good_episodes_are_written_and_the_old_dataset_stays(
    video_dataset: Path, tmp_path: Path
) -> None:
    sound = episodes_of(video_dataset)
    records = open_dataset(video_dataset).records
    damage(video_dataset)
    before = tree(video_dataset)
    write_good(video_dataset, tmp_path / "good", validate(video_dataset))
    assert tree(video_dataset) == before
    assert validate(tmp_path / "good") == []
    assert episodes_of(tmp_path / "good") == [sound[0], sound[2], sound[3]]
    renumbered = {"episode", "data_sha256", "origin"}
    for old, new in zip((0, 2, 3), open_dataset(tmp_path / "good").records, strict=True):
        for field in fields(EpisodeRecord):
            if field.name not in renumbered:
                assert getattr(new, field.name) == getattr(records[old], field.name), field.name


@pytest.mark.parametrize("video", ["h264", "none"])
def test_collecting_goes_on_behind_the_last_episode_and_repeats_none(
    video_dataset: Path, bare_dataset: Path, config_for: MakeConfig, video: str, tmp_path: Path
) -> None:
    root = video_dataset if video == "h264" else bare_dataset
    file = root / (VIDEO if video == "h264" else "cache/front/episode-000001.npy")
    file.write_bytes(b"lost")
    good = tmp_path / "good"
    write_good(root, good, validate(root))
    assert [record.origin for record in open_dataset(good).records] == [None, 2, 3]
    collect(config_for(good, episodes=4, video=video))
    collect(config_for(tmp_path / "five", episodes=5, video=video))
    five = episodes_of(tmp_path / "five")
    assert episodes_of(good) == [five[0], five[2], five[3], five[4]]
    assert validate(good) == []


def test_a_wrong_total_is_put_right_without_losing_an_episode(
    video_dataset: Path, tmp_path: Path
) -> None:
    sound = episodes_of(video_dataset)
    info = video_dataset / "meta/info.json"
    info.write_text(info.read_text().replace('"total_frames": 48', '"total_frames": 84'))
    write_good(video_dataset, tmp_path / "good", validate(video_dataset))
    assert episodes_of(tmp_path / "good") == sound


class Killed(BaseException):
    """Stands for kill -9: nothing behind it runs but what the interpreter unwinds."""


def test_a_kill_leaves_nothing_and_the_next_run_is_whole(
    video_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(video_dataset)
    before, problems = tree(video_dataset), validate(video_dataset)

    def kill(dataset: Any, episode: int, *rest: Any) -> Any:
        if episode == 2:
            raise Killed
        return moved(dataset, episode, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(repair, "moved", kill)
        with pytest.raises(Killed):
            write_good(video_dataset, tmp_path / "good", problems)
    assert not (tmp_path / "good").exists()
    assert tree(video_dataset) == before
    write_good(video_dataset, tmp_path / "good", problems)
    assert validate(tmp_path / "good") == []


def test_without_a_good_episode_nothing_is_written(video_dataset: Path, tmp_path: Path) -> None:
    for file in (video_dataset / "videos").rglob("*.mp4"):
        file.write_bytes(b"")
    with pytest.raises(DatasetError, match=r"no episode of .* is sound; nothing was written"):
        write_good(video_dataset, tmp_path / "good", validate(video_dataset))
    assert not (tmp_path / "good").exists()


def test_a_folder_that_is_there_is_not_touched(video_dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="already there"):
        write_good(video_dataset, tmp_path / "mine", [])
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_the_command_says_what_is_wrong_and_what_it_wrote(
    video_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(video_dataset)
    command = ["data", "validate", str(video_dataset)]
    assert main([*command, "--out", str(tmp_path / "one"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["valid"], printed["episodes"]) == (False, 4)
    assert printed["good"] == str(tmp_path / "one")
    (video_dataset / VIDEO).unlink()
    assert main([*command, "--out", str(tmp_path / "two")]) == 0
    said = capsys.readouterr().out
    assert "file-001.mp4 is missing" in said
    assert "two: 3 episodes, 36 frames, all sound" in said
    assert main([*command, "--out", str(tmp_path / "two")]) == 2
    assert "already there" in capsys.readouterr().err
    assert main(command) == 2
    assert "with --out" in capsys.readouterr().err


def test_the_flag_that_was_says_the_new_one(
    video_dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "validate", str(video_dataset), "--fix"]) == 2
    told = capsys.readouterr().err
    assert "--fix is gone: `goalsight data validate" in told
    assert "--out GOOD` writes the episodes that pass to a new folder" in told
