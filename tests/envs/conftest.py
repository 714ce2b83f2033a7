"""One environment a task for the whole session; tests reset it, they do not change it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import gymnasium
import pytest

import goalsight_envs
from goalsight_envs.base import ArmEnv
from goalsight_envs.one_cube import OneCubeEnv

TASKS = sorted(name for name in gymnasium.registry if name.startswith("Goalsight/"))
assert goalsight_envs.MAX_EPISODE_STEPS  # importing the package is what registers them


def make(task: str, *, size: int = 64, observe_pixels: bool = True) -> ArmEnv:
    """A task without Gymnasium's wrappers."""
    env = gymnasium.make(task, size=size, observe_pixels=observe_pixels, disable_env_checker=True)
    arm_env = env.unwrapped
    assert isinstance(arm_env, ArmEnv)
    return arm_env


@pytest.fixture(scope="session", params=TASKS)
def env(request: pytest.FixtureRequest) -> Iterator[ArmEnv]:
    """Each task that is registered, with pictures."""
    made = make(request.param)
    yield made
    made.close()


@pytest.fixture(scope="session", params=TASKS)
def blind(request: pytest.FixtureRequest) -> Iterator[ArmEnv]:
    """Each task that is registered, without pictures: for laws of motion."""
    made = make(request.param, observe_pixels=False)
    yield made
    made.close()


@pytest.fixture(scope="session")
def arm_env() -> Iterator[OneCubeEnv]:
    """One task without pictures, where all tasks are alike."""
    made = make("Goalsight/Push-v0", observe_pixels=False)
    assert isinstance(made, OneCubeEnv)
    yield made
    made.close()


@pytest.fixture
def blind_task() -> Iterator[Callable[[str], ArmEnv]]:
    """Makes a task by its short name, without pictures, and closes it after the test."""
    made: list[ArmEnv] = []

    def make_one(name: str) -> ArmEnv:
        made.append(make(f"Goalsight/{name}-v0", observe_pixels=False))
        return made[-1]

    yield make_one
    for env in made:
        env.close()
