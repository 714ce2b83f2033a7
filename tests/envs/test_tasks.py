"""The environment contract: Gymnasium's own check, goals, determinism, states, pictures."""

from __future__ import annotations

import re
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from goalsight_envs import MAX_EPISODE_STEPS
from goalsight_envs.base import ArmEnv

HOLD = np.zeros(4, np.float32)
positions = arrays.arrays(np.float64, (5, 7), elements=st.floats(-1, 1))
"""As many numbers as the widest goal has; a task takes those it needs."""


def actions(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, 4)).astype(np.float32)


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for key, value in one.items():
        np.testing.assert_array_equal(value, other[key], err_msg=key)


# Positions and joint angles have no bound that physics could not cross; the pictures have.
@pytest.mark.filterwarnings(
    "ignore:.*A Box observation space (minimum|maximum) value is -?infinity"
)
def test_gymnasiums_own_check_passes(env: ArmEnv) -> None:
    check_env(env)


def test_an_episode_is_truncated_and_never_terminates(env: ArmEnv) -> None:
    assert env.spec is not None
    wrapped = gymnasium.make(env.spec.id, observe_pixels=False)
    wrapped.reset(seed=0)
    ends = [wrapped.step(HOLD)[2:4] for _ in range(MAX_EPISODE_STEPS)]
    assert ends == [(False, False)] * (MAX_EPISODE_STEPS - 1) + [(False, True)]


def test_the_reward_is_compute_reward_of_the_goals_also_relabelled(blind: ArmEnv) -> None:
    """The law of goal environments, on which hindsight relabelling stands."""
    blind.reset(seed=1)
    for action in actions(20):
        observation, reward, _, _, info = blind.step(action)
        achieved, desired = observation["achieved_goal"], observation["desired_goal"]
        assert reward == blind.compute_reward(achieved, desired, info)
        assert blind.compute_reward(achieved, achieved, info) == 0
        assert info["is_success"] == (reward == 0)
        assert info["distance"] == blind.goal_distance(achieved, desired)


@settings(deadline=None, max_examples=25)
@given(achieved=positions, desired=positions)
def test_rewards_of_a_batch_are_those_of_its_members(
    blind: ArmEnv, achieved: np.ndarray, desired: np.ndarray
) -> None:
    width = blind.achieved(blind.data).size
    achieved, desired = achieved[:, :width], desired[:, :width]
    rewards = blind.compute_reward(achieved, desired, [{}] * 5)
    alone = [float(blind.compute_reward(a, d, {})) for a, d in zip(achieved, desired, strict=True)]
    assert rewards.tolist() == alone
    assert set(alone) <= {0.0, -1.0}


def test_the_same_seed_and_actions_give_the_same_pixels_and_states(env: ArmEnv) -> None:
    """Two environments, one of which has lived before: nothing but the seed may matter."""
    assert env.spec is not None
    other = gymnasium.make(env.spec.id).unwrapped
    assert isinstance(other, ArmEnv)
    env.reset(seed=99)
    env.step(actions(1)[0])
    assert_same(env.reset(seed=7)[0], other.reset(seed=7)[0])
    np.testing.assert_array_equal(env.goal_image(), other.goal_image())
    for action in actions(15):
        (one, *rest), (two, *others) = env.step(action), other.step(action)
        assert_same(one, two)
        assert rest == others
        np.testing.assert_array_equal(env.solver_state(), other.solver_state())
    other.close()


def test_another_seed_gives_another_start_and_another_goal(blind: ArmEnv) -> None:
    starts, goals = set(), set()
    for seed in range(4):
        blind.reset(seed=seed)
        starts.add(blind.solver_state().tobytes())
        goals.add(blind.goal_state.tobytes())
    assert len(starts) == len(goals) == 4


def test_an_episode_never_begins_at_its_goal(blind: ArmEnv) -> None:
    for seed in range(30):
        _, info = blind.reset(seed=seed)
        assert info["distance"] > blind.min_displacement > blind.success_threshold


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**16), before=st.integers(0, 15))
def test_restoring_a_solver_state_repeats_the_future_to_the_bit(
    blind: ArmEnv, seed: int, before: int
) -> None:
    blind.reset(seed=seed)
    for action in actions(before, seed):
        blind.step(action)
    state, truth = blind.solver_state(), blind.truth()

    def future() -> list[bytes]:
        steps = [blind.step(action)[0] for action in actions(8, seed + 1)]
        return [step["observation"].tobytes() for step in steps] + [blind.solver_state().tobytes()]

    first = future()
    blind.restore(state)
    assert_same(truth, blind.truth())
    assert future() == first
    blind.reset(seed=seed + 1, options={"state": state})
    assert future() == first


def test_states_and_goals_that_are_given_are_taken_as_they_are(env: ArmEnv) -> None:
    env.reset(seed=3)
    state, goal = env.solver_state(), env.goal_state.copy()
    picture = env.goal_image()
    _, info = env.reset(seed=4, options={"state": state, "goal_state": goal})
    np.testing.assert_array_equal(env.solver_state(), state)
    np.testing.assert_array_equal(env.goal_state, goal)
    np.testing.assert_array_equal(env.goal_image(), picture)
    assert info["distance"] == env.distance_between(state, goal)
    assert env.distance_between(state, state) == 0


def test_the_layout_covers_the_state_without_gap_or_overlap(blind: ArmEnv) -> None:
    blind.reset(seed=0)
    state, parts = blind.solver_state(), blind.state_layout
    assert list(parts) == ["qpos", "qvel", "act", "qacc_warmstart", "ctrl"]
    covered = np.concatenate([np.arange(state.size)[part] for part in parts.values()])
    np.testing.assert_array_equal(covered, np.arange(state.size))
    data = blind.data
    for name, part in parts.items():
        np.testing.assert_array_equal(state[part], getattr(data, name), err_msg=name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stat": 1}, "unknown reset option ['stat']; it takes: state, goal_state"),
        ({"state": np.zeros(3)}, "finite numbers, got shape (3,); take it from solver_state()"),
        ({"goal_state": np.zeros(2)}, "finite numbers, got shape (2,)"),
        ({"state": np.full(1, np.nan)}, "finite numbers, got"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(
    blind: ArmEnv, options: dict[str, Any], message: str
) -> None:
    if "state" in options and options["state"].size == 1:
        options = {"state": np.full(blind.solver_state().size, np.nan)}
    with pytest.raises(ValueError, match=re.escape(message)):
        blind.reset(seed=0, options=options)


@pytest.mark.parametrize(
    "action", [[np.nan, 0, 0, 0], [np.inf, 0, 0, 0], [0, 0, 0], [[0, 0, 0, 0]]]
)
def test_actions_that_are_not_four_finite_numbers_are_refused_and_move_nothing(
    blind: ArmEnv, action: list[Any]
) -> None:
    blind.reset(seed=0)
    before = blind.solver_state()
    with pytest.raises(ValueError, match="action must be 4 finite numbers, got"):
        blind.step(np.array(action, np.float32))
    np.testing.assert_array_equal(blind.solver_state(), before)


def test_actions_outside_the_box_are_clipped_to_it(blind: ArmEnv) -> None:
    blind.reset(seed=0)
    state = blind.solver_state()
    blind.step(np.array([9, -9, 9, -9], np.float32))
    wild = blind.solver_state()
    blind.restore(state)
    blind.step(np.array([1, -1, 1, -1], np.float32))
    np.testing.assert_array_equal(blind.solver_state(), wild)


def test_proprio_is_what_its_names_say(blind: ArmEnv) -> None:
    observation, _ = blind.reset(seed=5)
    proprio = dict(zip(blind.proprio_names, observation["observation"], strict=True))
    truth = blind.truth()
    assert [proprio["ee_x"], proprio["ee_y"], proprio["ee_z"]] == truth["ee_pos"].tolist()
    assert proprio["opening"] == truth["opening"]
    assert proprio["joint4"] == np.float32(blind.data.joint("joint4").qpos[0])
