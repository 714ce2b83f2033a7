"""The `oracle` row: the search of an agent, through the true simulator to the true goal state."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import mujoco
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from goalsight.benchmark.tasks import task_of
from goalsight.benchmark.true_distance import StateEnergy, energy_of
from goalsight.energies import arrival_cost
from goalsight.environments import Env
from goalsight.errors import UserError
from goalsight_envs.base import ArmEnv
from goalsight_envs.placing import substeps
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

    def outcomes(self, plan: NDArray[np.float64], energy: StateEnergy) -> NDArray[np.float64]:
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


class OraclePlayer:
    """Plans by the simulator itself: what a planner could do if its model knew everything.

    Every decision restores the full solver state for every candidate plan, runs it, and scores it
    by `goalsight.benchmark.true_distance` in the form an agent uses, `arrival_cost`.
    """

    looks = False

    def __init__(self, config: OracleConfig | None = None) -> None:
        """Play with a budget; the default is the one of the table."""
        self.config = config or OracleConfig()
        self.latency_s: float | None = None
        """Seconds the last action took to decide; None where it was decided earlier."""
        self._queue: deque[NDArray[np.float32]] = deque()

    @property
    def evaluations_per_decision(self) -> int:
        """Plans that are simulated for one decision."""
        return self.config.search.evaluations

    def begin(self, env: Env, stream: np.random.SeedSequence) -> None:
        """Start a pair on an environment that was just reset.

        Raises:
            UserError: if its state cannot be saved and restored exactly.
        """
        check_oracle(env)
        self._task = task_of(env)
        self._simulation = Simulation(self._task)
        self._generators = streams([int(stream.generate_state(1)[0])])
        self._warm: Tensor | None = None
        self._queue.clear()

    def act(self, observation: object) -> NDArray[np.float32]:
        """(4,) action; it looks at the simulator, never at the observation."""
        del observation
        self.latency_s = None
        if not self._queue:
            began = time.perf_counter()
            self._queue.extend(self._decide())
            self.latency_s = time.perf_counter() - began
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
        energy, config = energy_of(self._task), self.config

        def cost(plans: Tensor) -> Tensor:
            """(1, N) costs of plans (1, N, H, K, A)."""
            found = [self._simulation.outcomes(plan, energy) for plan in plans[0].double().numpy()]
            energies = torch.from_numpy(np.stack(found)).float()
            return arrival_cost(energies, config.delay, config.running)[None]

        one = torch.ones(4)
        return cem(cost, self._guesses(energy), (-one, one), config.search, self._generators)

    def _guesses(self, energy: StateEnergy) -> Tensor:
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
