"""Play of the tasks that need fingers: objects move, everything is tried, nothing is lost."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from goalsight_envs.base import ArmEnv
from goalsight_envs.policies import TaskPlayPolicy
from goalsight_envs.policies.scripts import for_scene
from goalsight_envs.policies.task_play import Mix, TaskPlayConfig

MakeTask = Callable[[str], ArmEnv]

LEAST = {"Grasp": 0.35, "PickPlace": 0.35, "Drawer": 0.12, "Stack": 0.25, "Scene": 0.2}
"""Least share of control steps in which something moves more than a millimetre."""


def objects(env: ArmEnv) -> np.ndarray:
    """(N, 3) positions of what the hand can move [m]."""
    truth = env.truth()
    places = [truth[f"{name}_pos"] for name in env.cubes]
    if env.drawer:
        places.append(np.array([0.0, truth["drawer"][0], 0.0], np.float32))
    return np.stack(places)


@pytest.mark.parametrize("task", sorted(LEAST))
def test_play_moves_the_objects_tries_every_script_and_loses_nothing(
    blind_task: MakeTask, task: str
) -> None:
    env = blind_task(task)
    moving, played = [], set()
    for seed in range(4):
        env.reset(seed=seed)
        policy = TaskPlayPolicy(env, np.random.default_rng(seed))
        before = objects(env)
        for _ in range(120):
            env.step(policy.act())
            played.add(policy.script)
            after = objects(env)
            moving.append(np.linalg.norm(after - before, axis=1).max() > 1e-3)
            before = after
        assert (after[: len(env.cubes), 2] > 0.025).all()  # nothing through the table
    assert np.mean(moving) > LEAST[task]
    assert played >= {"expert"} if task == "Drawer" else len(played) >= 4
    assert played <= set(for_scene(env))


def test_a_mix_of_one_script_plays_nothing_else(blind_task: MakeTask) -> None:
    env = blind_task("Stack")
    env.reset(seed=0)
    only = Mix(wander=0, push=0, carry=0, miss=0, recover=0, expert=0, drawer=0, stack=1)
    policy = TaskPlayPolicy(env, np.random.default_rng(0), TaskPlayConfig(mix=only))
    for _ in range(150):
        env.step(policy.act())
        assert policy.script == "stack"


def test_a_script_the_scene_has_no_objects_for_is_left_out(blind_task: MakeTask) -> None:
    env = blind_task("Drawer")
    assert for_scene(env) == ["wander", "expert", "drawer"]
    only = Mix(wander=0, push=0, carry=1, miss=0, recover=0, expert=0, drawer=0, stack=0)
    with pytest.raises(ValueError, match=r"no script of the mix .* wander, expert, drawer"):
        TaskPlayPolicy(env, np.random.default_rng(0), TaskPlayConfig(mix=only))


@pytest.mark.parametrize("changed", [{"carry": -0.1}, dict.fromkeys(Mix().__dict__, 0.0)])
def test_shares_that_are_none_are_refused(changed: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="shares must be 0 or more and not all 0, got"):
        Mix(**changed)
