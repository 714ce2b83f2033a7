"""Small datasets of a fake environment, made once and copied where a test changes them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from goalsight.data.collect import CollectConfig, collect

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)  # `fake_env:Fake/Square-v0` must be importable, in workers too


MakeConfig = Callable[..., CollectConfig]


def fake_config(out: Path, **changes: object) -> CollectConfig:
    settings: dict[str, Any] = {
        "env": "fake_env:Fake/Square-v0",
        "episodes": 4,
        "out": out,
        "size": 20,
        "steps": 12,
    }
    return CollectConfig(**{**settings, **changes})


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("datasets")
    for video in ("h264", "none"):
        collect(fake_config(root / video, video=video))
    return {video: root / video for video in ("h264", "none")}


@pytest.fixture
def video_dataset(made_once: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of 4 episodes of 12 steps with videos; a test may damage it."""
    return Path(shutil.copytree(made_once["h264"], tmp_path / "video_dataset"))


@pytest.fixture
def bare_dataset(made_once: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the same episodes collected with `video: none`."""
    return Path(shutil.copytree(made_once["none"], tmp_path / "bare_dataset"))


@pytest.fixture
def config_for() -> MakeConfig:
    return fake_config
