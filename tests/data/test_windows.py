"""Windows and splits: nothing crosses an episode, one gather equals many."""

from __future__ import annotations

import pickle
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goalsight.clip import Clip
from goalsight.data import FrameCache, Windows, action_statistics, open_dataset, split_episodes
from goalsight.errors import DatasetError
from goalsight.pictures import resize

cached_open = cache(open_dataset)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    frames=st.integers(1, 5),
    frameskip=st.integers(1, 4),
    episodes=st.lists(st.integers(0, 3), min_size=1, max_size=4, unique=True),
)
def test_a_window_never_crosses_an_episode_and_every_one_that_fits_is_there(
    made_once: dict[str, Path], frames: int, frameskip: int, episodes: list[int]
) -> None:
    dataset = cached_open(made_once["none"])
    span = (frames - 1) * frameskip + 1
    if span > 12:
        with pytest.raises(DatasetError, match="no window"):
            Windows(dataset, episodes, frames, frameskip)
        return
    windows = Windows(dataset, episodes, frames, frameskip)
    places = [windows.locate(i) for i in range(len(windows))]
    assert places == [(e, start) for e in episodes for start in range(12 - span + 1)]
    batch = windows.__getitems__(list(range(len(windows))))
    for i, (episode, start) in enumerate(places):
        rows = slice(start, start + span, frameskip)
        seen = FrameCache(dataset).open(episode)[rows]
        assert np.array_equal(batch.frames[i].permute(0, 2, 3, 1), seen)
        columns = dataset.columns(["action", "observation.state"], [episode])
        acted = columns["action"][start : start + span - 1]
        assert np.array_equal(batch.actions[i].flatten(0, 1), acted)
        assert np.array_equal(batch.proprio[i], columns["observation.state"][rows])


@pytest.mark.parametrize("size", [None, 24])
def test_frames_from_memory_and_from_the_map_are_the_same(
    made_once: dict[str, Path], size: int | None
) -> None:
    dataset = open_dataset(made_once["none"])
    memory = Windows(dataset, [0, 2, 3], 3, 2, size)
    mapped = Windows(dataset, [0, 2, 3], 3, 2, size, memory_limit=0)
    indices = [5, 0, len(memory) - 1, 5]
    assert_same(memory.__getitems__(indices), mapped.__getitems__(indices))
    assert memory[0].frames.shape[-2:] == ((size or 20,) * 2)


def test_one_batch_equals_its_windows_stacked_and_survives_pickling(
    made_once: dict[str, Path],
) -> None:
    windows = Windows(open_dataset(made_once["none"]), range(4), 3, 2, memory_limit=0)
    indices = [7, 1, 1]
    batch = windows.__getitems__(indices)
    assert batch.frames.shape == (3, 3, 3, 20, 20)
    assert batch.actions.shape == (3, 2, 2, 2)
    assert_same(batch, Clip.stack([windows[i] for i in indices]))
    assert_same(batch, pickle.loads(pickle.dumps(windows)).__getitems__(indices))


def test_windows_feed_a_data_loader_with_whole_batches(made_once: dict[str, Path]) -> None:
    windows = Windows(open_dataset(made_once["none"]), range(4), 2, 5)
    loader = torch.utils.data.DataLoader(windows, 8, shuffle=True, collate_fn=lambda batch: batch)
    assert sum(len(batch.frames) for batch in loader) == len(windows)


def test_truth_is_that_of_the_frames(made_once: dict[str, Path]) -> None:
    windows = Windows(open_dataset(made_once["none"]), [1], 3, 2)
    truth = windows.truth([0, 4])
    assert {name: value.shape for name, value in truth.items()} == {
        "square": (2, 3, 2),
        "speed": (2, 3, 1),
    }
    assert torch.equal(truth["square"], windows.__getitems__([0, 4]).proprio[..., :2])


def test_a_window_that_is_not_there_raises_index_error(made_once: dict[str, Path]) -> None:
    windows = Windows(open_dataset(made_once["none"]), [1], 3, 2)
    with pytest.raises(IndexError):
        windows[len(windows)]


def test_resizing_to_the_same_size_gives_the_pictures_back() -> None:
    frames = torch.randint(0, 256, (2, 16, 16, 3), dtype=torch.uint8)
    assert torch.equal(resize(frames, 16), frames)
    flat = torch.full((1, 16, 16, 3), 77, dtype=torch.uint8)
    assert torch.equal(resize(flat, 40), torch.full((1, 40, 40, 3), 77, dtype=torch.uint8))


@given(
    n=st.integers(1, 300),
    validation=st.floats(0, 1, exclude_max=True),
    seed=st.integers(0, 2**16),
)
def test_a_split_is_disjoint_and_complete_and_leaves_something_to_train_on(
    n: int, validation: float, seed: int
) -> None:
    training, held_out = split_episodes(n, validation, seed)
    assert sorted([*training, *held_out]) == list(range(n))
    assert len(training) >= 1
    if n > 1 and validation > 0:
        assert len(held_out) >= 1
    again = split_episodes(n, validation, seed)
    assert np.array_equal(training, again[0])


def test_action_statistics_are_of_the_chosen_episodes_alone(made_once: dict[str, Path]) -> None:
    dataset = open_dataset(made_once["none"])
    rows = dataset.columns(["action"], [1, 3])["action"].astype(np.float64)
    statistics = action_statistics(dataset, [1, 3])
    np.testing.assert_allclose(statistics["mean"], rows.mean(0))
    np.testing.assert_allclose(statistics["std"], rows.std(0))
    assert statistics["max"] == rows.max(0).tolist()
    with pytest.raises(DatasetError, match="no episodes"):
        action_statistics(dataset, [])


def assert_same(a: Clip, b: Clip) -> None:
    assert torch.equal(a.frames, b.frames)
    assert torch.equal(a.actions, b.actions)
    assert torch.equal(a.proprio, b.proprio)


def test_batches_made_on_a_device_are_those_made_in_memory(made_once: dict[str, Path]) -> None:
    dataset = open_dataset(made_once["none"])
    episodes = np.arange(len(dataset.episodes))
    here, there = (Windows(dataset, episodes, 3, 2) for _ in range(2))
    assert there.move(torch.device("cpu"))
    some = [0, len(here) - 1, 1]
    for name in ("frames", "actions", "proprio"):
        assert torch.equal(
            getattr(here.__getitems__(some), name), getattr(there.__getitems__(some), name)
        )


def test_frames_that_are_mapped_stay_where_they_are(made_once: dict[str, Path]) -> None:
    dataset = open_dataset(made_once["none"])
    mapped = Windows(dataset, np.arange(len(dataset.episodes)), 3, 2, memory_limit=0)
    assert not mapped.move(torch.device("cpu"))
    assert len(mapped.__getitems__([0]).frames) == 1
