"""Collecting: exact seeds, appending, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goalsight.data import open_dataset, validate
from goalsight.data.collect import CollectConfig, collect
from goalsight.errors import OutputError, UserError
from goalsight.executor import WorkerLostError

MakeConfig = Callable[..., CollectConfig]
HERE = Path(__file__).parent
FAKE = "fake_env:Fake/Square-v0"


def tree(root: Path) -> dict[str, bytes]:
    """Content of every file by relative path."""
    files = (file for file in root.rglob("*") if file.is_file())
    return {str(file.relative_to(root)): file.read_bytes() for file in files}


@pytest.mark.parametrize("video", ["h264", "none"])
def test_the_number_of_workers_changes_no_byte_of_the_dataset(
    made_once: dict[str, Path], tmp_path: Path, config_for: MakeConfig, video: str
) -> None:
    collect(config_for(tmp_path / "three", workers=3, video=video))
    assert tree(tmp_path / "three") == tree(made_once[video])


@settings(max_examples=8, deadline=None)
@given(stops=st.lists(st.integers(1, 6), min_size=1, max_size=3), seed=st.integers(0, 2**40))
def test_appending_in_several_runs_gives_what_one_run_gives(stops: list[int], seed: int) -> None:
    shared: dict[str, Any] = {"env": FAKE, "size": 16, "steps": 5, "seed": seed, "video": "none"}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        collect(CollectConfig(out=root / "one", episodes=max(stops), **shared))
        for stop in stops:
            collect(CollectConfig(out=root / "parts", episodes=stop, **shared))
        assert tree(root / "parts") == tree(root / "one")


def test_episodes_files_are_split_so_that_a_commit_rewrites_little(
    tmp_path: Path, config_for: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("goalsight.data.format.EPISODES_PER_FILE", 3)
    collect(config_for(tmp_path / "a", episodes=7, video="none"))
    collect(config_for(tmp_path / "b", episodes=4, video="none"))
    collect(config_for(tmp_path / "b", episodes=7, video="none"))
    assert len(list((tmp_path / "a/meta/episodes").rglob("*.parquet"))) == 3
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert validate(tmp_path / "a") == []


def test_different_seeds_give_different_episodes(tmp_path: Path, config_for: MakeConfig) -> None:
    starts = []
    for seed in (0, 1):
        collect(config_for(tmp_path / str(seed), seed=seed, episodes=2, video="none"))
        dataset = open_dataset(tmp_path / str(seed))
        starts += [dataset.columns(["action"], [e])["action"][0].tolist() for e in (0, 1)]
    assert len({tuple(start) for start in starts}) == 4


def test_row_t_holds_what_was_seen_before_action_t(bare_dataset: Path) -> None:
    dataset = open_dataset(bare_dataset)
    columns = dataset.columns(["action", "observation.state"], [2])
    position = columns["observation.state"][:, :2]
    moved = np.clip(position[:-1] + 0.1 * columns["action"][:-1], 0, 1)
    np.testing.assert_allclose(position[1:], moved, atol=1e-6)


def test_progress_counts_what_is_there_and_ends_at_the_total(
    tmp_path: Path, config_for: MakeConfig
) -> None:
    seen: list[tuple[int, int]] = []
    collect(config_for(tmp_path / "d", episodes=2, video="none"))
    summary = collect(
        config_for(tmp_path / "d", episodes=4, video="none"), lambda *told: seen.append(told)
    )
    assert seen == [(2, 4), (3, 4), (4, 4)]
    assert summary.steps == 24
    assert (summary.kept, summary.episodes, summary.frames) == (2, 4, 48)
    assert not summary.interrupted


@pytest.mark.parametrize(
    ("field", "value"), [("seed", 9), ("size", 32), ("steps", 13), ("policy", "random")]
)
def test_other_settings_are_refused_by_name_and_nothing_changes(
    bare_dataset: Path, config_for: MakeConfig, field: str, value: object
) -> None:
    before = tree(bare_dataset)
    with pytest.raises(OutputError, match=f"with {field} .*use the same settings"):
        collect(config_for(bare_dataset, episodes=9, video="none", **{field: value}))
    assert tree(bare_dataset) == before


@pytest.mark.parametrize("name", ["holiday.jpg", "data/chunk-000/file-000.parquet"])
def test_a_folder_with_something_else_is_refused_untouched(
    tmp_path: Path, config_for: MakeConfig, name: str
) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match="already holds something else"):
        collect(config_for(tmp_path))
    assert tree(tmp_path) == {name: b"mine"}


def test_a_foreign_lerobot_dataset_is_refused(video_dataset: Path, config_for: MakeConfig) -> None:
    (video_dataset / "meta/goalsight.json").unlink()
    with pytest.raises(OutputError, match="goalsight did not write"):
        collect(config_for(video_dataset))


def test_a_dataset_that_lost_its_info_is_not_taken_for_an_empty_folder(
    video_dataset: Path, config_for: MakeConfig
) -> None:
    (video_dataset / "meta/info.json").unlink()
    with pytest.raises(OutputError, match=r"holds 4 episodes but meta/info.json is missing"):
        collect(config_for(video_dataset, seed=5))


def test_a_file_as_output_is_refused(tmp_path: Path, config_for: MakeConfig) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="is a file"):
        collect(config_for(tmp_path / "file"))


@pytest.mark.parametrize("workers", [1, 2])
def test_an_unknown_environment_lists_those_that_exist(
    tmp_path: Path, config_for: MakeConfig, workers: int
) -> None:
    with pytest.raises(UserError, match=r"no environment .*there are: .*Fake/Square-v0"):
        collect(config_for(tmp_path / "d", env="fake_env:Fake/Sqare-v0", workers=workers))
    assert not (tmp_path / "d").exists()


def test_an_unknown_module_is_named(tmp_path: Path, config_for: MakeConfig) -> None:
    with pytest.raises(UserError, match="no module 'nowhere'"):
        collect(config_for(tmp_path / "d", env="nowhere:Fake/Square-v0"))


def test_a_worker_that_dies_ends_the_run_with_one_line(
    tmp_path: Path, config_for: MakeConfig
) -> None:
    with pytest.raises(WorkerLostError, match=r"a worker died, and another one .*status 9"):
        collect(config_for(tmp_path / "d", env="fake_env:Fake/Fragile-v0", workers=2))


@pytest.mark.parametrize(
    ("field", "value"),
    [("episodes", 0), ("workers", 0), ("size", 4), ("seed", -1), ("policy", "oracle")],
)
def test_settings_out_of_range_are_refused_by_name(
    tmp_path: Path, config_for: MakeConfig, field: str, value: object
) -> None:
    with pytest.raises(ValueError, match=f"{field} must be"):
        config_for(tmp_path, **{field: value})


def test_collecting_without_video_loads_neither_video_libraries_nor_pytorch(
    tmp_path: Path,
) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from goalsight.data.collect import CollectConfig, collect\n"
        f"collect(CollectConfig(env={FAKE!r}, episodes=1, out=Path(sys.argv[2]), steps=3,\n"
        "    size=16, video='none'))\n"
        "print([m for m in ('av', 'decord', 'torch') if m in sys.modules])\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(HERE), str(tmp_path / "d")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "[]"


def test_provenance_says_where_the_data_comes_from(video_dataset: Path) -> None:
    said = json.loads((video_dataset / "meta/goalsight.json").read_text())
    assert (said["env"], said["policy"], said["seed"]) == (FAKE, "play", 0)
    assert said["truth"] == {"square": 2, "speed": 1}
    assert said["renderer"] == "numpy"
