"""Scripted behaviour: play for collecting, experts and baselines for the benchmark.

They read the simulator's state; nothing here is ever available to an agent.
"""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from goalsight_envs.base import ArmEnv
from goalsight_envs.foreign import ForeignEnv
from goalsight_envs.foreign import make_expert as make_foreign_expert
from goalsight_envs.foreign import make_play as make_foreign_play
from goalsight_envs.policies.behaviours import (
    BEHAVIOURS,
    Behaviour,
    Plain,
    Style,
    behaviours_for,
    make_play,
)
from goalsight_envs.policies.expert import make_expert
from goalsight_envs.policies.play import PlayPolicy
from goalsight_envs.policies.simple import HoldPolicy, Policy, RandomPolicy
from goalsight_envs.policies.task_play import TaskPlayPolicy

POLICIES: dict[str, Callable[[ArmEnv, np.random.Generator], Policy]] = {
    "play": make_play,
    "random": RandomPolicy,
    "expert": make_expert,
    "hold": HoldPolicy,
}


FOREIGN: dict[str, Callable[..., Policy]] = {
    "play": make_foreign_play,
    "random": RandomPolicy,
    "expert": make_foreign_expert,
    "hold": HoldPolicy,
}
"""The same for environments of other packages."""


def make_policy(name: str, env: gym.Env[Any, Any], rng: np.random.Generator) -> Policy:
    """The policy of that name for an environment of the arm scene, or a wrapped one.

    Args:
        name: `play`, `random`, `expert` or `hold`.
        env: a (wrapped) `ArmEnv` or `ForeignEnv`.
        rng: every random choice of the policy comes from here.

    Raises:
        KeyError: for an unknown name; the message lists those that exist.
        TypeError: if the environment is not of the arm scene.
    """
    if name not in POLICIES:
        raise KeyError(f"no policy {name!r}; there are: {', '.join(POLICIES)}")
    arm_env = env.unwrapped
    if isinstance(arm_env, ForeignEnv):
        return FOREIGN[name](arm_env, rng)
    return POLICIES[name](_arm(env), rng)


def make_behaviour(
    name: str, env: gym.Env[Any, Any], rng: np.random.Generator, style: Style | None = None
) -> Behaviour:
    """A policy that a mix may name, for an environment of the arm scene or a wrapped one.

    Args:
        name: one of `available_behaviours(env)`.
        env: a (wrapped) `ArmEnv`.
        rng: every random choice of the policy comes from here.
        style: noise, speed and mistakes.

    Raises:
        KeyError: for an unknown name; the message lists those that exist.
        TypeError: if the environment is not of the arm scene.
    """
    if name not in BEHAVIOURS:
        raise KeyError(f"no policy {name!r} for a mix; there are: {', '.join(BEHAVIOURS)}")
    if isinstance(env.unwrapped, ForeignEnv):
        return Plain(make_policy(name, env, rng))
    return BEHAVIOURS[name](_arm(env), rng, style or Style())


def available_behaviours(env: gym.Env[Any, Any]) -> list[str]:
    """Names of the behaviours that a task has the objects for, of `BEHAVIOURS`.

    A wrapped environment has those that need to know nothing about it.

    Raises:
        TypeError: if the environment is not of the arm scene.
    """
    if isinstance(env.unwrapped, ForeignEnv):
        return list(FOREIGN)
    return behaviours_for(_arm(env))


def _arm(env: gym.Env[Any, Any]) -> ArmEnv:
    arm_env = env.unwrapped
    if not isinstance(arm_env, ArmEnv):
        raise TypeError(f"policies drive the arm scene, got {type(arm_env).__name__}")
    return arm_env


__all__ = [
    "BEHAVIOURS",
    "FOREIGN",
    "POLICIES",
    "Behaviour",
    "HoldPolicy",
    "PlayPolicy",
    "Policy",
    "RandomPolicy",
    "Style",
    "TaskPlayPolicy",
    "available_behaviours",
    "make_behaviour",
    "make_policy",
]
