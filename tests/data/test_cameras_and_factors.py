"""A second video stream and what varied: recorded, named, chosen; absent where not asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from goalsight.data import FrameCache, Windows, open_dataset, validate
from goalsight.data.collect import CollectConfig, collect, load_mix
from goalsight.data.frames import decode_episode
from goalsight.data.repair import write_good
from goalsight.errors import DatasetError, OutputError, UserError

WRIST = "observation.images.wrist"


def config(out: Path, **changes: object) -> CollectConfig:
    settings: dict[str, Any] = {
        "env": "Goalsight/Push-v0",
        "episodes": 3,
        "out": out,
        "size": 32,
        "steps": 8,
        "policy": "random",
        "cameras": ("front", "wrist"),
        "factors": "mild",
    }
    return CollectConfig(**{**settings, **changes})


@pytest.fixture(scope="module")
def two_eyed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "two"
    collect(config(out))
    return out


def test_the_second_camera_is_a_second_lerobot_video(two_eyed: Path) -> None:
    info = json.loads((two_eyed / "meta/info.json").read_text())
    assert info["features"][WRIST] == info["features"]["observation.images.front"]
    assert (two_eyed / f"videos/{WRIST}/chunk-000/file-002.mp4").is_file()
    episodes = pq.read_table(two_eyed / "meta/episodes/chunk-000/file-000.parquet")
    assert episodes[f"videos/{WRIST}/to_timestamp"].to_pylist() == pytest.approx([0.8] * 3)
    stats = json.loads((two_eyed / "meta/stats.json").read_text())
    assert stats[WRIST]["mean"] != stats["observation.images.front"]["mean"]
    assert [problem for problem in validate(two_eyed) if not problem.warning] == []


def test_a_reader_chooses_the_camera(two_eyed: Path) -> None:
    dataset = open_dataset(two_eyed)
    hand = open_dataset(two_eyed, camera=WRIST)
    assert (dataset.camera, hand.camera, dataset.seen_by("").camera) == ("front", "wrist", "front")
    one, two = (Windows(seen, range(3), 2, 3) for seen in (dataset, hand))
    assert not np.array_equal(one[0].frames, two[0].frames)
    np.testing.assert_array_equal(one[0].actions, two[0].actions)
    assert FrameCache(hand).path(0).parent.name == "wrist"
    assert hand.fingerprint() == dataset.fingerprint()
    with pytest.raises(DatasetError, match=r"no camera 'back'; it has: front, wrist"):
        dataset.seen_by("back")


def test_looks_may_vary_from_frame_to_frame_and_the_dataset_says_so(tmp_path: Path) -> None:
    for name, redraw in (("still", False), ("restless", True)):
        collect(config(tmp_path / name, cameras=(), factors="looks", redraw=redraw, video="none"))
    still, restless = (open_dataset(tmp_path / name) for name in ("still", "restless"))
    assert (still.provenance.redraw, restless.provenance.redraw) == (None, True)
    assert still.records[0].factors == restless.records[0].factors
    films = [decode_episode(dataset, 0).astype(float) for dataset in (still, restless)]
    np.testing.assert_array_equal(films[0][0], films[1][0])
    change = [np.abs(np.diff(film, axis=0)).mean(axis=(1, 2, 3)) for film in films]
    assert change[1].min() > 2 * change[0].max()
    one, two = (Windows(seen, range(3), 2, 3) for seen in (still, restless))
    np.testing.assert_array_equal(one[0].actions, two[0].actions)
    np.testing.assert_array_equal(one[0].proprio, two[0].proprio)


def test_looks_that_do_not_vary_cannot_vary_within_an_episode(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="redraw has nothing to draw"):
        config(tmp_path, factors=None, redraw=True)


def test_a_damaged_second_video_is_found(two_eyed: Path, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(two_eyed, tmp_path / "copy"))
    video = copy / f"videos/{WRIST}/chunk-000/file-001.mp4"
    video.write_bytes(video.read_bytes()[:-40])
    problems = [problem for problem in validate(copy) if not problem.warning]
    assert [problem.episode for problem in problems] == [1]
    assert WRIST in problems[0].message
    whole = open_dataset(two_eyed)
    write_good(copy, tmp_path / "good", problems)
    kept = open_dataset(tmp_path / "good", camera="wrist")
    assert [record.factors for record in kept.records] == [
        whole.records[0].factors,
        whole.records[2].factors,
    ]
    np.testing.assert_array_equal(
        decode_episode(kept, 1), decode_episode(whole.seen_by("wrist"), 2)
    )
    video.unlink()
    with pytest.raises(DatasetError, match=r"file-001\.mp4 is missing"):
        open_dataset(copy)


def test_every_episode_records_what_varied_and_shows_it_again(two_eyed: Path) -> None:
    import gymnasium

    dataset = open_dataset(two_eyed)
    assert dataset.provenance.factors == "mild"
    values = [record.factors for record in dataset.records]
    assert len({json.dumps(value) for value in values}) == 3
    env = gymnasium.make("Goalsight/Push-v0", size=32, observe_pixels=False)
    for value in filter(None, values):  # as they are read back from JSON
        assert env.reset(options={"factors": value})[1]["factors"].keys() == value.keys()
    env.close()


def test_branches_of_one_start_share_what_varies(tmp_path: Path) -> None:
    """The second reset, to where a branch begins, must not draw anew."""
    few = {"episodes": 12, "steps": 3, "video": "none", "cameras": (), "policy": "play"}
    collect(config(tmp_path / "d", env="Goalsight/Grasp-v0", mix=load_mix("branches"), **few))
    values = [json.dumps(record.factors) for record in open_dataset(tmp_path / "d").records]
    counts = {values.count(value) for value in values}
    assert "null" not in values
    assert counts == {1, 4}


def test_neither_workers_nor_interruption_change_a_byte(two_eyed: Path, tmp_path: Path) -> None:
    collect(config(tmp_path / "again", episodes=1))
    collect(config(tmp_path / "again"))
    assert open_dataset(tmp_path / "again").fingerprint() == open_dataset(two_eyed).fingerprint()
    with pytest.raises(OutputError, match="holds a dataset with factors 'mild', not None"):
        collect(config(tmp_path / "again", factors=None))


def test_a_dataset_that_uses_neither_is_written_as_ever(tmp_path: Path) -> None:
    """Old datasets open, and their fingerprints, which checkpoints keep, stay."""
    collect(config(tmp_path / "plain", cameras=(), factors=None, episodes=1, video="none"))
    provenance = json.loads((tmp_path / "plain/meta/goalsight.json").read_text())
    assert not {"other_cameras", "factors"} & provenance.keys()
    record = json.loads((tmp_path / "plain/meta/goalsight_episodes.jsonl").read_text())
    assert not {"other_sha256", "factors"} & record.keys()
    assert open_dataset(tmp_path / "plain").camera == "front"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cameras": ("front", "back")}, "cameras are one or more of front, overview, wrist"),
        ({"factors": {"cube.size": 9}}, "factor cube.size is 0.02 to 0.037 m, got 9"),
        ({"env": "fake_env:Fake/Square-v0", "size": 20}, "fake_env:Fake/Square-v0 with cameras"),
    ],
)
def test_what_the_environment_cannot_do_is_said_in_one_line(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        collect(config(tmp_path / "out", **changes))
