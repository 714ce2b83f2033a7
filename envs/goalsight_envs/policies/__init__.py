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
from goalsight_envs.policies.expert import make_expert
from goalsight_envs.policies.hand_experts import PLANS
from goalsight_envs.policies.play import PlayPolicy
from goalsight_envs.policies.simple import HoldPolicy, Policy, RandomPolicy
from goalsight_envs.policies.task_play import TaskPlayPolicy


def make_play(env: ArmEnv, rng: np.random.Generator) -> Policy:
    """The play of a task: waypoints and pushes, or scripts for tasks that need fingers."""
    return TaskPlayPolicy(env, rng) if type(env) in PLANS else PlayPolicy(env, rng)


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
    if not isinstance(arm_env, ArmEnv):
        raise TypeError(f"policies drive the arm scene, got {type(arm_env).__name__}")
    return POLICIES[name](arm_env, rng)


__all__ = [
    "FOREIGN",
    "POLICIES",
    "HoldPolicy",
    "PlayPolicy",
    "Policy",
    "RandomPolicy",
    "TaskPlayPolicy",
    "make_policy",
]
