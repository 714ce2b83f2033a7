"""Scripted experts: they see the state and the goal state, and show that a task can be solved."""

from __future__ import annotations

import numpy as np

from goalsight_envs.base import ArmEnv
from goalsight_envs.placing import yaw_of
from goalsight_envs.policies.hand_experts import PLANS, HandExpert, put_down
from goalsight_envs.policies.motion import CLEAR, LOW, STANDOFF, push_waypoint, steer
from goalsight_envs.policies.simple import Action, Policy
from goalsight_envs.policies.skills import Move, action_of, holding, over
from goalsight_envs.push import PushEnv

ASKEW = 0.45
"""Turn beyond which a cube does not fit between the open fingers [rad]."""


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
    """Push the cube to the goal's place, then stay clear of it.

    Where the hand cannot get behind the cube, at the edge of the workspace, it takes the cube in
    its fingers; where it lies too askew for that, it comes down on its outer edge to turn it.
    """

    def __init__(self, env: ArmEnv, rng: np.random.Generator) -> None:
        """Drive `env`; nothing is random."""
        self.env = env

    def reset(self) -> None:
        """Nothing to forget."""

    def act(self) -> Action:
        """(4,) action; the gripper closes so that the push has one point of contact."""
        env = self.env
        goal = env.achieved(env.goal_data)
        cube = env.data.body("cube")
        forward = goal[:2] - cube.xpos[:2]
        behind = cube.xpos[:2] - STANDOFF * forward / max(float(np.linalg.norm(forward)), 1e-6)
        reachable = np.clip(behind, env.arm.low[:2], env.arm.high[:2])
        arrived = np.linalg.norm(forward) < 0.015
        if holding(env, "cube") or (np.abs(behind - reachable).max() > 0.01 and not arrived):
            askew = abs((yaw_of(cube.xquat) + np.pi / 4) % (np.pi / 2) - np.pi / 4)
            if askew < ASKEW or holding(env, "cube"):
                return action_of(env, put_down(env, "cube", goal, np.add(goal, [0.0, 0.0, 0.1])))
            outer = np.array([*reachable, LOW])
            return action_of(env, Move(over(env, outer, CLEAR), -1.0))
        waypoint = push_waypoint(env, goal[:2])
        if waypoint is None:
            return np.zeros(4, np.float32)
        return action_of(env, Move(waypoint, -1.0))


def make_expert(env: ArmEnv, rng: np.random.Generator) -> Policy:
    """The expert of a task."""
    if (plan := PLANS.get(type(env))) is not None:
        return HandExpert(env, plan)
    return PushExpert(env, rng) if isinstance(env, PushEnv) else ReachExpert(env, rng)
