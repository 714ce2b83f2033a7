"""Collecting on policy: what was sought and what was reached is kept beside each episode."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalsight.data import open_dataset, validate
from goalsight.data.collect import CollectConfig, collect
from goalsight.data.collect.policies import hindsight
from goalsight.data.dataset import read_goal
from goalsight.errors import DatasetError, OutputError, UserError
from goalsight.policy import PolicyFactory

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)
fake_env = import_module("fake_env")
TOWARD = PolicyFactory(make=fake_env.toward, facts={"sha256": "toward"})
AWAY = PolicyFactory(make=fake_env.away, facts={"sha256": "away"})


def sought(out: Path, factory: PolicyFactory | None = TOWARD, **changes: Any) -> CollectConfig:
    given: dict[str, Any] = {
        "env": "fake_env:Fake/Goal-v0",
        "episodes": 4,
        "out": out,
        "size": 20,
        "steps": 12,
        "video": "none",
        "policy": "agent",
    }
    config = CollectConfig(**{**given, **changes})
    collect(config, factory=factory)
    return config


def tree(root: Path) -> dict[str, bytes]:
    files = (file for file in root.rglob("*") if file.is_file())
    return {str(file.relative_to(root)): file.read_bytes() for file in files}


def test_neither_workers_nor_an_interruption_change_a_byte(tmp_path: Path) -> None:
    sought(tmp_path / "one")
    sought(tmp_path / "two", workers=2)
    sought(tmp_path / "parts", episodes=1)
    sought(tmp_path / "parts")
    assert tree(tmp_path / "one") == tree(tmp_path / "two") == tree(tmp_path / "parts")
    assert validate(tmp_path / "one") == []


def test_an_episode_keeps_its_goal_image_and_whether_it_got_there(tmp_path: Path) -> None:
    for factory, reached in ((TOWARD, True), (AWAY, False)):
        out = tmp_path / str(reached)
        sought(out, factory)
        dataset = open_dataset(out)
        assert dataset.provenance.agent == dict(factory.facts)
        for record in dataset.records:
            assert record.goal is not None
            assert record.goal["is_success"] == reached
            image = read_goal(dataset, record.episode)
            assert image.shape == (20, 20, 3)
            success = dataset.columns(["next.success"], [record.episode])["next.success"][:, 0]
            frame = record.goal["frame"]
            if reached:  # solved from there on, and not before
                assert success[frame - 1 :].all()
                assert frame <= 1 or not success[frame - 2]
            else:
                assert frame == 11


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_hindsight_names_a_frame_that_the_episode_leads_to(solved: list[bool]) -> None:
    goal = hindsight(np.zeros((4, 4, 3), np.uint8), np.array(solved))
    last = len(solved) - 1
    assert 0 <= goal.frame <= last
    assert goal.is_success == solved[-1]
    if not solved[-1]:
        assert goal.frame == last
    else:
        first = next(t for t in range(len(solved)) if all(solved[t:]))
        assert goal.frame == min(first + 1, last)  # what action t brings is seen in frame t + 1


def test_going_on_with_another_agent_is_refused(tmp_path: Path) -> None:
    sought(tmp_path / "d", episodes=2)
    before = tree(tmp_path / "d")
    with pytest.raises(OutputError, match=r"with agent .*use the same settings"):
        sought(tmp_path / "d", AWAY)
    assert tree(tmp_path / "d") == before


def test_a_damaged_goal_image_is_found(tmp_path: Path) -> None:
    sought(tmp_path / "d")
    path = tmp_path / "d/goals/chunk-000/goal-001.png"
    path.write_bytes(path.read_bytes()[:-1])
    problems = validate(tmp_path / "d")
    assert [problem.episode for problem in problems] == [1]
    assert "goal-001.png is missing or not the file that was written" in problems[0].message
    path.unlink()
    with pytest.raises(DatasetError, match=r"goal-001.png is missing"):
        open_dataset(tmp_path / "d")


def test_a_dataset_of_another_policy_has_no_goals_and_none_of_the_new_fields(
    bare_dataset: Path,
) -> None:
    assert '"agent"' not in (bare_dataset / "meta/goalsight.json").read_text()
    assert "goal" not in (bare_dataset / "meta/goalsight_episodes.jsonl").read_text()
    with pytest.raises(DatasetError, match="was not after a goal image"):
        read_goal(open_dataset(bare_dataset), 0)


def test_an_environment_without_goals_and_a_policy_without_an_agent_are_refused(
    tmp_path: Path,
) -> None:
    with pytest.raises(UserError, match="shows no goal image"):
        sought(tmp_path / "a", env="fake_env:Fake/Square-v0")
    with pytest.raises(ValueError, match="agent and correct need one"):
        sought(tmp_path / "b", None)
    with pytest.raises(ValueError, match="agent and correct need one"):
        sought(tmp_path / "c", policy="play")
