"""A dataset in which two action axes move a square of light: what a model should say is known."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from goalsight.data import Dataset, open_dataset
from goalsight.data.collect import CollectConfig, collect

FAKES = str(Path(__file__).parents[1] / "data")
if FAKES not in sys.path:
    sys.path.insert(0, FAKES)  # `fake_env:Fake/Square-v0` must be importable


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """4 episodes of 40 steps at 32 pixels."""
    out = tmp_path_factory.mktemp("squares") / "data"
    collect(
        CollectConfig(
            env="fake_env:Fake/Square-v0", episodes=4, out=out, size=32, steps=40, video="none"
        )
    )
    return open_dataset(out)
