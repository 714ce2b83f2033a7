"""The agent: observation and goal image to action.

Read `act`, then `_decide` and `_plan`: together they are one decision, from top to bottom. All
that is remembered from one decision to the next is in `Episode`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from goalsight.agent.config import AgentConfig, agent_config
from goalsight.agent.cost import ActorNLL, PlanCost, PlanningProblem, check_cost
from goalsight.agent.proposals import (
    around,
    as_plan,
    choose,
    find_actor,
    is_stuck,
    propose,
    time_left,
    with_hysteresis,
)
from goalsight.agent.timing import Latencies, deadline_in
from goalsight.checkpoint import IN_A_RUN, Checkpoint, find_checkpoint, load_checkpoint
from goalsight.energies import energy_unit, goal_energy
from goalsight.errors import CheckpointError, UserError
from goalsight.memory import Memory, Segment, SubgoalFinder, load_memory, search_for
from goalsight.pictures import centre_square, resize
from goalsight.provenance import taught_by
from goalsight_planners import (
    Bounds,
    Cost,
    Plan,
    SearchConfig,
    Stop,
    planner_for,
    shift_steps,
    stack_plans,
)

Observation = Mapping[str, Any] | NDArray[np.uint8]
"""An environment's dict with `pixels` and `observation`, or the picture alone."""
NEARER = 0.98
"""An energy below this share of the least so far is progress; above it is the noise of seeing."""


@dataclass
class Episode:
    """All that an agent knows of the episodes it is in: B of them, side by side."""

    goals: Tensor
    """(G, B, P, D) latents of goal images, one after the other; G is 1 where B is not."""
    streams: list[torch.Generator]
    """One random stream for each of the B."""
    context: int = 1
    """Frames that the model looks back to, the present one included."""

    index: int = 0
    """Which goal's turn it is, from 0."""
    decisions: int = 0
    """Made since that goal's turn began."""
    first_energy: float | None = None
    """To the goal, when its turn began; None before the first decision."""
    least_energy: float = float("inf")
    """To the goal, so far."""
    waited: int = 0
    """Decisions since then that came no nearer."""

    latents: deque[Tensor] = field(default_factory=deque)
    """The last frames, (B, 1, P, D) each, at the ends of blocks."""
    proprio: deque[Tensor] = field(default_factory=deque)
    """(B, 1, Q) at them, for models that see it."""
    blocks: deque[Tensor] = field(default_factory=deque)
    """(B, 1, K, A) blocks that ran from them on, for models that look back."""
    seen: Tensor | None = None
    """(B, P, D) at the last decision."""

    queue: deque[NDArray[np.float32]] = field(default_factory=deque)
    """(B, A) actions that were decided and are still to be done."""
    warm: Tensor | None = None
    """(B, H, K, A) rest of the last plan: where the next search starts."""
    previous: Tensor | None = None
    """(B, A) the action before the next plan's first."""

    finder: SubgoalFinder | None = None
    """Finds sub-goals on the way to the goal; None without a memory, or before they are needed."""
    segments: tuple[Segment | None, ...] = ()
    """Of the memory, being followed."""

    @property
    def goal(self) -> Tensor:
        """(B, P, D) latents of the goals whose turn it is."""
        return self.goals[self.index]

    def copy(self) -> Episode:
        """One that goes on from here without changing this one."""
        streams = []
        for stream in self.streams:
            streams.append(torch.Generator(stream.device))
            streams[-1].set_state(stream.get_state())
        queues = {
            name: getattr(self, name).copy() for name in ("latents", "proprio", "blocks", "queue")
        }
        return replace(self, streams=streams, **queues)

    def look(self, latents: Tensor, proprio: Tensor | None) -> None:
        """Take in the frames at the end of a block: (B, 1, P, D) and (B, 1, Q) or None."""
        self.latents.append(latents)
        if proprio is not None:
            self.proprio.append(proprio)
        for part in (self.latents, self.proprio, self.blocks):
            while len(part) > self.context:
                part.popleft()

    def history(self) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """(B, T, P, D) latents, (B, T-1, K, A) blocks between them, (B, T, Q) proprio."""
        between = len(self.latents) - 1
        past = torch.cat(tuple(self.blocks)[-between:], dim=1) if between else None
        felt = torch.cat(tuple(self.proprio), dim=1) if self.proprio else None
        return torch.cat(tuple(self.latents), dim=1), past, felt

    def next_goal(self) -> None:
        """The next goal's turn: forget what was measured to the one before."""
        self.index, self.decisions = self.index + 1, 0
        self.first_energy, self.least_energy, self.waited = None, float("inf"), 0
        self.finder, self.segments = None, ()


class Agent:
    """Drives an environment, or several at once, toward goal images.

    It sees pictures, proprio and the goal image, never the simulator. A decision encodes the
    present picture (the goal was encoded once), searches action blocks in latent space, executes
    `replan` blocks of the best plan, and starts the next search from the rest of it.

    >>> agent = Agent.from_pretrained("push-tiny")  # doctest: +SKIP
    >>> agent.reset(env.unwrapped.goal_image(), seed=0)  # doctest: +SKIP
    >>> action = agent.act(obs)  # doctest: +SKIP
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        name: str = "agent",
        config: AgentConfig | None = None,
        memory: Memory | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Plan with a loaded checkpoint; with a memory that fits it, to one sub-goal at a time.

        Deadlines and latencies are by the `clock` [s].

        Raises:
            UserError: if a model that looks back is to decide in the middle of a block.
            CheckpointError: if the config wants a head that the model has not.
        """
        config = config or AgentConfig()
        self.model, self.card, self.name = checkpoint.model, checkpoint.card, name
        self.checkpoint_sha256 = checkpoint.sha256
        self.frameskip, self.action_dim = self.model.config.frameskip, self.model.config.action_dim
        self.image_size = self.model.config.image_size
        self.config = replace(config, planner=replace(config.planner, block=self.frameskip))
        self._steps, self._blocks = self.config.executed_steps, self.config.executed_blocks
        context = self.model.predictor.context
        if context > 1 and self._steps % self.frameskip:
            raise UserError(
                f"checkpoint {name} looks back at whole blocks of {self.frameskip} control steps: "
                f"give a multiple of it, not replan_steps={config.replan_steps}"
            )
        check_cost(self.model, config.cost)
        self._actor = find_actor(self.model, config, name)
        self.model.prepare(compiled=config.compile, precision=config.precision)
        self.device = next(self.model.parameters()).device
        one = torch.ones(self.action_dim, device=self.device)
        self._bounds = action_bounds(self.card, config.action_bound_sigmas, one)
        self._latent_variance = latent_variance(self.card)
        self._unit = energy_unit(config.cost.energy, self._latent_variance)
        self._planner = planner_for(self.config.planner)
        self._clock = clock
        self._memory = memory
        self._near_in_memory = None if memory is None else search_for(memory, self.device)
        self.memory_sha256 = None if memory is None else memory.sha256()
        """Identity of the memory that sub-goals come from, if there is one."""

        self._episodes: list[Episode] = []
        self._batched = False
        self.last_plan: Plan | None = None
        """The plan the last `act` searched; None if the action came out of the queue."""
        self.last_latency_s: float | None = None
        """Seconds the last `act` took to decide; None if the action came out of the queue."""
        self.latencies = Latencies()
        """How long decisions took, of all episodes; `clear` begins anew."""

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        settings: str = "",
        tier: str = "far",
        config: AgentConfig | None = None,
        device: torch.device | str = "cpu",
        memory: Path | None = None,
    ) -> Agent:
        """An agent from a shipped name, a checkpoint folder or a training run's folder.

        It plans as the checkpoint's card says that its model was measured, see
        `goalsight.agent.config`.

        Args:
            name_or_path: where the model is.
            settings: what is to be different, such as `mode=actor,planner.samples=100`.
            tier: how far its goals will be: `far` for a whole task, `near` for some 25 control
                steps.
            config: all of the settings, in place of those of the card.
            device: to plan on.
            memory: file that `goalsight memory build` wrote, to take sub-goals from.

        Raises:
            CheckpointError: if there is none or it is damaged.
            UserError: if a setting is unknown or does not fit.
            MemoryFileError: if the memory is missing, damaged, or of another encoder.
        """
        folder = find_checkpoint(name_or_path)
        name = folder.resolve().parent.name if folder.name == IN_A_RUN else folder.name
        loaded = load_checkpoint(folder, device)
        recorded = None if memory is None else load_memory(memory, loaded.model)
        config = config or agent_config(settings, loaded.card, tier=tier)
        return cls(loaded, name=name, config=config, memory=recorded)

    load = from_pretrained

    @property
    def labels_used(self) -> list[str]:
        """Simulator labels that training used; empty for pixels and actions alone."""
        return list(self.card.get("labels_used", []))

    @property
    def taught_by(self) -> str:
        """What training learned from, see `goalsight.provenance.taught_by`."""
        return taught_by(self.card)

    @property
    def evaluations_per_decision(self) -> int:
        """Candidate plans the model imagines for one decision after the first."""
        config, search = self.config, self.config.planner
        if config.mode == "actor":
            return 1
        proposed = 1 + config.actor.proposals if config.mode == "hybrid" else 0
        again = 1 + search.elites if config.hysteresis else 0
        return search.evaluations + proposed + again

    @property
    def goal_index(self) -> int:
        """Which goal image it is after, from 0; 0 before the first `reset`."""
        return self._episodes[0].index if self._episodes else 0

    @property
    def segment(self) -> Segment | None:
        """Of the memory, followed now; None without one, or while the goal itself is aimed at."""
        return next(iter(self._episodes[0].segments), None) if self._episodes else None

    # -- an episode --------------------------------------------------------------------------

    @torch.inference_mode()
    def reset(self, goal: NDArray[np.uint8] | Sequence[NDArray[np.uint8]], seed: int = 0) -> None:
        """Begin an episode, or B of them.

        Args:
            goal: (H, W, 3) goal image of any size, fitted to the model's as `act` does. A list of
                several to be reached one after the other; `AgentConfig.sequence` says when the next
                one's turn comes. (B, H, W, 3) for B episodes at once, each with its own.
            seed: of the search; the same seed gives the same plans. Episode i of B has seed + i.

        Raises:
            ValueError: if there is no goal image, or one is no picture.
        """
        batched = isinstance(goal, np.ndarray) and goal.ndim == 4
        pictures = list(goal) if batched or not isinstance(goal, np.ndarray) else [goal]
        if not pictures:
            raise ValueError("no goal image: an agent needs at least one")
        latents = [self._encode(picture[None]) for picture in pictures]  # (1, 1, P, D) each
        number = len(pictures) if batched else 1
        goals = torch.cat(latents, dim=1 if batched else 0)  # (G, B, P, D)
        self._episodes = self._begin(goals, self._streams(range(seed, seed + number)))
        self._batched = batched
        self.last_plan = self.last_latency_s = None

    @torch.inference_mode()
    def act(
        self,
        obs: Observation,
        proprio: NDArray[np.float32] | None = None,
        *,
        deadline: float | None = None,
    ) -> NDArray[np.float32]:
        """The next action.

        How much was searched is in `last_plan`, how long it took in `latencies`. Where it fails,
        the agent is as it was before the call.

        Args:
            obs: the environment's observation, a dict with `pixels` (H, W, 3) and what the robot
                measures of itself, `observation` (Q,); or the picture alone. A picture of any size
                is fitted to the model's: the square in its middle, resized as in training. Looked
                at when a decision is due, and by models that look back at every block's end. After
                a `reset` with B goals all of it with a leading axis B.
            proprio: (Q,) what the robot measures, where `obs` is a picture; models without a
                proprio input do not use it.
            deadline: as `AgentConfig.deadline_ms`, in its place [s].

        Returns:
            (A,) action in [-1, 1]; (B, A) after a `reset` with B goals.

        Raises:
            RuntimeError: before the first `reset`.
            ValueError: if there is no picture, not one an episode, the proprio holds something that
                is not a number, or the deadline < 0.
            CheckpointError: if the robot's proprio is not the model's, or what the model predicts
                is not a number for any plan.
        """
        episodes = self._current()
        limit = self.config.deadline_ms / 1e3 if deadline is None else deadline
        queue, context = episodes[0].queue, self.model.predictor.context
        plan: Plan | None = None
        latency: float | None = None
        if not queue or (context > 1 and len(queue) % self.frameskip == 0):
            began = self._clock()
            pictures, felt = self._read(obs, proprio, sum(len(one.streams) for one in episodes))
            episodes, plans = [one.copy() for one in episodes], []
            for rows, episode in _rows(episodes):
                episode.look(self._encode(pictures[rows]), None if felt is None else felt[rows])
                if not episode.queue:
                    stop = deadline_in(limit, began, self.device, self._clock)
                    plans.append(self._decide(episode, stop))
                if context > 1:
                    steps = [episode.queue[step] for step in range(self.frameskip)]
                    block = torch.from_numpy(np.stack(steps, axis=1)).to(self.device)
                    episode.blocks.append(block[:, None])
            if plans:
                plan = plans[0] if len(plans) == 1 else stack_plans(plans)
                latency = self._clock() - began
                self.latencies.add(latency, limit)
            self._episodes = episodes
        self.last_plan, self.last_latency_s = plan, latency
        actions = np.concatenate([episode.queue.popleft() for episode in episodes])
        return actions if self._batched else actions[0]

    def _decide(self, episode: Episode, stop: Stop | None) -> Plan:
        """Plan from the history and queue the first blocks."""
        latents, past, proprio = episode.history()
        self._turn(episode, latents[:, -1])
        problem = self._problem(episode, latents, past, proprio)
        plan = self._plan(problem, episode, stop)
        check_finite(plan, self.name)
        actions = plan.actions.flatten(1, 2)[:, : self._steps]
        episode.queue.extend(actions.transpose(0, 1).float().cpu().numpy().copy())
        episode.warm, episode.previous = shift_steps(plan, self._steps), actions[:, -1]
        episode.seen, episode.decisions = latents[:, -1], episode.decisions + 1
        return plan

    def _turn(self, episode: Episode, here: Tensor) -> None:
        """Go on to the next goal of several while this one is reached, or out of reach."""
        rule, kind = self.config.sequence, self.config.cost.energy
        while episode.index + 1 < len(episode.goals):
            energy = float(_energy(here, episode.goal, kind)) / self._unit
            if episode.first_energy is None:
                episode.first_energy = energy
            if energy < NEARER * episode.least_energy:
                episode.least_energy, episode.waited = energy, 0
            else:
                episode.waited += 1
            done = energy <= rule.switch * episode.first_energy
            given_up = 0 < rule.patience <= episode.waited
            # No farther than one decision's motion: nearer than this the search cannot aim.
            near = episode.seen is not None and energy <= (
                float(_energy(here, episode.seen, kind)) / self._unit
            )
            if not (done or given_up or near):
                return
            episode.next_goal()

    def _problem(
        self, episode: Episode, latents: Tensor, past: Tensor | None, proprio: Tensor | None
    ) -> PlanningProblem:
        """What is to be planned: to the goal, or with a memory to a sub-goal on the way."""
        goal = episode.goal
        if self._memory is not None and self._near_in_memory is not None:
            if episode.finder is None:
                subgoals = self.config.subgoals
                episode.finder = SubgoalFinder(self._memory, subgoals, self._near_in_memory)
                episode.finder.set_goals(goal)
            aim = episode.finder.aim(latents[:, -1], episode.segments)
            goal, episode.segments = aim.latents, aim.segments
        return PlanningProblem(
            latents=latents, goal=goal, past=past, proprio=proprio, previous=episode.previous
        )

    def _plan(self, problem: PlanningProblem, episode: Episode, stop: Stop | None) -> Plan:
        """Search, by an actor alone, or by a search around what the actor proposes."""
        config, use, actor, streams = self.config, self.config.actor, self._actor, episode.streams
        cost = self._scored(self._cost(problem, episode), streams)
        if actor is None or config.mode == "search":
            return self._search(cost, episode.warm, config.planner, episode, stop)

        # How far it is, and whether the last decision changed anything.
        searched: Tensor | None = None  # (B,) where a search has a say; None for everywhere
        stuck: Tensor | None = None
        kind = config.cost.energy
        if use.handover_distance or use.stuck_ratio:
            left = _energy(problem.now, problem.goal, kind) / self._unit
            if use.handover_distance:
                searched = left <= use.handover_distance
            if use.stuck_ratio and episode.seen is not None:
                moved = _energy(problem.now, episode.seen, kind) / self._unit
                stuck = is_stuck(left, moved, use)
        if stuck is not None and not stuck.any():
            stuck = None
        if stuck is not None:
            searched = ~stuck if searched is None else searched & ~stuck

        # What the actor would do: its likeliest plan, where it is stuck one that it draws.
        alone = config.mode == "actor"
        drawn = 0 if alone else use.proposals
        plans = propose(
            self.model,
            actor,
            problem,
            streams,
            time=self._time_left(episode),
            horizon=self._blocks if alone else config.planner.horizon,
            samples=drawn if stuck is None else max(drawn, 1),
        )
        if stuck is not None:
            first = torch.where(stuck[:, None, None, None, None], plans[:, 1:2], plans[:, :1])
            plans = torch.cat([first, plans[:, 1 : 1 + drawn]], dim=1)
        own = plans[:, :1]
        if alone or (searched is not None and not searched.any()):
            return as_plan(own, cost)

        # A search around it, and where its own plan is done all the same.
        init, search = around(plans, episode.warm, config.planner, use)
        plan = self._search(cost, init, search, episode, stop)
        if searched is None or searched.all():
            return plan
        return choose(searched, plan, as_plan(own, cost))

    def _search(
        self,
        cost: Cost,
        init: Tensor | None,
        search: SearchConfig,
        episode: Episode,
        stop: Stop | None,
    ) -> Plan:
        """The cheapest plan, or the rest of the last one where that is about as good."""
        plan = self._planner(cost, init, self._bounds, search, episode.streams, stop=stop)
        if self.config.hysteresis:
            plan = with_hysteresis(plan, episode.warm, cost, self.config.hysteresis)
        return plan

    def _cost(self, problem: PlanningProblem, episode: Episode) -> PlanCost:
        """What plans cost from here, by all that the settings let count."""
        nll = None
        if self._actor is not None and self.config.cost.actor_nll_weight:
            nll = ActorNLL(self._actor, problem, self._time_left(episode))
        return PlanCost(
            self.model,
            problem,
            self.config.cost,
            latent_variance=self._latent_variance,
            executed=self._blocks,
            actor_nll=nll,
        )

    def _scored(self, cost: Cost, streams: Sequence[torch.Generator]) -> Cost:
        """What plans are chosen by: their cost. A subclass may choose by something else."""
        del streams
        return cost

    def _time_left(self, episode: Episode) -> int:
        """Control steps that the actor is told are left."""
        return time_left(self.config.actor, episode.decisions * self._steps)

    # -- planning without acting -------------------------------------------------------------

    @torch.inference_mode()
    def plan(
        self,
        latents: Tensor,
        past: Tensor | None = None,
        proprio: Tensor | None = None,
        *,
        goals: Tensor | None = None,
        streams: Sequence[torch.Generator] = (),
        stop: Stop | None = None,
    ) -> Plan:
        """Search for the action blocks whose imagined future meets the goal.

        For the episode (B = 1), or for B problems at once, each the first decision of an episode
        of its own; that leaves the agent's own as it is. What is planned for a problem is what it
        would be alone: on a CPU bit for bit, since each is searched by itself there (a matrix
        product over several problems rounds otherwise than over one, and a near-tie then becomes
        another elite); on other devices, which search all at once, the cost of the chosen plan is
        equal to 1e-4, and elites may change places within that.

        Args:
            latents: (B, T, P, D) latents of the frames seen so far, the present one last.
            past: (B, T-1, K, A) blocks between them, for models that look back.
            proprio: (B, T, Q) proprio at them, SI units, for models that see it.
            goals: (B, P, D) latents of B goal images; None for the episode's.
            streams: B random streams, for goals: `goalsight_planners.streams(seeds)`.
            stop: asked between iterations whether to end the search; on a CPU, of each problem.

        Raises:
            RuntimeError: before the first `reset`, without goals.
            ValueError: if there are not as many goals and streams as problems, or a goal is not
                finite.
        """
        episodes = self._current() if goals is None else None
        if episodes is not None:
            streams = [stream for episode in episodes for stream in episode.streams]
        _check_as_many(latents, streams if goals is None else goals, streams)
        if goals is not None:
            if not bool(goals.isfinite().all()):
                raise ValueError("goals hold numbers that are not finite")
            episodes = self._begin(goals[None], streams)
        assert episodes is not None, "the episode's or those of the goals"
        plans = []
        for rows, episode in _rows(episodes):
            history = (None if part is None else part[rows] for part in (past, proprio))
            problem = self._problem(episode, latents[rows], *history)
            plans.append(self._plan(problem, episode, stop))
        return plans[0] if len(plans) == 1 else stack_plans(plans)

    def cost(
        self, latents: Tensor, past: Tensor | None = None, proprio: Tensor | None = None
    ) -> Cost:
        """What `plan` minimises from here in the episode; arguments as there."""
        (episode,) = self._current()
        return self._cost(self._problem(episode, latents, past, proprio), episode)

    @torch.inference_mode()
    def look(self, latents: Tensor) -> None:
        """Take in the present picture, the last of the latents (1, T, P, D) for `plan`.

        It says which goal's turn it is; `act` does this by itself.
        """
        (episode,) = self._current()
        self._turn(episode, latents[:, -1])
        episode.seen = latents[:, -1]

    @torch.inference_mode()
    def energy(self, pixels: NDArray[np.uint8]) -> float:
        """Latent distance between a picture (H, W, 3) and the goal it is after, model's own units.

        0 iff the latents agree, in `cosine` iff their directions do. For one episode alone.
        """
        (episode,) = self._current()
        return float(
            _energy(self._encode(pixels[None])[:, 0], episode.goal, self.config.cost.energy)
        )

    # -- what goes in ------------------------------------------------------------------------

    def _current(self) -> list[Episode]:
        """The episodes it is in; a RuntimeError before the first `reset`."""
        if not self._episodes:
            raise RuntimeError("the agent has no goal yet: call reset(goal, seed) first")
        return self._episodes

    def _begin(self, goals: Tensor, streams: Sequence[torch.Generator]) -> list[Episode]:
        """New episodes to goals (G, B, P, D): on a CPU each by itself, elsewhere side by side."""
        context, streams = self.model.predictor.context, list(streams)
        if self.device.type != "cpu":
            return [Episode(goals, streams, context)]
        return [
            Episode(goals[:, row : row + 1], streams[row : row + 1], context)
            for row in range(goals.shape[1])
        ]

    def _streams(self, seeds: Sequence[int]) -> list[torch.Generator]:
        return [torch.Generator(self.device).manual_seed(seed) for seed in seeds]

    def _read(
        self, obs: Observation, proprio: NDArray[np.float32] | None, number: int
    ) -> tuple[NDArray[np.uint8], Tensor | None]:
        """(B, H, W, 3) pictures and (B, 1, Q) proprio of B episodes; None for models without it."""
        if isinstance(obs, Mapping):
            if "pixels" not in obs:
                raise ValueError(
                    f"the observation has no pixels, it has: {', '.join(map(str, obs))}; make the "
                    "environment with observe_pixels=True"
                )
            pixels, proprio = np.asarray(obs["pixels"]), obs.get("observation", proprio)
        else:
            pixels = np.asarray(obs)
        felt = None if proprio is None else np.asarray(proprio, np.float32)
        if self._batched and (pixels.ndim != 4 or len(pixels) != number):
            raise ValueError(
                f"the agent was reset with {number} goals for as many episodes: it needs "
                f"({number}, H, W, 3) pictures, got {pixels.shape}; several goals one after the "
                "other are a list"
            )
        if not self._batched:
            pixels, felt = pixels[None], None if felt is None else felt[None]
        return pixels, self._read_proprio(felt, number)

    def _read_proprio(self, felt: NDArray[np.float32] | None, number: int) -> Tensor | None:
        """(B, 1, Q) of what B robots measure, refused by name where it is not finite."""
        wanted = self.model.config.proprio_dim
        if felt is not None and not np.isfinite(felt).all():
            axis = int(np.argwhere(~np.isfinite(felt))[0][-1])
            names = list(self.card.get("proprio_names", []))
            name = names[axis] if axis < len(names) else f"number {axis}"
            raise ValueError(f"proprio: {name} is {felt[..., axis].flatten()[0]}, not a number")
        if not wanted:
            return None
        if felt is None or felt.shape != (number, wanted):
            got = "nothing" if felt is None else f"{felt[0].size}"
            raise CheckpointError(
                f"checkpoint {self.name} sees {wanted} numbers of proprio, the robot measures "
                f"{got}; train on data of this robot, or with --proprio false"
            )
        return torch.from_numpy(np.array(felt))[:, None].to(self.device)

    def _encode(self, pictures: NDArray[np.uint8]) -> Tensor:
        """(B, 1, P, D) latents of pictures (B, H, W, 3) of any size.

        Raises:
            ValueError: if they are no such pictures.
        """
        if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[-1] != 3:
            raise ValueError(
                f"this agent sees uint8 pictures of (H, W, 3), got {pictures.dtype} "
                f"{pictures.shape[1:]}"
            )
        frames, size = torch.from_numpy(np.array(pictures)), self.image_size
        if frames.shape[1:3] != (size, size):
            frames = resize(centre_square(frames), size)
        return self.model.encode(frames.permute(0, 3, 1, 2)[:, None].to(self.device))


def _rows(episodes: Sequence[Episode]) -> list[tuple[slice, Episode]]:
    """Episodes with the rows of a batch that are theirs."""
    found, at = [], 0
    for episode in episodes:
        found.append((slice(at, at + len(episode.streams)), episode))
        at += len(episode.streams)
    return found


def _energy(here: Tensor, there: Tensor, kind: Any) -> Tensor:  # noqa: ANN401
    """(B,) between latents (B, P, D), in the model's own units."""
    return goal_energy(here[:, None, None], there, kind)[:, 0, 0]


def _check_as_many(
    latents: Tensor, goals: Sequence[Any] | Tensor, streams: Sequence[torch.Generator]
) -> None:
    """Refuse problems that have not a goal and a random stream each."""
    problems = (len(latents), len(goals), len(streams))
    if len(set(problems)) > 1:
        counts = ", ".join(map(str, problems))
        raise ValueError(f"problems, goals and random streams must be as many, got {counts}")


def action_bounds(card: Mapping[str, Any], sigmas: float, one: Tensor) -> Bounds:
    """Lowest and highest action to search, from what the training data did.

    Args:
        card: of the checkpoint.
        sigmas: standard deviations around the mean of the training data.
        one: (A,) ones, on the device to plan on.
    """
    statistics = card.get("statistics", {}).get("action")
    if statistics is None:
        return -one, one
    mean, std = (torch.tensor(statistics[name]).to(one) for name in ("mean", "std"))
    spread = sigmas * std.clamp_min(0.05)
    return (mean - spread).clamp(-1, 1), (mean + spread).clamp(-1, 1)


def latent_variance(card: Mapping[str, Any]) -> float:
    """Of the training data's latents, the unit of energy; 1 where the card does not say it."""
    spread = card.get("statistics", {}).get("latent", {}).get("variance", 1.0)
    return max(float(spread), 1e-6)


def check_finite(plan: Plan, name: str) -> None:
    """Refuse a plan whose cost is not a number.

    Args:
        plan: of any number of problems.
        name: of the checkpoint, for the message.

    Raises:
        CheckpointError: if the model predicts no numbers for any plan of a problem.
    """
    if not torch.isfinite(plan.cost).all():
        raise CheckpointError(
            f"checkpoint {name} predicts latents that are not numbers; its training diverged: "
            "train again with a smaller --optimiser.lr"
        )
