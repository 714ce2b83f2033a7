"""What the camera sees: the goal as it would look, the cube, any size, or nothing."""

from __future__ import annotations

from collections.abc import Iterator

import gymnasium
import numpy as np
import pytest
from numpy.typing import NDArray

from goalsight_envs.base import ArmEnv
from goalsight_envs.cameras import Pixels
from goalsight_envs.one_cube import OneCubeEnv

HOLD = np.zeros(4, np.float32)


@pytest.fixture(params=[32, 64, 96])
def sized(request: pytest.FixtureRequest) -> Iterator[OneCubeEnv]:
    env = gymnasium.make("Goalsight/Push-v0", size=request.param).unwrapped
    assert isinstance(env, OneCubeEnv)
    yield env
    env.close()


def red(picture: Pixels) -> NDArray[np.bool_]:
    """(H, W) where the picture is clearly red."""
    channels = picture.astype(int)
    return np.asarray(channels[..., 0] > np.maximum(channels[..., 1], channels[..., 2]) + 60)


def test_the_goal_image_is_what_the_camera_sees_in_the_goal_state(env: ArmEnv) -> None:
    """No marker, no ghost: to the pixel, also after the episode has gone on."""
    env.reset(seed=11)
    picture = env.goal_image()
    for _ in range(3):
        env.step(HOLD)
    np.testing.assert_array_equal(env.goal_image(), picture)
    env.restore(env.goal_state)
    np.testing.assert_array_equal(env.render(), picture)


def test_the_observation_shows_the_state_it_comes_with(env: ArmEnv) -> None:
    env.reset(seed=2)
    for action in np.eye(4, dtype=np.float32):
        observation = env.step(action)[0]
        np.testing.assert_array_equal(observation["pixels"], env.render())


def test_drawing_the_goal_or_the_scene_changes_no_physics(env: ArmEnv) -> None:
    env.reset(seed=2)
    state = env.solver_state()
    env.goal_image()
    env.render()
    np.testing.assert_array_equal(env.solver_state(), state)


def test_the_red_cube_is_in_the_picture_wherever_it_lies(sized: OneCubeEnv) -> None:
    """It covers about 1.5 % of the picture, and it is nowhere where it was taken away."""
    arm, clear = sized.arm, np.array([0.5, 0.0, 0.2])
    for x in (arm.low[0], arm.high[0]):
        for y in (arm.low[1], arm.high[1]):
            sized.restore(sized.place(sized.data, clear, 0.0, np.array([x, y, 0.3])))
            assert 0.005 < red(sized.render()).mean() < 0.03
    sized.restore(sized.place(sized.data, clear, 0.0, np.array([-3.0, 0.0, 0.0])))
    assert not red(sized.render()).any()


def test_the_cube_moves_in_the_picture_as_on_the_table(sized: OneCubeEnv) -> None:
    """Toward the camera is down, world y is right."""
    centres = []
    for place in ([0.45, -0.1, 0.0], [0.6, -0.1, 0.0], [0.45, 0.1, 0.0]):
        start = np.array([0.5, 0.2 if place[1] < 0 else -0.2, 0.2])
        sized.restore(sized.place(sized.data, start, 0.0, np.array(place)))
        rows, columns = np.nonzero(red(sized.render()))
        centres.append((rows.mean(), columns.mean()))
    base, nearer, aside = np.array(centres)
    assert nearer[0] > base[0] + 1
    assert aside[1] > base[1] + 1


def test_pictures_have_the_size_that_was_asked_for(sized: OneCubeEnv) -> None:
    observation, _ = sized.reset(seed=0)
    shape = (sized.size, sized.size, 3)
    for picture in (observation["pixels"], sized.render(), sized.goal_image()):
        assert picture.shape == shape
        assert picture.dtype == np.uint8
    assert sized.observation_space["pixels"].shape == shape  # type: ignore[index]


def test_who_does_not_look_gets_black_pixels_and_can_still_render(
    env: ArmEnv,
) -> None:
    assert env.spec is not None
    blind = gymnasium.make(env.spec.id, observe_pixels=False).unwrapped
    assert isinstance(blind, ArmEnv)
    seen, unseen = env.reset(seed=4)[0], blind.reset(seed=4)[0]
    assert unseen["pixels"].shape == seen["pixels"].shape
    assert not unseen["pixels"].any()
    np.testing.assert_array_equal(blind.render(), seen["pixels"])
    np.testing.assert_array_equal(blind.goal_image(), env.goal_image())
    for key in ("observation", "achieved_goal", "desired_goal"):
        np.testing.assert_array_equal(seen[key], unseen[key])
    blind.close()


def test_a_closed_environment_can_draw_again() -> None:
    env = gymnasium.make("Goalsight/Reach-v0", size=32).unwrapped
    assert isinstance(env, ArmEnv)
    env.reset(seed=0)
    before = env.render()
    env.close()
    np.testing.assert_array_equal(env.render(), before)
    env.close()
