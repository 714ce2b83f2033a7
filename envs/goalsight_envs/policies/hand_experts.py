"""Scripted experts of the tasks that need fingers: skills in the order of the task."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from goalsight_envs import cabinet
from goalsight_envs.base import ArmEnv, Array
from goalsight_envs.drawer import DrawerEnv
from goalsight_envs.grasp import GraspEnv
from goalsight_envs.pick_place import PickPlaceEnv
from goalsight_envs.policies.simple import Action
from goalsight_envs.policies.skills import (
    Move,
    action_of,
    carry,
    grasp,
    holding,
    leave,
    let_go,
    set_drawer,
)
from goalsight_envs.scene import SceneEnv
from goalsight_envs.stack import StackEnv


def cube_in_goal(env: ArmEnv, name: str) -> Array:
    """(3,) centre of a cube in the goal state [m]."""
    return np.array(env.goal_data.body(name).xpos)


def goal_fingertip(env: ArmEnv) -> Array:
    """(3,) fingertip position in the goal state [m]."""
    return env.arm.fingertip(env.goal_data)


def lift_to_goal(env: ArmEnv) -> Move | None:
    """Grasp: take the cube and hold it where the goal has it."""
    if (move := grasp(env, "cube")) is not None:
        return move
    return carry(env, "cube", cube_in_goal(env, "cube"))


def put_down(env: ArmEnv, name: str, target: Array, away: Array) -> Move | None:
    """Take a cube, put it down at (3,), let go, and move away to (3,) [m]."""
    cube = np.array(env.data.body(name).xpos)
    aside = np.abs(cube - target)
    if aside[:2].max() < 0.014 and aside[2] < 0.01:
        if (move := let_go(env)) is not None:
            return move
        return leave(env, away)
    if not holding(env, name):
        return grasp(env, name)
    return carry(env, name, target)


def place_at_goal(env: ArmEnv) -> Move | None:
    """PickPlace: the cube to its place, the open hand to its own."""
    return put_down(env, "cube", cube_in_goal(env, "cube"), goal_fingertip(env))


def upper_cube(env: ArmEnv) -> tuple[str, str]:
    """Names of the upper and the lower cube in the goal state of a stack."""
    first, second = env.cubes
    higher = cube_in_goal(env, first)[2] > cube_in_goal(env, second)[2]
    return (first, second) if higher else (second, first)


def stack_at_goal(env: ArmEnv) -> Move | None:
    """Stack: the upper cube on the lower one, the open hand to its place."""
    upper, lower = upper_cube(env)
    offset = cube_in_goal(env, upper) - cube_in_goal(env, lower)
    target = np.array(env.data.body(lower).xpos) + offset
    return put_down(env, upper, target, goal_fingertip(env))


def drawer_at_goal(env: ArmEnv) -> Move | None:
    """Drawer: the drawer to its opening, then away."""
    if (move := set_drawer(env, cabinet.opening(env.goal_data))) is not None:
        return move
    around = np.abs(env.arm.fingertip(env.data) - cabinet.handle(env.data)).max() < 0.03
    if around and (move := let_go(env)) is not None:
        return move
    return leave(env, goal_fingertip(env))


def put_away(env: ArmEnv) -> Move | None:
    """Scene: open the drawer if need be, put the cube into it, shut it as far as the goal says."""
    cube = np.array(env.data.body("cube").xpos)
    if cabinet.holds(env.data, cube) and not holding(env, "cube"):
        return drawer_at_goal(env)
    if cabinet.opening(env.data) < cabinet.ROOM and not holding(env, "cube"):
        return set_drawer(env, cabinet.TRAVEL - 0.003)
    middle = cabinet.middle(env.data)
    return put_down(env, "cube", middle, np.add(middle, [0.0, 0.0, 0.12]))


class HandExpert:
    """Follows a plan of skills; when it has nothing left to do, it stays."""

    def __init__(self, env: ArmEnv, plan: Callable[[ArmEnv], Move | None]) -> None:
        """Drive `env`; nothing is random."""
        self.env, self.plan = env, plan

    def reset(self) -> None:
        """Nothing to forget."""

    def act(self) -> Action:
        """(4,) action toward the next move."""
        return action_of(self.env, self.plan(self.env))


PLANS: dict[type[ArmEnv], Callable[[ArmEnv], Move | None]] = {
    GraspEnv: lift_to_goal,
    PickPlaceEnv: place_at_goal,
    DrawerEnv: drawer_at_goal,
    StackEnv: stack_at_goal,
    SceneEnv: put_away,
}
"""What the expert of each task does next."""
