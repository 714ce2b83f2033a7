"""`validate --fix`: bad episodes go, nothing is lost, a kill leaves the old or the new."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from goalsight.cli.main import main
from goalsight.data import open_dataset, quarantine, validate
from goalsight.data.cache import decode_episode
from goalsight.data.collect import CollectConfig, collect
from goalsight.data.quarantine import exchange, set_aside
from goalsight.errors import DatasetError

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


def test_the_sound_episodes_stay_and_every_old_file_is_kept(video_dataset: Path) -> None:
    sound = episodes_of(video_dataset)
    damage(video_dataset)
    (video_dataset / "notes.txt").write_text("mine")
    before = tree(video_dataset)
    place = set_aside(video_dataset, validate(video_dataset))
    assert place == video_dataset.with_name("video_dataset.quarantine") / "1"
    assert validate(video_dataset) == []
    assert episodes_of(video_dataset) == [sound[0], sound[2], sound[3]]
    assert (video_dataset / "notes.txt").read_text() == "mine"
    kept = tree(place)
    listed = json.loads(kept.pop("problems.json"))
    assert kept == before
    assert [problem["episode"] for problem in listed] == [1]


@pytest.mark.parametrize("video", ["h264", "none"])
def test_collecting_goes_on_behind_the_last_episode_and_repeats_none(
    made_once: dict[str, Path],
    video_dataset: Path,
    bare_dataset: Path,
    config_for: MakeConfig,
    video: str,
    tmp_path: Path,
) -> None:
    root = video_dataset if video == "h264" else bare_dataset
    file = root / (VIDEO if video == "h264" else "cache/front/episode-000001.npy")
    file.write_bytes(b"lost")
    set_aside(root, validate(root))
    assert [record.origin for record in open_dataset(root).records] == [None, 2, 3]
    collect(config_for(root, episodes=4, video=video))
    collect(config_for(tmp_path / "five", episodes=5, video=video))
    five = episodes_of(tmp_path / "five")
    assert episodes_of(root) == [five[0], five[2], five[3], five[4]]
    assert validate(root) == []


def test_a_wrong_total_is_put_right_without_losing_an_episode(video_dataset: Path) -> None:
    sound = episodes_of(video_dataset)
    info = video_dataset / "meta/info.json"
    info.write_text(info.read_text().replace('"total_frames": 48', '"total_frames": 84'))
    set_aside(video_dataset, validate(video_dataset))
    assert episodes_of(video_dataset) == sound


class Killed(BaseException):
    """Stands for kill -9: nothing behind it runs but what the interpreter unwinds."""


@pytest.mark.parametrize("moment", ["_carry_over", "exchange", "replace_file"])
def test_a_kill_leaves_the_old_dataset_or_the_new(
    video_dataset: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(video_dataset)
    before = tree(video_dataset)

    def kill(*_: Any) -> None:
        raise Killed

    problems = validate(video_dataset)
    with monkeypatch.context() as patched:
        patched.setattr(quarantine, moment, kill)
        with pytest.raises(Killed):
            set_aside(video_dataset, problems)
    if moment == "replace_file":  # behind the exchange: only the list of problems is missing
        assert validate(video_dataset) == []
        assert tree(video_dataset.with_name("video_dataset.quarantine") / "1") == before
        return
    assert tree(video_dataset) == before
    set_aside(video_dataset, validate(video_dataset))
    assert validate(video_dataset) == []


@pytest.mark.parametrize("at_once", [True, False])
def test_two_folders_change_places(
    tmp_path: Path, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not at_once:
        monkeypatch.setattr(quarantine, "_exchange_at_once", lambda a, b: False)
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(name)
    exchange(tmp_path / "a", tmp_path / "b")
    assert tree(tmp_path) == {"a/b": b"b", "b/a": b"a"}


def test_a_dataset_without_a_sound_episode_is_left_as_it_is(video_dataset: Path) -> None:
    for file in (video_dataset / "videos").rglob("*.mp4"):
        file.write_bytes(b"")
    before = tree(video_dataset)
    with pytest.raises(DatasetError, match=r"no episode of .* is sound; nothing was changed"):
        set_aside(video_dataset, validate(video_dataset))
    assert tree(video_dataset) == before


def test_the_command_says_what_it_took_out_and_where_it_is(
    video_dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(video_dataset)
    assert main(["data", "validate", str(video_dataset), "--fix", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["valid"], printed["episodes"]) == (True, 3)
    assert Path(printed["quarantine"]).is_dir()
    assert main(["data", "validate", str(video_dataset), "--fix"]) == 0
    assert "3 episodes, 36 frames, all sound" in capsys.readouterr().out
    (video_dataset / VIDEO).unlink()
    assert main(["data", "validate", str(video_dataset), "--fix"]) == 0
    said = capsys.readouterr().out
    assert "file-001.mp4 is missing" in said
    assert "2 episodes, 24 frames, all sound; 1 taken out; the dataset as it was is in" in said
    assert np.array_equal(open_dataset(video_dataset).episodes, [12, 12])
