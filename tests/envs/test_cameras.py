"""A second camera on request: one more picture, nothing else."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from goalsight_envs.base import ArmEnv
from goalsight_envs.cameras import Overview
from goalsight_envs.placing import Arrangement, arrange


def make(*cameras: str, **settings: Any) -> ArmEnv:
    env = gymnasium.make(
        "Goalsight/Grasp-v0", size=32, cameras=cameras, disable_env_checker=True, **settings
    ).unwrapped
    assert isinstance(env, ArmEnv)
    return env


def test_the_wrist_camera_is_one_more_picture_of_the_same_episode(env: ArmEnv) -> None:
    two, one = make("front", "wrist"), make("front")
    both, front = two.reset(seed=3)[0], one.reset(seed=3)[0]
    assert "pixels_wrist" not in front
    assert "pixels_wrist" not in env.reset(seed=0)[0]
    assert both["pixels_wrist"].shape == (32, 32, 3)
    assert both["pixels_wrist"].std() > 10
    for key, value in front.items():
        np.testing.assert_array_equal(both[key], value)
    assert two.observation_space.contains(both)
    two.close()
    one.close()


def test_the_hand_sees_the_cube_that_it_holds() -> None:
    """The goal of Grasp has the red cube between the fingers: it fills a good part of the view."""
    hand = make("wrist")
    hand.reset(seed=1)
    picture = hand.goal_image().astype(int)
    red = picture[..., 0] > np.maximum(picture[..., 1], picture[..., 2]) + 60
    assert 0.03 < red.mean() < 0.6
    assert hand.camera == "wrist"
    np.testing.assert_array_equal(hand.render(), hand.reset(seed=1)[0]["pixels"])
    hand.close()


def test_the_view_from_the_hand_moves_with_the_hand() -> None:
    env = make("front", "wrist")
    before = env.reset(seed=2)[0]["pixels_wrist"]
    for _ in range(4):
        after = env.step(np.array([1, 0, 0, 0], np.float32))[0]["pixels_wrist"]
    assert np.abs(after.astype(int) - before).mean() > 2
    env.close()


def test_who_does_not_look_gets_black_pictures_of_every_camera() -> None:
    env = make("front", "wrist", observe_pixels=False)
    observation = env.reset(seed=0)[0]
    assert not observation["pixels"].any()
    assert not observation["pixels_wrist"].any()
    env.close()


@pytest.mark.parametrize("cameras", [("back",), (), ("front", "front")])
def test_cameras_that_are_not_there_are_refused_by_name(cameras: tuple[str, ...]) -> None:
    message = f"cameras are one or more of front, overview, wrist, each once; got {list(cameras)}"
    with pytest.raises(ValueError, match=re.escape(message)):
        make(*cameras)


def seen_from(env: ArmEnv, camera: str, point: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2,) where a (3,) point is in a camera's picture, -1 to 1 from edge to edge."""
    eye = env.data.camera(camera)
    x, y, z = eye.xmat.reshape(3, 3).T @ (point - eye.xpos)
    half = np.tan(np.radians(env.model.camera(camera).fovy[0]) / 2)
    return np.array([x / (-z * half), y / (-z * half)])


@pytest.mark.parametrize("corner", list(product((0, 1), repeat=3)))
def test_people_see_the_hand_wherever_it_may_go(corner: tuple[int, int, int]) -> None:
    """In a corner of the workspace fingertip and hand, 10 cm above it, are inside the picture."""
    env = make("front")
    box = np.array([env.arm.low, env.arm.high])
    tip = box[corner, (0, 1, 2)]
    arrange(env.arm, env.data, Arrangement(fingertip=tip))
    mujoco.mj_forward(env.model, env.data)
    for point in (tip, tip + np.array([0, 0, 0.1])):
        assert np.abs(seen_from(env, "overview", point)).max() < 0.97
    env.close()


def test_a_picture_for_people_leaves_those_of_the_models_as_they_were() -> None:
    env, other = make("front"), make("front")
    before = env.reset(seed=4)[0]["pixels"]
    overview = Overview(env.model, 256)
    picture = overview.see(env.data)
    assert picture.shape == (256, 256, 3)
    assert picture.std() > 10
    np.testing.assert_array_equal(env.render(), before)
    np.testing.assert_array_equal(other.reset(seed=4)[0]["pixels"], before)
    fresh = Overview(env.model, 256)  # quality was put back: the next context is drawn alike
    np.testing.assert_array_equal(fresh.see(env.data), picture)
    assert env.model.vis.quality.offsamples == other.model.vis.quality.offsamples == 0
    for one in (overview, fresh, env, other):
        one.close()
