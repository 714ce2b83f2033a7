"""A second camera on request: one more picture, nothing else."""

from __future__ import annotations

import re
from typing import Any

import gymnasium
import numpy as np
import pytest

from goalsight_envs.base import ArmEnv


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
