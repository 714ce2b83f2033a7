"""`goalsight.wrap`: what a foreign environment becomes."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import goalsight
from goalsight_envs.foreign import ForeignEnv, WrapConfig, WrapError, add_setting
from goalsight_envs.foreign.config import with_settings
from goalsight_envs.policies import make_policy

TOYS: Any = import_module("toy_env")
BallEnv, DotEnv = TOYS.BallEnv, TOYS.DotEnv
DOT = WrapConfig(goal="observation:0:2", threshold=0.05, proprio=("0:2",))
BALL = WrapConfig(camera="above")


def dot(**changes: Any) -> ForeignEnv:
    return goalsight.wrap(DotEnv(), DOT, size=32, **changes)


def ball(**changes: Any) -> ForeignEnv:
    return goalsight.wrap(BallEnv(), BALL, size=32, **changes)


MAKERS = pytest.mark.parametrize("make", [dot, ball], ids=["replay", "mujoco"])


@pytest.mark.filterwarnings("ignore::UserWarning")  # bounds of proprio and goals are not known
@MAKERS
def test_it_is_an_environment_by_gymnasiums_own_check(make: Any) -> None:
    check_env(make(), skip_render_check=True)


@MAKERS
def test_a_restored_state_repeats_the_future_exactly(make: Any) -> None:
    env = make(draw_goals=False)
    env.reset(seed=3)
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (9, 2)).astype(np.float32)
    for action in actions[:4]:
        env.step(action)
    state = env.solver_state()
    futures = []
    for _ in range(2):
        env.restore(state)
        futures.append([env.step(action)[0] for action in actions[4:]])
    for first, second in zip(*futures, strict=True):
        for key in ("pixels", "observation", "achieved_goal"):
            np.testing.assert_array_equal(first[key], second[key])
    assert np.ptp(np.stack([seen["achieved_goal"] for seen in futures[0]]), axis=0).max() > 0.01


def test_an_interrupted_simulation_goes_on_as_one_that_was_not() -> None:
    """`mj_step` leaves positions a substep behind, and the toy's command comes from a position.

    Without a refresh after every step a restored future would differ from the recorded one.
    """
    env = ball(draw_goals=False)
    env.reset(seed=0)
    ends = []
    for interrupted in (False, True):
        env.reset(seed=0)
        for step in range(8):
            env.advance(np.array([1.0, -0.5]))
            if interrupted and step == 3:
                state = env.solver_state()
                env.advance(np.array([-1.0, 1.0]))
                env.restore(state)
        ends.append(env.achieved())
    np.testing.assert_array_equal(ends[0], ends[1])


def test_pairs_are_solver_states_only_where_the_simulation_is_all_there_is() -> None:
    assert ball().pairs_by == "mujoco"
    assert dot().pairs_by == "replay"
    tired = goalsight.wrap(TOYS.ForgetfulEnv(), BALL, size=32)
    assert tired.pairs_by == "replay"
    tired.reset(seed=1)
    start = tired.solver_state()
    there = [tired.step(np.ones(2, np.float32))[0]["achieved_goal"] for _ in range(3)]
    tired.restore(start)
    np.testing.assert_array_equal(tired.step(np.ones(2, np.float32))[0]["achieved_goal"], there[0])


@MAKERS
def test_the_goal_image_is_the_picture_of_the_goal_state(make: Any) -> None:
    env = make()
    observation, info = env.reset(seed=5)
    here = env.solver_state()
    picture, desired = env.goal_image(), observation["desired_goal"]
    assert info["distance"] > env.min_displacement
    assert not info["is_success"]
    env.restore(env.goal_state)
    np.testing.assert_array_equal(env.render(), picture)
    np.testing.assert_array_equal(env.achieved(), desired)
    env.restore(here)
    np.testing.assert_array_equal(env.achieved(), observation["achieved_goal"])


@MAKERS
def test_given_states_give_the_pair(make: Any) -> None:
    env = make()
    env.reset(seed=5)
    states = {"state": env.solver_state(), "goal_state": env.goal_state}
    _, before = env.reset(seed=6)
    observation, info = env.reset(options=states)
    expected = np.linalg.norm(observation["achieved_goal"] - observation["desired_goal"])
    assert info["distance"] == pytest.approx(expected)
    assert info["distance"] != before["distance"]
    _, info = env.reset(options={"state": states["goal_state"], "goal_state": env.goal_state})
    assert (info["distance"], info["is_success"]) == (0.0, True)


def test_actions_are_the_bounds_scaled_and_held_for_frameskip_steps() -> None:
    env = goalsight.wrap(DotEnv(), DOT, size=32, frameskip=3, draw_goals=False)
    before, _ = env.reset(seed=0)
    after, *_ = env.step(np.array([0.5, -0.25], np.float32))
    moved = after["observation"] - before["observation"]
    np.testing.assert_allclose(moved, 3 * 0.05 * 2.0 * np.array([0.5, -0.25]), rtol=1e-5)
    assert env.control_dt == pytest.approx(0.3)


def test_without_a_goal_success_is_what_the_environment_says() -> None:
    env = dot(draw_goals=False)
    env.reset(seed=0)
    for _ in range(10):
        *_, info = env.step(np.ones(2, np.float32))
    assert info["is_success"]
    with pytest.raises(WrapError, match="no goal"):
        env.goal_image()


def test_an_environment_that_has_ended_stands_still() -> None:
    env = goalsight.wrap(TOYS.ShortEnv(), DOT, size=32, draw_goals=False)
    env.reset(seed=0)
    ended = [env.step(np.ones(2, np.float32))[2] for _ in range(6)]
    assert ended == [False, False, True, True, True, True]
    env.reset(seed=0)
    assert not env.step(np.ones(2, np.float32))[2]


def test_the_picture_is_the_middle_square_and_the_own_rendering_hides_sites() -> None:
    env = dot(draw_goals=False)
    env.reset(seed=0)
    assert env.render().shape == (32, 32, 3)
    drawn = ball(draw_goals=False)
    drawn.reset(seed=0)
    picture = drawn.render()
    assert redness(picture) > 60, "the ball is there"
    assert redness(picture[..., [1, 0, 2]]) < 30, "the green mark of a goal is not"


def test_hidden_bodies_are_not_drawn_and_fast_pictures_have_no_shadow() -> None:
    env = goalsight.wrap(BallEnv(), BALL, size=32, draw_goals=False, fast_render=True)
    hidden = goalsight.wrap(
        BallEnv(), WrapConfig(camera="above", hide=("tip",)), size=32, draw_goals=False
    )
    for world in (env, hidden):
        world.reset(seed=0)
    assert redness(env.render()) > 60
    assert redness(hidden.render()) < 20


def redness(picture: Any) -> int:
    """How much redder than green the reddest pixel is."""
    return int((picture[..., 0].astype(int) - picture[..., 1]).max())


@pytest.mark.parametrize("env", [DotEnv(), BallEnv()], ids=["replay", "mujoco"])
def test_play_random_and_hold_drive_it_and_no_expert_is_said(env: Any) -> None:
    world = goalsight.wrap(env, DOT if isinstance(env, DotEnv) else BALL, size=32)
    world.reset(seed=0)
    places = []
    for name in ("play", "random", "hold"):
        policy = make_policy(name, world, np.random.default_rng(0))
        policy.reset()
        actions = np.stack([policy.act() for _ in range(200)])
        assert actions.dtype == np.float32
        assert np.abs(actions).max() <= 1.0
        places.append(actions)
    steps = [np.abs(np.diff(actions, axis=0)).mean() for actions in places]
    assert steps[0] < 0.5 * steps[1], "play is smooth"
    assert steps[2] == 0.0
    with pytest.raises(WrapError, match="no expert"):
        make_policy("expert", world, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("camra=front", "no setting 'camra' .*there are: azimuth, bounds, camera"),
        ("frameskip=two", "frameskip takes int"),
        ("frameskip=0", "frameskip must be at least 1"),
        ("fast_render=maybe", "takes true or false"),
        ("lookat=1+2", r"lookat takes x\+y\+z"),
    ],
)
def test_a_wrong_setting_is_named(text: str, message: str) -> None:
    with pytest.raises(WrapError, match=message):
        with_settings(WrapConfig(), text)


def test_settings_behind_an_id_are_those_of_the_config() -> None:
    text = "camera=a/b,lookat=1.5+-2+.5,hide=x+y,make.mode=fast,make.n=3,fast_render=true"
    assert with_settings(WrapConfig(), text) == WrapConfig(
        camera="a/b",
        lookat=(1.5, -2.0, 0.5),
        hide=("x", "y"),
        fast_render=True,
        make={"mode": "fast", "n": 3},
    )
    assert add_setting(add_setting("Id-v0", "a=1"), "b=2") == "Id-v0?a=1,b=2"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"camera": "front"}, "no camera 'front'; the model has: above"),
        ({"goal": "body:cube"}, "no body 'cube' in the model; it has: tip, world"),
        ({"goal": "cube"}, "cannot measure 'cube'"),
        ({"goal": "observation:3:9"}, "has 4 numbers, 3:9 does not fit"),
        ({"hide": ("cube",)}, "no body or geom 'cube' to hide"),
    ],
)
def test_what_the_model_does_not_have_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(WrapError, match=message):
        goalsight.wrap(BallEnv(), WrapConfig(**{"camera": "above", **changes}), size=32)


def test_an_environment_without_a_box_or_a_threshold_is_refused() -> None:
    with pytest.raises(WrapError, match="in a Box, this environment has Discrete"):
        goalsight.wrap(gym.make("CartPole-v1"))
    with pytest.raises(WrapError, match="threshold=NUMBER"):
        goalsight.wrap(DotEnv(), WrapConfig(goal="observation:0:2"), size=32).reset(seed=0)


def test_a_function_can_say_what_the_goal_is_about() -> None:
    env = goalsight.wrap(
        DotEnv(), WrapConfig(), size=32, goal=lambda inner, _: inner.place[:1], threshold=0.05
    )
    observation, _ = env.reset(seed=0)
    assert observation["achieved_goal"].shape == (1,)
