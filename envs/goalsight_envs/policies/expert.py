"""Scripted experts: they see the state and the goal state, and show that a task can be solved."""

from __future__ import annotations

import numpy as np

from goalsight_envs.base import ArmEnv
from goalsight_envs.policies.hand_experts import PLANS, HandExpert
from goalsight_envs.policies.motion import push_waypoint, steer
from goalsight_envs.policies.simple import Action, Policy
from goalsight_envs.push import PushEnv


class ReachExpert:
    """Straight to the goal's fingertip position."""

    def __init__(self, env: ArmEnv, rng: np.random.Generator) -> None:
        """Drive `env`; nothing is random."""
        self.env = env

    def reset(self) -> None:
        """Nothing to forget."""

    def act(self) -> Action:
        """(4,) action toward the goal, gripper still."""
        goal = self.env.arm.fingertip(self.env.goal_data)
        return np.array([*steer(self.env, goal), 0.0], np.float32)


class PushExpert:
    """Push the cube to the goal's place, then stay clear of it."""

    def __init__(self, env: ArmEnv, rng: np.random.Generator) -> None:
        """Drive `env`; nothing is random."""
        self.env = env

    def reset(self) -> None:
        """Nothing to forget."""

    def act(self) -> Action:
        """(4,) action; the gripper closes so that the push has one point of contact."""
        goal = self.env.achieved(self.env.goal_data)[:2]
        waypoint = push_waypoint(self.env, goal)
        if waypoint is None:
            return np.zeros(4, np.float32)
        return np.array([*steer(self.env, waypoint), -1.0], np.float32)


def make_expert(env: ArmEnv, rng: np.random.Generator) -> Policy:
    """The expert of a task."""
    if (plan := PLANS.get(type(env))) is not None:
        return HandExpert(env, plan)
    return PushExpert(env, rng) if isinstance(env, PushEnv) else ReachExpert(env, rng)
