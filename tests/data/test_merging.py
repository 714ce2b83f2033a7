"""Several datasets become one: episodes as they were, each with its environment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from goalsight.cli.main import main
from goalsight.data import open_dataset, validate
from goalsight.data.collect import CollectConfig, collect
from goalsight.data.dataset import Dataset
from goalsight.data.frames import decode_episode
from goalsight.data.merge import merge, merged_provenance
from goalsight.data.repair import write_good
from goalsight.data.validation import Problem
from goalsight.errors import DatasetError, OutputError, UserError

MakeConfig = Callable[..., CollectConfig]


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two episodes of Drawer and three of Push, seen alike."""
    root = tmp_path_factory.mktemp("tasks")
    for name, episodes in (("Drawer", 2), ("Push", 3)):
        collect(
            CollectConfig(
                env=f"Goalsight/{name}-v0",
                episodes=episodes,
                out=root / name,
                size=32,
                steps=8,
                policy="random",
                seed=episodes,
            )
        )
    return [root / "Drawer", root / "Push"]


def contents(dataset: Dataset) -> list[tuple[bytes, bytes]]:
    """Actions and frames of every episode."""
    return [
        (dataset.columns(["action"], [e])["action"].tobytes(), decode_episode(dataset, e).tobytes())
        for e in range(len(dataset.records))
    ]


def test_a_merged_dataset_is_sound_and_has_every_episode_in_order(
    tasks: list[Path], tmp_path: Path
) -> None:
    parts = [open_dataset(path) for path in tasks]
    before = [part.fingerprint() for part in parts]
    merge(parts, tmp_path / "both")
    both = open_dataset(tmp_path / "both")
    assert [problem for problem in validate(both.path) if not problem.warning] == []
    assert contents(both) == contents(parts[0]) + contents(parts[1])
    assert [record.env for record in both.records] == ["Goalsight/Drawer-v0"] * 2 + [
        "Goalsight/Push-v0"
    ] * 3
    assert both.provenance.env == "Goalsight/Drawer-v0, Goalsight/Push-v0"
    assert [open_dataset(path).fingerprint() for path in tasks] == before
    sources = both.provenance.sources or []
    assert [source["fingerprint"] for source in sources] == before
    assert [source["episodes"] for source in sources] == [2, 3]


def test_truth_that_one_of_them_lacks_is_left_out(tasks: list[Path], tmp_path: Path) -> None:
    parts = [open_dataset(path) for path in reversed(tasks)]
    merge(parts, tmp_path / "both")
    kept = open_dataset(tmp_path / "both").truth_names
    assert "cube_pos" in parts[0].truth_names
    assert "cube_pos" not in kept
    assert "ee_pos" in kept


def test_an_episode_keeps_its_environment_when_bad_ones_are_taken_out(
    tasks: list[Path], tmp_path: Path
) -> None:
    both = tmp_path / "both"
    merge([open_dataset(path) for path in tasks], both)
    write_good(both, tmp_path / "good", [Problem(0, "made up")])
    assert [record.env for record in open_dataset(tmp_path / "good").records] == [
        "Goalsight/Drawer-v0"
    ] + ["Goalsight/Push-v0"] * 3


def test_a_folder_that_is_there_is_not_touched(tasks: list[Path], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="already there"):
        merge([open_dataset(path) for path in tasks], tmp_path / "mine")
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "thesis.txt"]


def test_a_merge_that_is_interrupted_leaves_nothing_and_can_be_made_again(
    tasks: list[Path], tmp_path: Path
) -> None:
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    parts = [open_dataset(path) for path in tasks]
    with pytest.raises(KeyboardInterrupt):
        merge(parts, tmp_path / "both", stop)
    assert not (tmp_path / "both").exists()
    merge(parts, tmp_path / "both")
    assert len(open_dataset(tmp_path / "both").records) == 5


def test_other_robots_are_refused_with_the_first_difference(tasks: list[Path]) -> None:
    ours = open_dataset(tasks[0])
    other = replace(ours, provenance=replace(ours.provenance, action_names=["a", "b", "c", "d"]))
    with pytest.raises(DatasetError, match="action_names"):
        merged_provenance([ours, other])
    with pytest.raises(DatasetError, match="two datasets"):
        merged_provenance([ours])


def test_the_command_merges_and_says_what_came_of_it(
    tasks: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [flag for path in tasks for flag in ("--data", str(path))]
    assert main(["data", "merge", *flags, "--out", str(tmp_path / "both")]) == 0
    assert "5 episodes, 40 frames" in capsys.readouterr().out


def test_one_does_not_append_to_a_merged_dataset(tasks: list[Path], tmp_path: Path) -> None:
    merge([open_dataset(path) for path in tasks], tmp_path / "both")
    with pytest.raises(UserError, match="env"):
        collect(
            CollectConfig(
                env="Goalsight/Push-v0",
                episodes=9,
                out=tmp_path / "both",
                size=32,
                steps=8,
                policy="random",
                seed=3,
            )
        )
