"""What mixes are made of: each behaviour acts in every task it is offered for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from goalsight_envs.base import ArmEnv
from goalsight_envs.policies import (
    BEHAVIOURS,
    Behaviour,
    Style,
    available_behaviours,
    make_behaviour,
)
from goalsight_envs.policies.skills import cruise

MakeTask = Callable[[str], ArmEnv]


def begin(env: ArmEnv, name: str, seed: int, style: Style | None = None) -> Behaviour:
    """The behaviour, and the state that it begins in."""
    env.reset(seed=seed)
    policy = make_behaviour(name, env, np.random.default_rng(seed), style)
    state = policy.start(np.random.default_rng(seed + 1))
    if state is not None:
        env.reset(options={"state": state, "goal_state": env.goal_state})
    policy.reset()
    return policy


def test_every_behaviour_acts_in_bounds_and_the_same_again(blind: ArmEnv) -> None:
    for name in available_behaviours(blind):
        runs = []
        for _ in range(2):
            policy = begin(blind, name, seed=5)
            taken = []
            for _ in range(25):
                taken.append(policy.act())
                blind.step(taken[-1])
            runs.append(np.stack(taken))
        assert runs[0].shape == (25, 4)
        assert np.abs(runs[0]).max() <= 1
        np.testing.assert_array_equal(runs[0], runs[1], err_msg=name)


def test_a_start_of_its_own_is_a_full_solver_state_that_draws_no_pictures(
    blind_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = blind_task("Grasp")
    env.reset(seed=0)
    env.observe_pixels = True
    monkeypatch.setattr(env, "render", lambda: pytest.fail("a picture was drawn"))
    for name in ("recover", "branches", "hold-goal"):
        state = make_behaviour(name, env, np.random.default_rng(0)).start(np.random.default_rng(1))
        assert state is not None
        assert state.shape == env.goal_state.shape
        assert env.observe_pixels


def test_recovery_begins_near_an_object_and_not_on_it(blind_task: MakeTask) -> None:
    env = blind_task("Push")
    distances = []
    for seed in range(8):
        begin(env, "recover", seed)
        offset = env.arm.fingertip(env.data) - env.data.body("cube").xpos
        distances.append(np.linalg.norm(offset))
    assert min(distances) > 0.03
    assert np.median(distances) < 0.12
    assert cruise(env) > 0.03


@pytest.mark.parametrize("task", ["Reach", "Push", "Grasp", "Drawer"])
def test_an_expert_that_makes_mistakes_still_gets_there_often(
    blind_task: MakeTask, task: str
) -> None:
    env, solved = blind_task(task), 0
    for seed in range(6):
        policy = begin(env, "noisy-expert", seed)
        solved += any(env.step(policy.act())[4]["is_success"] for _ in range(150))
    assert solved >= 3


def test_holding_at_the_goal_stays_there(blind_task: MakeTask) -> None:
    for task in ("Reach", "Grasp", "Drawer"):
        env = blind_task(task)
        policy = begin(env, "hold-goal", 3, Style(noise=(0.1, 0.2), lapse=0.0))
        inside = [env.step(policy.act())[4]["is_success"] for _ in range(40)]
        assert np.mean(inside) > 0.9, task


def test_interaction_moves_things_and_waypoints_do_not(blind_task: MakeTask) -> None:
    env = blind_task("Push")
    moved = {}
    for name in ("interact", "waypoints"):
        steps = []
        for seed in range(4):
            policy = begin(env, name, seed)
            for _ in range(60):
                before = env.data.body("cube").xpos.copy()
                env.step(policy.act())
                steps.append(np.linalg.norm(env.data.body("cube").xpos - before) > 1e-3)
        moved[name] = np.mean(steps)
    assert moved["interact"] > 0.15
    assert moved["waypoints"] < moved["interact"] / 3


def test_a_task_without_a_movable_object_has_nothing_to_recover(blind_task: MakeTask) -> None:
    assert {"interact", "recover"} & set(available_behaviours(blind_task("Reach"))) == set()
    assert available_behaviours(blind_task("Scene")) == list(BEHAVIOURS)


def test_an_unknown_behaviour_lists_those_that_exist(blind_task: MakeTask) -> None:
    with pytest.raises(KeyError, match=r"no policy 'plai' for a mix; there are: play, random"):
        make_behaviour("plai", blind_task("Reach"), np.random.default_rng(0))


def test_a_demonstration_ends_as_the_picture_of_the_goal_shows_it(blind_task: MakeTask) -> None:
    """The arm, too: a policy that imitates it is asked for by pictures that show an arm."""
    env, close = blind_task("Push"), []
    for seed in range(5):
        policy = begin(env, "noisy-expert", seed, Style(noise=(0.0, 0.0), lapse=0.0))
        solved = [env.step(policy.act())[4]["is_success"] for _ in range(120)]
        apart = env.arm.fingertip(env.data) - env.arm.fingertip(env.goal_data)
        wider = env.arm.opening(env.data) - env.arm.opening(env.goal_data)
        close.append(solved[-1] and np.abs(apart).max() < 0.01 and abs(wider) < 0.015)
    assert sum(close) >= 4
