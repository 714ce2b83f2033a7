"""The `oracle` row: the search of an agent, through the true simulator to the true goal state.

`oracle_cost` says how far a simulation is from its goal state [m]. The task's own distance says
nothing to a hand that is not yet at the object. Here the cost also falls while the hand comes to
where it can move the object: a shaping term, small beside what the task asks for, and gone when
that is done.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import mujoco
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from goalsight.energies import arrival_cost
from goalsight.environments import Env, task_of
from goalsight.errors import UserError
from goalsight.policy import Observation
from goalsight_envs import cabinet
from goalsight_envs.base import ArmEnv
from goalsight_envs.drawer import DrawerEnv
from goalsight_envs.grasp import GraspEnv
from goalsight_envs.placing import OPEN, substeps
from goalsight_envs.push import PushEnv
from goalsight_envs.reach import ReachEnv
from goalsight_envs.scene import SceneEnv
from goalsight_envs.stack import StackEnv
from goalsight_envs.state import write_state
from goalsight_planners import CEMConfig, Discrete, Plan, cem, shift, streams

GRIPPER = 3
"""Axis of the gripper in an action."""
HELD = 0.75
"""Share of the success threshold within which nothing needs to be done any more."""


@dataclass(frozen=True, kw_only=True)
class OracleConfig:
    """How hard it searches: about a second a decision on one core."""

    search: CEMConfig = field(
        default_factory=lambda: CEMConfig(
            horizon=4,
            block=4,
            samples=32,
            iterations=3,
            elites=6,
            keep_elites=3,
            init_std=0.5,
            min_std=0.1,
            discrete=(Discrete(axis=GRIPPER),),
        )
    )
    """The planner's; the first block of a plan is executed."""
    delay: float = 0.002
    """What a block of delay costs [m], see `goalsight.energies.arrival_cost`."""
    running: float = 0.05
    """Weight of the mean energy along a plan, see there."""


class Simulation:
    """A second simulation of the running episode, to try plans in; the episode does not notice."""

    def __init__(self, task: ArmEnv) -> None:
        """Simulate one task, with the mechanics it has at the time of a call."""
        self._task, self._data = task, mujoco.MjData(task.model)

    def outcomes(self, plan: NDArray[np.float64], energy: StateCost) -> NDArray[np.float64]:
        """(H,) energy [m] after each block of a plan (H, K, A), from where the episode is."""
        return np.array([energy(self._data) for _ in self._blocks(plan)])

    def stays(self, blocks: int, block: int) -> bool:
        """Whether the goal is fulfilled, with room to spare, after each of so many idle blocks."""
        task = self._task
        desired, idle = task.achieved(task.goal_data), np.zeros((blocks, block, 4))
        for _ in self._blocks(idle):
            achieved = task.achieved(self._data)
            near = task.goal_distance(achieved, desired) <= HELD * task.success_threshold
            if not (near and task.succeeded(achieved, desired)):
                return False
        return True

    def _blocks(self, plan: NDArray[np.float64]) -> Iterator[mujoco.MjData]:
        """The simulation after each block of a plan (H, K, A)."""
        task, data = self._task, self._data
        write_state(task.model, data, task.solver_state())
        for block in plan:
            for action in block:
                task.arm.apply(data, np.clip(action, -1.0, 1.0))
                mujoco.mj_step(task.model, data, nstep=substeps(task.model))
                mujoco.mj_kinematics(task.model, data)
            yield data


class OraclePolicy:
    """Plans by the simulator itself: what a planner could do if its model knew everything.

    Every decision restores the full solver state for every candidate plan, runs it, and scores it
    by `oracle_cost` in the form an agent uses, `arrival_cost`.
    """

    needs_pixels = False

    def __init__(self, env: Env, config: OracleConfig | None = None) -> None:
        """Play in one environment.

        Args:
            env: a task of goalsight's own; it was reset when `reset` is called.
            config: how hard to search; the default is that of the table.

        Raises:
            UserError: if its state cannot be saved and restored exactly.
        """
        check_oracle(env)
        self._env, self.config = env, config or OracleConfig()
        self.last_latency_s: float | None = None
        """Seconds the last action took to decide; None where it was decided earlier."""
        self._queue: deque[NDArray[np.float32]] = deque()

    @property
    def evaluations_per_decision(self) -> int:
        """Plans that are simulated for one decision."""
        return self.config.search.evaluations

    def reset(self, goal: NDArray[np.uint8], seed: int) -> None:
        """Begin an episode; its goal is read off the simulator, not off the picture."""
        del goal
        self._task = task_of(self._env)
        self._simulation = Simulation(self._task)
        self._generators = streams([seed])
        self._warm: Tensor | None = None
        self._queue.clear()

    def act(self, observation: Observation) -> NDArray[np.float32]:
        """(4,) action; it looks at the simulator, never at the observation."""
        del observation
        self.last_latency_s = None
        if not self._queue:
            began = time.perf_counter()
            self._queue.extend(self._decide())
            self.last_latency_s = time.perf_counter() - began
        return self._queue.popleft()

    def _decide(self) -> NDArray[np.float32]:
        """(K, A) actions until the next decision."""
        search = self.config.search
        if self._simulation.stays(search.horizon, search.block):
            self._warm = None
            return np.zeros((search.block, 4), np.float32)
        plan = self.plan()
        self._warm = shift(plan)
        found: NDArray[np.float32] = plan.actions[0, 0].numpy()
        return found

    def plan(self) -> Plan:
        """Search from where the episode is; nothing of the episode changes."""
        energy, config = oracle_cost(self._task), self.config

        def cost(plans: Tensor) -> Tensor:
            """(1, N) costs of plans (1, N, H, K, A)."""
            found = [self._simulation.outcomes(plan, energy) for plan in plans[0].double().numpy()]
            energies = torch.from_numpy(np.stack(found)).float()
            return arrival_cost(energies, config.delay, config.running)[None]

        one = torch.ones(4)
        return cem(cost, self._guesses(energy), (-one, one), config.search, self._generators)

    def _guesses(self, energy: StateCost) -> Tensor:
        """(1, M, H, K, A) where to begin: the rest of the last plan, and straight lines.

        The hand straight to where it is to be, and straight by as much as the object is to move,
        each with the fingers opening and closing.
        """
        task, search = self._task, self.config.search
        data = task.data
        lines = [energy.hand(data) - task.arm.fingertip(data), energy.way(data)]
        steps = np.arange(1, search.horizon + 1)[:, None]
        reach = task.arm.config.step * search.block
        guesses = []
        for line in lines:
            # As fast as the axis that has farthest to go allows, then still.
            needed = max(float(np.abs(line).max()) / reach, 1e-9)
            share = np.clip(needed - steps + 1, 0.0, 1.0) / needed
            for gripper in (1.0, -1.0):
                blocks = np.concatenate([share * line / reach, np.full_like(share, gripper)], 1)
                guesses.append(blocks)
        drawn = torch.from_numpy(np.stack(guesses)).float()
        every = drawn[None, :, :, None].expand(1, -1, -1, search.block, -1)
        return every if self._warm is None else torch.cat([self._warm[:, None], every], dim=1)


def check_oracle(env: Env) -> None:
    """Refuse an environment whose full state cannot be saved and restored exactly.

    Raises:
        UserError: saying which row to leave out.
    """
    if not isinstance(env.unwrapped, ArmEnv):
        raise UserError(
            "the oracle row needs a task of goalsight's own, whose solver state it saves and "
            "restores for every plan; leave oracle out of --rows"
        )


# -- how far a simulation is from its goal ---------------------------------------------------


Array = NDArray[np.float64]
Thing = Callable[[mujoco.MjData], Array]
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


StateCost = Touch | Push | Take
"""Maps a simulation to how far it is from what is to be done next [m]."""


def oracle_cost(task: ArmEnv) -> StateCost:
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
