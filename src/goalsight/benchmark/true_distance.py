"""How far a simulation is from its goal state, as the `oracle` row counts it [m].

The task's own distance says nothing to a hand that is not yet at the object. Here an energy also
falls while the hand comes to where it can move the object: a shaping term, small beside what the
task asks for, and gone when that is done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from goalsight_envs import cabinet
from goalsight_envs.drawer import DrawerEnv
from goalsight_envs.grasp import GraspEnv
from goalsight_envs.placing import OPEN
from goalsight_envs.push import PushEnv
from goalsight_envs.reach import ReachEnv
from goalsight_envs.scene import SceneEnv
from goalsight_envs.stack import StackEnv

if TYPE_CHECKING:
    import mujoco

    from goalsight_envs.base import ArmEnv

Array = NDArray[np.float64]
Thing = Callable[["mujoco.MjData"], Array]
"""Reads the position (3,) of something that can be moved [m]."""

SHAPING = 0.25
"""What a metre that the hand is away is worth, in metres that the object is."""
WIDEST = 0.08
"""Distance between the pads of an open gripper [m]."""
PLACED = 0.015
"""Distance to its place from which an object may be let go [m]."""
ALIGNED = (0.012, 0.015)
"""How far aside of and above an object the fingertip is at most when the fingers close [m]."""
ROUND = 0.07
"""Radius of the way around a cube that is pushed [m]."""
CONTACT = 0.045
"""From the cube's centre to the fingertip that pushes it [m]."""
LOW = 0.025
"""Height of a fingertip that pushes [m]."""
IN_HAND = 0.045
"""Distance of the fingertip from the centre of a cube that the fingers hold, at most [m]."""
WALL = 0.05
"""Distance from the middle of the drawer within which a cube is over it [m]."""
OVER = 0.185
"""Height of a cube's centre that passes over the handle of the drawer [m]."""
SPARE = 0.02
"""How much lower it still passes [m]."""
FARTHEST = 0.5
"""More than any place on the table is from the drawer [m]."""
STANDS = 0.02
"""Distance from its place from which a cube is in the way of a stack [m]."""


@dataclass(frozen=True, kw_only=True)
class Touch:
    """The fingertip itself is to be somewhere."""

    task: ArmEnv
    target: Array
    """(3,) [m]."""

    def hand(self, data: mujoco.MjData) -> Array:
        """(3,) where the fingertip should be [m]."""
        del data
        return self.target

    def way(self, data: mujoco.MjData) -> Array:
        """(3,) by how much something is to be moved [m]: nothing is."""
        del data
        return np.zeros(3)

    def __call__(self, data: mujoco.MjData) -> float:
        """Energy of a simulation [m]."""
        return float(np.linalg.norm(self.task.arm.fingertip(data) - self.target))


@dataclass(frozen=True, kw_only=True)
class Push:
    """A cube is to be pushed to its place, from behind, the fingers shut."""

    task: ArmEnv
    cube: Thing
    target: Array
    """(3,) its place [m]."""

    def hand(self, data: mujoco.MjData) -> Array:
        """(3,) where the fingertip should be: behind the cube [m]."""
        forward = self.way(data)
        behind = self.cube(data) - 1.5 * CONTACT * forward / max(
            float(np.linalg.norm(forward)), 1e-6
        )
        return np.array([*behind[:2], LOW])

    def way(self, data: mujoco.MjData) -> Array:
        """(3,) by how much the cube is to be moved along the table [m]."""
        return np.array([*(self.target - self.cube(data))[:2], 0.0])

    def __call__(self, data: mujoco.MjData) -> float:
        """Energy of a simulation [m]; the way of the hand leads around the cube, not through it."""
        cube, arm = self.cube(data), self.task.arm
        off = float(np.linalg.norm(self.target - cube))
        forward, relative = (self.target - cube)[:2], (arm.fingertip(data) - cube)[:2]
        apart = float(np.linalg.norm(relative))
        sizes = max(float(np.linalg.norm(forward)) * apart, 1e-9)
        turn = float(np.arccos(np.clip(-(forward @ relative) / sizes, -1.0, 1.0)))
        height = abs(float(arm.fingertip(data)[2]) - LOW)
        hand = ROUND * turn + max(apart - CONTACT, 0.0) + height + 0.3 * arm.opening(data)
        return off + SHAPING * hand * min(1.0, off / 0.03)


@dataclass(frozen=True, kw_only=True)
class Take:
    """Something is to be taken between the fingers, brought to its place, and perhaps let go."""

    task: ArmEnv
    thing: Thing
    target: Array
    """(3,) its place [m]."""
    release: bool
    """Whether the goal has it let go."""
    others: tuple[tuple[Thing, Array], ...] = ()
    """What else has a place (3,) [m]."""
    over: float = 0.0
    """Height at which it must pass over a wall around its place [m]; 0 without one."""

    def hand(self, data: mujoco.MjData) -> Array:
        """(3,) where the fingertip should be: around it [m]."""
        return self.thing(data)

    def way(self, data: mujoco.MjData) -> Array:
        """(3,) by how much it is to be moved next [m]: straight, or over a wall."""
        line = self.target - self.thing(data)
        if not self.over or float(np.linalg.norm(line[:2])) < WALL:
            return line
        up = self.over - float(self.thing(data)[2])
        return np.array([0.0, 0.0, up] if up > SPARE else [*line[:2], 0.0])

    def __call__(self, data: mujoco.MjData) -> float:
        """Energy of a simulation [m]; it falls from step to step and at each.

        The steps are coming near, closing, carrying and letting go.
        """
        arm, there = self.task.arm, self.thing(data)
        off = float(np.linalg.norm(there - self.target))
        total = self._path(there)
        # Twice: nothing is gained by shoving one thing out of the way of another.
        total += 2 * sum(float(np.linalg.norm(it(data) - place)) for it, place in self.others)
        opening = arm.opening(data)
        if self.release and off < PLACED:
            return total + SHAPING * max(0.0, OPEN + 0.005 - opening)
        away = arm.fingertip(data) - there
        aside, above = float(np.linalg.norm(away[:2])), abs(float(away[2]))
        if aside < ALIGNED[0] and above < ALIGNED[1]:
            return total + SHAPING * (WIDEST + opening)
        near = 2 * aside + above + (WIDEST - opening)
        return total + SHAPING * (2.25 * WIDEST + near)

    def _path(self, there: Array) -> float:
        """Length of the way from (3,) to its place [m]; if there is a wall, up, across and down.

        Below the wall's top only going up counts: what is shoved against a wall is no nearer.
        """
        if not self.over:
            return float(np.linalg.norm(there - self.target))
        height = float(there[2])
        aside = float(np.linalg.norm((there - self.target)[:2]))
        if aside < WALL:
            return aside + abs(height - float(self.target[2]))
        across = aside if height > self.over - SPARE else FARTHEST
        return max(0.0, self.over - height) + across + self.over - float(self.target[2])


StateEnergy = Touch | Push | Take
"""Maps a simulation to how far it is from what is to be done next [m]."""


def energy_of(task: ArmEnv) -> StateEnergy:
    """What is to be done next in the running episode, by the true state and the true goal state.

    Args:
        task: any of ours.
    """
    if isinstance(task, ReachEnv):
        return Touch(task=task, target=task.arm.fingertip(task.goal_data))
    if isinstance(task, StackEnv):
        return _stack(task)
    if isinstance(task, SceneEnv):
        return _put_away(task)
    if isinstance(task, DrawerEnv):
        return _drawer(task, cabinet.handle(task.goal_data))
    cube = _body("cube")
    if isinstance(task, PushEnv):
        return Push(task=task, cube=cube, target=cube(task.goal_data))
    release = not isinstance(task, GraspEnv)
    return Take(task=task, thing=cube, target=cube(task.goal_data), release=release)


def _stack(task: ArmEnv) -> Take:
    """The upper cube onto the lower one, once that is in its place."""
    cubes = sorted((_body(name) for name in task.cubes), key=lambda cube: cube(task.goal_data)[2])
    lower, upper = cubes
    place, top = lower(task.goal_data), upper(task.goal_data)
    moved = lower(task.data) - place
    if np.linalg.norm(moved) > STANDS and not _in_hand(task, upper):
        return Take(task=task, thing=lower, target=place, release=True)
    return Take(task=task, thing=upper, target=top + moved, release=True, others=((lower, place),))


def _put_away(task: ArmEnv) -> Take:
    """Open the drawer, put the cube into it, set the drawer to where the goal has it."""
    cube = _body("cube")
    opening, inside = cabinet.opening(task.data), cabinet.holds(task.data, cube(task.data))
    if inside and task.arm.opening(task.data) > OPEN:
        return _drawer(task, cabinet.handle(task.goal_data))
    handle = cabinet.handle(task.data)
    if opening < cabinet.ROOM and not inside and not _in_hand(task, cube):
        wide = handle + np.array([0.0, cabinet.TRAVEL - 0.003 - opening, 0.0])
        return _drawer(task, wide)
    middle = cabinet.middle(task.data)
    kept = ((cabinet.handle, handle),)
    return Take(task=task, thing=cube, target=middle, release=True, others=kept, over=OVER)


def _drawer(task: ArmEnv, target: Array) -> Take:
    return Take(task=task, thing=cabinet.handle, target=target, release=False)


def _in_hand(task: ArmEnv, thing: Thing) -> bool:
    """Whether the fingertip is where it is when the fingers hold a cube."""
    return bool(np.linalg.norm(thing(task.data) - task.arm.fingertip(task.data)) < IN_HAND)


def _body(name: str) -> Thing:
    return lambda data: np.array(data.body(name).xpos)
