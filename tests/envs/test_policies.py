"""Scripted behaviour: the tasks can be solved, not by chance, and play is worth learning from."""

from __future__ import annotations

from typing import Any, cast

import gymnasium
import numpy as np
import pytest

from goalsight_envs.base import ArmEnv
from goalsight_envs.policies import POLICIES, PlayPolicy, make_policy

EPISODES, BUDGET, HELD = 4, 150, 5


def successes(env: ArmEnv, name: str) -> int:
    """Episodes of which the last control steps are all inside the threshold."""
    count = 0
    for seed in range(EPISODES):
        env.reset(seed=seed)
        policy = make_policy(name, env, np.random.default_rng(seed))
        policy.reset()
        inside = [env.step(policy.act())[4]["is_success"] for _ in range(BUDGET)]
        count += all(inside[-HELD:])
    return count


def test_the_expert_solves_every_task_and_chance_does_not(blind: ArmEnv) -> None:
    """On a few pairs; the shipped far pairs are played in full by a slow test of the benchmark."""
    assert successes(blind, "expert") >= EPISODES - 1
    assert successes(blind, "random") <= 1


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_a_policy_acts_in_bounds_and_by_its_own_generator_alone(blind: ArmEnv, name: str) -> None:
    runs = []
    for _ in range(2):
        blind.reset(seed=3)
        policy = make_policy(name, blind, np.random.default_rng(8))
        policy.reset()
        taken = []
        for _ in range(60):
            action = policy.act()
            assert action.shape == (4,)
            assert action.dtype == np.float32
            assert np.abs(action).max() <= 1
            blind.step(action)
            taken.append(action)
        runs.append(np.stack(taken))
    np.testing.assert_array_equal(runs[0], runs[1])
    assert name != "hold" or not runs[0].any()


@pytest.mark.parametrize("name", ["play", "random"])
def test_another_generator_gives_another_behaviour(arm_env: ArmEnv, name: str) -> None:
    runs = []
    for seed in (0, 1):
        arm_env.reset(seed=3)
        policy = make_policy(name, arm_env, np.random.default_rng(seed))
        runs.append(policy.act())
    assert not np.array_equal(runs[0], runs[1])


def test_play_moves_the_cube_in_most_episodes_and_keeps_it_on_the_table(arm_env: ArmEnv) -> None:
    """What makes play worth learning from; random actions hardly ever touch the cube."""
    moved = {"play": 0, "random": 0}
    for name in moved:
        for seed in range(10):
            arm_env.reset(seed=seed)
            before = arm_env.truth()["cube_pos"]
            policy = make_policy(name, arm_env, np.random.default_rng(seed))
            policy.reset()
            for _ in range(100):
                arm_env.step(policy.act())
            after = arm_env.truth()["cube_pos"]
            moved[name] += bool(np.linalg.norm(after - before) > 0.03)
            assert after[2] > 0.02
    assert moved["play"] >= 6
    assert moved["play"] > moved["random"]


def test_play_actions_are_smooth_and_of_many_speeds(arm_env: ArmEnv) -> None:
    """Correlated from one control step to the next, unlike random ones; no axis stands still."""
    arm_env.reset(seed=0)
    policy = PlayPolicy(arm_env, np.random.default_rng(0))
    taken = []
    for _ in range(300):
        taken.append(policy.act())
        arm_env.step(taken[-1])
    actions = np.stack(taken)
    assert (actions.std(0) > 0.2).all()
    for axis in actions.T:
        assert np.corrcoef(axis[:-1], axis[1:])[0, 1] > 0.4


def test_an_unknown_policy_is_refused_with_those_that_exist(arm_env: ArmEnv) -> None:
    with pytest.raises(KeyError, match="no policy 'exprt'; there are: play, random, expert, hold"):
        make_policy("exprt", arm_env, np.random.default_rng(0))


def test_policies_drive_the_arm_scene_and_nothing_else() -> None:
    class Other(gymnasium.Env[Any, Any]):
        """Some other environment."""

    with pytest.raises(TypeError, match="policies drive the arm scene, got Other"):
        make_policy("hold", cast("Any", Other()), np.random.default_rng(0))
