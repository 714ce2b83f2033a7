"""Corrections: an agent gets somewhere unseen, and an expert is recorded from there on."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from goalsight.cli.main import main
from goalsight.data import Dataset, open_dataset
from goalsight.data.collect import CollectConfig, collect
from goalsight.errors import UserError
from goalsight.policy import PolicyFactory
from goalsight.training.actor import demonstrations

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)  # `fake_env:Fake/Goal-v0` must be importable
# From there and not from here: a worker would import what this module does, for many seconds.
LOWERING = PolicyFactory(make=import_module("fake_env").lowers, facts={})


def collected(out: Path, **changes: Any) -> Dataset:
    given: dict[str, Any] = {
        "env": "Goalsight/Reach-v0",
        "episodes": 8,
        "out": out,
        "size": 32,
        "steps": 40,
        "video": "none",
        "policy": "correct",
    }
    collect(CollectConfig(**{**given, **changes}), factory=LOWERING)
    return open_dataset(out)


def column(dataset: Dataset, name: str, step: int) -> NDArray[Any]:
    """(episodes, d) values at a step of every episode."""
    episodes = range(len(dataset.episodes))
    return np.stack([dataset.columns([name], [index])[name][step] for index in episodes])


def test_episodes_begin_where_the_agent_got_to_and_end_where_the_expert_did(tmp_path: Path) -> None:
    corrected = collected(tmp_path / "d")
    assert column(corrected, "next.success", -1).mean() > 0.85
    # Nothing of what the agent did is in there, apart from where it led: to the left of the start.
    alone = tmp_path / "play"
    collect(
        CollectConfig(
            env="Goalsight/Reach-v0", episodes=8, out=alone, size=32, steps=2, video="none"
        )
    )
    began = column(corrected, "observation.state", 0)
    without = column(open_dataset(alone), "observation.state", 0)
    moved = np.abs(began - without).max(axis=1) > 0.02
    assert moved.sum() >= 6
    assert demonstrations(corrected) == ["scripted demonstrations"]


def test_corrections_are_the_same_again_whoever_works(tmp_path: Path) -> None:
    one, two = collected(tmp_path / "1"), collected(tmp_path / "2", workers=2)
    for index in range(8):
        for name in ("action", "observation.state"):
            alone, shared = (dataset.columns([name], [index])[name] for dataset in (one, two))
            np.testing.assert_array_equal(alone, shared)


def test_who_cannot_be_corrected_is_told_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=r"no scripted expert to correct an agent; collect with"):
        collected(tmp_path / "d", env="fake_env:Fake/Goal-v0")
    asked = ["collect", "--env", "Goalsight/Reach-v0", "--episodes", "1", "--policy", "correct"]
    assert main([*asked, "--out", str(tmp_path / "e")]) == 2
    assert "--policy correct needs --checkpoint" in capsys.readouterr().err
    config = CollectConfig(
        env="Goalsight/Reach-v0", episodes=1, out=tmp_path / "f", policy="correct"
    )
    with pytest.raises(ValueError, match="agent and correct need one"):
        collect(config)
