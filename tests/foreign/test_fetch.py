"""Gymnasium-Robotics' Fetch, on the MuJoCo it needs: `make test-foreign`."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import pytest

from goalsight.benchmark.manifest import ManifestConfig, manifest_in
from goalsight_envs.foreign import ForeignEnv, wrap
from goalsight_envs.policies import make_policy

pytestmark = [pytest.mark.foreign, pytest.mark.filterwarnings("ignore")]
REACH, PUSH = "gymnasium_robotics:FetchReach-v4", "gymnasium_robotics:FetchPush-v4"


def made(name: str, **changes: Any) -> ForeignEnv:
    return wrap(name, size=32, fast_render=True, **changes)


def test_this_is_a_mujoco_3() -> None:
    assert int(mujoco.__version__.split(".")[0]) == 3


@pytest.mark.parametrize("name", [REACH, PUSH])
def test_its_simulation_is_all_there_is(name: str) -> None:
    assert made(name).pairs_by == "mujoco"


def test_success_is_what_fetch_itself_calls_success() -> None:
    env = made(REACH, draw_goals=False, observe_pixels=False)
    for seed in range(5):
        env.reset(seed=seed)
        expert = make_policy("expert", env, np.random.default_rng(0))
        own = env.own_desired
        assert own is not None
        expert._desired = own  # type: ignore[attr-defined]
        said = []
        for _ in range(30):
            *_, info = env.step(expert.act())
            near = np.linalg.norm(env.achieved() - own) < env.success_threshold
            said.append(info["is_success"] == near)
        assert all(said)
        assert info["is_success"]


def test_the_goal_image_shows_the_arm_at_fetchs_own_goal_and_no_mark() -> None:
    env = made(REACH)
    for seed in range(4):
        env.reset(seed=seed)
        own = env.own_desired
        assert own is not None
        assert np.linalg.norm(env.desired - own) < 0.5 * env.success_threshold
    start, picture = env.solver_state(), env.render()
    env.inner.unwrapped.goal[:] = 0.0  # type: ignore[attr-defined]
    env.restore(start)
    np.testing.assert_array_equal(env.render(), picture)


def test_the_expert_solves_frozen_reach_pairs_and_random_does_not(tmp_path: Any) -> None:
    manifest = manifest_in(tmp_path, ManifestConfig(env=REACH, pairs=8, budget=50))
    assert manifest.tier == "far"
    env = made(REACH, observe_pixels=False)
    solved = {}
    for name in ("expert", "hold"):
        wins = 0
        for start, goal in zip(manifest.start, manifest.goal, strict=True):
            env.reset(options={"state": start, "goal_state": goal})
            policy = make_policy(name, env, np.random.default_rng(0))
            for _ in range(40):
                *_, info = env.step(policy.act())
            wins += info["is_success"]
        solved[name] = wins
    assert solved == {"expert": 8, "hold": 0}


def test_play_of_push_moves_the_object() -> None:
    env = made(PUSH, draw_goals=False, observe_pixels=False)
    moved = []
    for seed in range(10):
        env.reset(seed=seed)
        before = env.achieved()
        policy = make_policy("play", env, np.random.default_rng(seed))
        for _ in range(50):
            env.step(policy.act())
        moved.append(np.linalg.norm(env.achieved() - before))
    assert np.mean(np.array(moved) > 0.05) >= 0.5
