"""With the `lerobot` package itself: what it writes trains, what we write it reads.

Runs in an environment of its own, without a simulator: `make test-lerobot`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.reading import synthetic_dataset
from goalsight.cli.main import main
from goalsight.data import open_dataset
from goalsight.data.frames import decode_episode
from goalsight.data.importers import read_record

pytestmark = pytest.mark.lerobot
LENGTHS, FPS, SIZE = (30, 24, 36), 30, (72, 96)
TOP = "observation.images.top"


def lerobot_class() -> Any:
    module = pytest.importorskip(
        "lerobot.datasets.lerobot_dataset", reason="the lerobot package is not installed"
    )
    return module.LeRobotDataset


def recordings() -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    episodes = []
    for number, length in enumerate(LENGTHS):
        frames = np.full((length, *SIZE, 3), 50, np.uint8)
        for t in range(length):
            frames[t, 20:44, t : t + 24] = (220, 60 * number, 30)
        episodes.append(
            {
                TOP: frames,
                "action": rng.uniform(-2, 9, (length, 5)).astype(np.float32),
                "observation.state": rng.normal(size=(length, 6)).astype(np.float32),
            }
        )
    return episodes


def written_by_the_package(root: Path, codec: str) -> Path:
    names = [f"joint_{i}" for i in range(5)]
    features = {
        TOP: {"dtype": "video", "shape": (*SIZE, 3), "names": ["height", "width", "channels"]},
        "action": {"dtype": "float32", "shape": (5,), "names": names},
        "observation.state": {"dtype": "float32", "shape": (6,), "names": [*names, "grip"]},
    }
    dataset = lerobot_class().create(
        "local/log", FPS, features, root=root, video_backend="pyav", vcodec=codec
    )
    for number, episode in enumerate(recordings()):
        for t in range(LENGTHS[number]):
            row = {key: values[t] for key, values in episode.items()}
            dataset.add_frame({**row, "task": f"task {number % 2}"})
        dataset.save_episode()
    dataset.finalize()
    return root


@pytest.mark.parametrize("codec", ["libsvtav1", "h264"])
def test_a_dataset_that_the_package_wrote_is_imported_and_trains(
    codec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = written_by_the_package(tmp_path / "log", codec)
    data, run = tmp_path / "data", tmp_path / "run"
    given = ["data", "import", str(source), "--out", str(data), "--size", "64"]
    assert main([*given, "--control-hz", "15"]) == 0
    dataset, record = open_dataset(data), read_record(data)
    assert record is not None
    assert dataset.episodes.tolist() == [15, 12, 18]
    assert record.tasks == [["task 0"], ["task 1"], ["task 0"]]
    assert dataset.provenance.action_names == [f"joint_{i}" for i in range(5)]
    for number, episode in enumerate(recordings()):
        rows = dataset.read_episode(number, dataset.widths())
        own = record.scale.from_unit(rows["action"])
        np.testing.assert_allclose(own, episode["action"][1::2], rtol=0, atol=1e-6)
        assert np.array_equal(rows["observation.state"], episode["observation.state"][::2])
        middle = decode_episode(dataset, number)[:, 32, 10].astype(int)  # colour of the square
        assert middle.shape == (LENGTHS[number] // 2, 3)
    capsys.readouterr()
    train = ["train", "--config", "tiny", "--data", str(data), "--out", str(run), "--json"]
    few = ["--trainer.max-steps", "4", "--windows.batch", "8", "--model.frameskip", "2"]
    assert main([*train, *few, "--proprio", "true", "--trainer.accelerator", "cpu"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 4


def test_a_dataset_of_ours_opens_in_the_package_with_equal_rows_and_pixels(
    tmp_path: Path,
) -> None:
    ours = synthetic_dataset(tmp_path / "ours", size=64, episodes=3, length=20)
    opened = lerobot_class()("local/ours", root=ours.path, video_backend="pyav")
    assert_equal(ours, opened, "observation.images.front")


def test_an_export_opens_in_the_package_in_its_own_units_and_tasks(tmp_path: Path) -> None:
    source = written_by_the_package(tmp_path / "log", "h264")
    data, plain = tmp_path / "data", tmp_path / "plain"
    assert main(["data", "import", str(source), "--out", str(data), "--size", "64"]) == 0
    assert main(["data", "export", str(data), "--out", str(plain)]) == 0
    opened = lerobot_class()("local/plain", root=plain, video_backend="pyav")
    record = read_record(data)
    assert record is not None
    assert_equal(open_dataset(data), opened, TOP, scale=record.scale.from_unit)
    first = [recordings()[0]["action"][0], recordings()[1]["action"][0]]
    np.testing.assert_allclose(opened[0]["action"].numpy(), first[0], atol=1e-6)
    np.testing.assert_allclose(opened[LENGTHS[0]]["action"].numpy(), first[1], atol=1e-6)
    assert [opened[i]["task"] for i in (0, LENGTHS[0])] == ["task 0", "task 1"]
    assert opened.meta.stats["action"]["max"].shape == (5,)


def assert_equal(ours: Any, opened: Any, key: str, scale: Any = np.asarray) -> None:
    assert len(opened) == ours.total_frames
    assert opened.num_episodes == len(ours.records)
    start = 0
    for number, length in enumerate(ours.episodes.tolist()):
        rows, frames = ours.read_episode(number, ours.widths()), decode_episode(ours, number)
        for t in (0, 1, length // 2, length - 1):
            item = opened[start + t]
            assert np.array_equal(item["action"].numpy().reshape(-1), scale(rows["action"])[t])
            state = item["observation.state"].numpy().reshape(-1)
            assert np.array_equal(state, rows["observation.state"][t])
            pixels = (item[key].numpy() * 255).round().astype(np.uint8)
            assert np.array_equal(np.moveaxis(pixels, 0, -1), frames[t])
        start += length
