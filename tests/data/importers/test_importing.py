"""Import and export undo each other, go on after a kill, and refuse what would be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalsight.data import open_dataset, validate
from goalsight.data.frames import decode_episode
from goalsight.data.importers import (
    ActionScale,
    ImportConfig,
    export_dataset,
    import_log,
    read_record,
)
from goalsight.data.importers.importing import resample, step_edges
from goalsight.data.importers.source import Rows
from goalsight.errors import DatasetError, OutputError, UserError

Writers = dict[str, Callable[..., Path]]
Numbers = st.floats(-100, 100, width=32, allow_subnormal=False)


@given(st.lists(st.tuples(Numbers, Numbers), min_size=1, max_size=4), st.integers(0, 99))
def test_a_scale_is_undone_to_rounding_and_keeps_its_ends(
    ends: list[tuple[float, float]], seed: int
) -> None:
    low, high = np.sort(np.array(ends), 1).T
    scale = ActionScale.of(low, high)
    inside = low + (high - low) * np.random.default_rng(seed).uniform(size=(20, len(low)))
    rows = np.concatenate((inside, [low, high])).astype(np.float32).clip(low, high)
    unit = scale.to_unit(rows)
    assert np.abs(unit).max() <= 1
    reach = np.maximum(np.abs(low), np.abs(high)) + 1e-30
    assert (np.abs(scale.from_unit(unit) - rows) / reach).max() < 4e-7  # float32 keeps 6e-8
    assert np.abs((scale.from_unit(unit)[-2:] - np.array([low, high])) / reach).max() < 1e-15


@given(st.integers(1, 200), st.floats(1, 12))
def test_control_steps_tile_a_log_and_lose_less_than_one_of_them(length: int, ratio: float) -> None:
    edges = step_edges(length, ratio)
    assert edges[0] == 0
    assert length - ratio - 1 < edges[-1] <= length
    assert set(np.diff(edges)) <= {int(ratio), int(ratio) + 1}


def test_targets_hold_deltas_add_up_and_velocities_are_averaged() -> None:
    count = np.arange(6.0)[:, None]
    rows = Rows(count, count.astype(np.float32), count[:, 0] > 4)
    found = {
        kind: resample(rows, step_edges(6, 3.0), kind).actions[:, 0].tolist()
        for kind in ("targets", "deltas", "velocities")
    }
    assert found == {"targets": [2, 5], "deltas": [3, 12], "velocities": [1, 4]}
    other = resample(rows, step_edges(6, 3.0), "deltas")
    assert other.proprio[:, 0].tolist() == [0, 3]  # what is seen when a step begins
    assert other.success.tolist() == [False, True]  # how it ended


def test_frames_are_those_at_which_a_control_step_begins(
    log_writers: Writers, recorded: list[Any], tmp_path: Path
) -> None:
    source = log_writers["hdf5"](tmp_path / "log", recorded)
    import_log(
        ImportConfig(source=source, out=tmp_path / "d", control_hz=8, video="none", fit="crop")
    )
    dataset = open_dataset(tmp_path / "d")
    assert (dataset.fps, dataset.episodes.tolist()) == (8, [4, 3, 6])  # 20 / 8 = 2.5 rows a step
    begins = [0, 3, 5, 8]
    assert np.array_equal(decode_episode(dataset, 0), recorded[0].frames[begins, :, 4:28])
    with pytest.raises(DatasetError, match=r"recorded at 20 Hz; --control-hz must be .* got 30"):
        import_log(ImportConfig(source=source, out=tmp_path / "e", control_hz=30))


@pytest.mark.parametrize("kind", ["lerobot v2.1", "lerobot v3", "hdf5", "folder"])
def test_import_of_an_export_is_the_dataset_itself(
    kind: str, log_writers: Writers, recorded: list[Any], tmp_path: Path
) -> None:
    source = log_writers[kind](tmp_path / "log", recorded)
    import_log(ImportConfig(source=source, out=tmp_path / "d"))
    one = open_dataset(tmp_path / "d")
    export_dataset(one, tmp_path / "plain")
    import_log(ImportConfig(source=tmp_path / "plain", out=tmp_path / "again"))
    other = open_dataset(tmp_path / "again")
    assert_same(one, other, atol=2e-7)
    names, again = read_record(one.path), read_record(other.path)
    assert names is not None
    assert again is not None
    assert again.episode_names == names.episode_names
    assert (again.action_low, again.action_high) == (names.action_low, names.action_high)


def test_import_of_an_exported_collection_is_the_collection_to_the_bit(
    video_dataset: Path, tmp_path: Path
) -> None:
    one = open_dataset(video_dataset)
    export_dataset(one, tmp_path / "plain")
    import_log(ImportConfig(source=tmp_path / "plain", out=tmp_path / "again"))
    other = open_dataset(tmp_path / "again")
    assert_same(one, other, atol=0)
    assert other.truth_names == one.truth_names
    assert other.provenance.camera == one.provenance.camera


def assert_same(one: Any, other: Any, atol: float) -> None:
    assert other.episodes.tolist() == one.episodes.tolist()
    assert (other.fps, other.size) == (one.fps, one.size)
    assert other.provenance.action_names == one.provenance.action_names
    assert other.provenance.proprio_names == one.provenance.proprio_names
    for number in range(len(one.records)):
        rows, again = (d.read_episode(number, d.widths()) for d in (one, other))
        assert set(rows) == set(again)
        np.testing.assert_allclose(again.pop("action"), rows.pop("action"), rtol=0, atol=atol)
        for name in set(rows) - {"task_index"}:
            assert np.array_equal(rows[name], again[name]), name
        assert np.array_equal(decode_episode(one, number), decode_episode(other, number))


def test_an_export_is_lerobot_with_the_logs_own_names_and_units(
    log_writers: Writers, recorded: list[Any], tmp_path: Path
) -> None:
    source = log_writers["lerobot v3"](tmp_path / "log", recorded)
    import_log(ImportConfig(source=source, out=tmp_path / "d"))
    summary = export_dataset(open_dataset(tmp_path / "d"), tmp_path / "plain")
    info = json.loads((tmp_path / "plain/meta/info.json").read_text())
    assert summary.video_key == "observation.image"
    assert info["features"]["observation.image"]["dtype"] == "video"
    assert (info["codebase_version"], info["total_tasks"]) == ("v3.0", 2)
    table = pq.read_table(tmp_path / "plain/data/chunk-000/file-001.parquet")
    np.testing.assert_allclose(table["action"].to_pylist(), recorded[1].actions, atol=1e-6)
    assert set(table["task_index"].to_pylist()) == {1}
    tasks = pq.read_table(tmp_path / "plain/meta/tasks.parquet")
    assert tasks["task"].to_pylist() == ["task 0", "task 1"]
    stats = json.loads((tmp_path / "plain/meta/stats.json").read_text())
    reach = np.concatenate([episode.actions for episode in recorded])
    np.testing.assert_allclose(stats["action"]["max"], reach.max(0), atol=1e-6)
    assert np.shape(stats["observation.image"]["mean"]) == (3, 1, 1)
    with pytest.raises(OutputError, match="is already there"):
        export_dataset(open_dataset(tmp_path / "d"), tmp_path / "plain")


def test_an_import_that_was_stopped_goes_on_and_ends_as_if_it_had_not_been(
    log_writers: Writers, recorded: list[Any], tmp_path: Path
) -> None:
    source = log_writers["hdf5"](tmp_path / "log", recorded)

    def interrupt(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    config = ImportConfig(source=source, out=tmp_path / "d")
    with pytest.raises(KeyboardInterrupt):
        import_log(config, interrupt)
    assert validate(tmp_path / "d") == []
    assert len(open_dataset(tmp_path / "d").records) == 2
    assert import_log(config).kept == 2
    import_log(ImportConfig(source=source, out=tmp_path / "whole"))
    once, twice = (open_dataset(tmp_path / name) for name in ("whole", "d"))
    assert once.fingerprint() == twice.fingerprint()
    assert import_log(config).kept == 3
    with pytest.raises(OutputError, match="with steps 15, not 7"):
        import_log(ImportConfig(source=source, out=tmp_path / "d", control_hz=10))
    with pytest.raises(OutputError, match="differs in action_low"):
        import_log(ImportConfig(source=source, out=tmp_path / "d", low=(-9,), high=(9,)))


def test_a_video_that_is_cut_short_is_named(
    log_writers: Writers, recorded: list[Any], encode: Callable[..., None], tmp_path: Path
) -> None:
    source = log_writers["folder"](tmp_path / "log", recorded)
    encode(source / "run 1.mp4", recorded[1].frames[:-1])
    with pytest.raises(DatasetError, match=r"run 1\.mp4 has 8 frames where the log has 9 rows"):
        import_log(ImportConfig(source=source, out=tmp_path / "d"))
    skipped = import_log(ImportConfig(source=source, out=tmp_path / "e", skip=frozenset({"run 1"})))
    assert skipped.episodes == 2


def test_a_number_that_is_none_and_a_gap_in_time_are_named(
    log_writers: Writers, recorded: list[Any], tmp_path: Path
) -> None:
    recorded[1].actions[4, 2] = np.nan
    source = log_writers["hdf5"](tmp_path / "log", recorded)
    with pytest.raises(DatasetError, match=r"demo_9: action number 2 is not finite in row 4"):
        import_log(ImportConfig(source=source, out=tmp_path / "d"))
    recorded[1].actions[4, 2] = 0
    folder = log_writers["folder"](tmp_path / "f", recorded)
    table = folder / "run 2.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join(lines[:5] + lines[7:]))
    with pytest.raises(DatasetError, match=r"run 2\.csv: row 4 is 0\.150 s after"):
        import_log(ImportConfig(source=folder, out=tmp_path / "e"))


def test_a_scale_that_was_changed_by_a_digit_is_not_believed(
    log_writers: Writers, recorded: list[Any], tmp_path: Path
) -> None:
    source = log_writers["hdf5"](tmp_path / "log", recorded)
    import_log(ImportConfig(source=source, out=tmp_path / "d", low=(-4,), high=(8,)))
    path = tmp_path / "d/meta/goalsight_import.json"
    path.write_text(path.read_text().replace("8.0", "9.0", 1))
    with pytest.raises(DatasetError, match=r"goalsight_import\.json is not what was written"):
        export_dataset(open_dataset(tmp_path / "d"), tmp_path / "plain")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"low": (-1,), "high": (1,)}, r"demo_8: action 'action.\d' is .* outside \[-1, 1\]"),
        ({"low": (-1, 0), "high": (1,)}, "bounds need 1 number or 3"),
        ({"low": (1,), "high": (0,)}, "upper bound is under its lower one"),
        ({"skip": frozenset({"demo_7"})}, "no episode 'demo_7'; its first is 'demo_8'"),
    ],
)
def test_settings_that_do_not_fit_the_log_are_refused(
    changes: dict[str, Any],
    message: str,
    log_writers: Writers,
    recorded: list[Any],
    tmp_path: Path,
) -> None:
    source = log_writers["hdf5"](tmp_path / "log", recorded)
    with pytest.raises(UserError, match=message):
        import_log(ImportConfig(source=source, out=tmp_path / "d", **changes))
    assert not (tmp_path / "d").exists()
