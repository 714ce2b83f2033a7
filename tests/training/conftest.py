"""A dataset of a fake environment, made once: 4 episodes of 30 steps at 32 pixels."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from goalsight.data import Dataset, open_dataset
from goalsight.data.collect import CollectConfig, collect

FAKES = str(Path(__file__).parents[1] / "data")
if FAKES not in sys.path:
    sys.path.insert(0, FAKES)  # `fake_env:Fake/Square-v0` must be importable


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return collected(tmp_path_factory.mktemp("training"))


def collected(folder: Path, steps: int = 30, seed: int = 0) -> Dataset:
    config = CollectConfig(
        env="fake_env:Fake/Square-v0",
        episodes=4,
        out=folder / "data",
        size=32,
        steps=steps,
        video="none",
        seed=seed,
    )
    collect(config)
    return open_dataset(config.out)


@pytest.fixture
def collect_into() -> Callable[..., Dataset]:
    return collected
