"""The agent: it looks, imagines, plans, and acts until the goal image is what it sees."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from goalsight.agent.config import AgentConfig
from goalsight.agent.cost import check_cost
from goalsight.agent.deciding import Decider, Scene, check_as_many
from goalsight.agent.goals import Goals
from goalsight.agent.guide import Guide
from goalsight.agent.history import History, read_picture, read_proprio
from goalsight.agent.search import action_bounds, check_finite, latent_variance
from goalsight.agent.settings import agent_config
from goalsight.agent.timing import Latencies, deadline_in
from goalsight.checkpoint import IN_A_RUN, Checkpoint, find_checkpoint, load_checkpoint
from goalsight.memory import Memory, load_memory
from goalsight.provenance import taught_by
from goalsight_planners import Cost, Plan, Stop, shift_steps, stack_plans


class Agent:
    """Drives one environment toward a goal image.

    It sees pictures, proprio and the goal image, never the simulator. A decision encodes the
    present picture (the goal was encoded once), searches action blocks in latent space,
    executes `replan` blocks of the best plan, and starts the next search from the rest of it.

    >>> agent = Agent.load("push-tiny")  # doctest: +SKIP
    >>> agent.reset(goal=env.unwrapped.goal_image(), seed=0)  # doctest: +SKIP
    >>> action = agent.act(obs["pixels"], obs["observation"])  # doctest: +SKIP
    """

    decider_class: ClassVar[type[Decider]] = Decider
    """What turns a scene into a plan; a subclass that decides in another way names its own."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        name: str = "agent",
        config: AgentConfig | None = None,
        memory: Memory | None = None,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Plan with a loaded checkpoint; with a memory that fits it, to one sub-goal at a time.

        Deadlines and latencies are by the `clock` [s].

        Raises:
            UserError: if the config wants a cost that this model cannot give.
            CheckpointError: if it wants an actor that the model has not.
        """
        config = config or AgentConfig()
        self.model, self.card, self.name = checkpoint.model, checkpoint.card, name
        self.checkpoint_sha256 = checkpoint.sha256
        self.frameskip, self.action_dim = self.model.config.frameskip, self.model.config.action_dim
        self.image_size = self.model.config.image_size
        self._clock = clock
        self.config = replace(config, planner=replace(config.planner, block=self.frameskip))
        check_cost(self.model, config.cost)
        self.device = next(self.model.parameters()).device
        self.model.prepare(config.execution, config.precision)
        one = torch.ones(self.action_dim, device=self.device)
        self._bounds = action_bounds(self.card, self.config.trust, one)
        self._latent_variance = latent_variance(self.card)
        self._decider = self.decider_class(self.model, self.config, name, self._latent_variance)
        self._generator = torch.Generator(self.device)
        self._queue: deque[NDArray[np.float32]] = deque()
        self._goals: Goals | None = None
        self.last_plan: Plan | None = None
        """The plan the last `act` searched; None if the action came out of the queue."""
        self.last_latency_s: float | None = None
        """Seconds the last `act` took to decide; None if the action came out of the queue."""
        self.latencies = Latencies()
        """How long decisions took, of all episodes; `clear` begins anew."""
        self._warm: Tensor | None = None
        self._previous: Tensor | None = None
        self._history = History(self.model.predictor.context)
        self.guide = None if memory is None else Guide(memory, self.config.subgoals, self.device)
        """Chooses sub-goals; None for an agent without a memory."""

    @classmethod
    def load(
        cls,
        checkpoint: str | Path,
        *,
        settings: str = "",
        tier: str = "far",
        config: AgentConfig | None = None,
        device: torch.device | str = "cpu",
        memory: Path | None = None,
    ) -> Agent:
        """An agent from a checkpoint folder, a training run's folder or a shipped name.

        It plans as the checkpoint's card says that its model was measured, see
        `goalsight.agent.settings`.

        Args:
            checkpoint: where the model is.
            settings: what is to be different, such as `mode=actor,samples=100`.
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
        folder = find_checkpoint(checkpoint)
        name = folder.resolve().parent.name if folder.name == IN_A_RUN else folder.name
        loaded = load_checkpoint(folder, device)
        recorded = None if memory is None else load_memory(memory, loaded.model)
        config = config or agent_config(settings, loaded.card, tier=tier)
        return cls(loaded, name=name, config=config, memory=recorded)

    @property
    def labels_used(self) -> list[str]:
        """Simulator labels that training used; empty for pixels and actions alone."""
        return list(self.card.get("labels_used", []))

    @property
    def taught_by(self) -> str:
        """What training learned from, see `goalsight.provenance.taught_by`."""
        return taught_by(self.card)

    @property
    def memory_sha256(self) -> str | None:
        """Identity of the memory that sub-goals come from, if there is one."""
        return None if self.guide is None else self.guide.memory_sha256

    @property
    def evaluations_per_decision(self) -> int:
        """Candidate plans the model imagines for one decision."""
        return self._decider.evaluations

    @property
    def goal_index(self) -> int:
        """Which goal image it is after, from 0; 0 before the first `reset`."""
        return 0 if self._goals is None else self._goals.index

    def reset(self, goal: NDArray[np.uint8], seed: int) -> None:
        """Begin an episode.

        Args:
            goal: (H, W, 3) goal image at the model's image size, or (G, H, W, 3) several to be
                reached one after the other; `AgentConfig.sequence` says when the next one's turn
                comes.
            seed: of the search; the same seed gives the same plans.

        Raises:
            ValueError: if a goal image is of another size, or there is none.
        """
        pictures = goal if np.ndim(goal) == 4 else goal[None]
        if not len(pictures):
            raise ValueError("no goal image: an agent needs at least one")
        latents = torch.cat([self._encode(picture)[0] for picture in pictures])
        self._goals = Goals(latents, self.config, latent_variance=self._latent_variance)
        self._generator.manual_seed(seed)
        self._queue.clear()
        self._history.clear()
        self._decider.clear()
        if self.guide is not None:
            self.guide.clear()
        self._warm = self._previous = self.last_plan = self.last_latency_s = None

    @torch.inference_mode()
    def act(
        self,
        pixels: NDArray[np.uint8],
        proprio: NDArray[np.float32],
        *,
        deadline: float | None = None,
    ) -> NDArray[np.float32]:
        """The next action.

        How much was searched is in `last_plan`, how long it took in `latencies`.

        Args:
            pixels: (H, W, 3) what the camera sees now; looked at when a decision is due, and by
                models that look back at every block's end.
            proprio: (Q,) what the robot measures of itself now; models without a proprio input
                do not use it.
            deadline: as `AgentConfig.deadline_ms`, in its place [s].

        Returns:
            (A,) action in [-1, 1].

        Raises:
            RuntimeError: before the first `reset`.
            ValueError: if the picture is of another size than the model's, or the deadline < 0.
            CheckpointError: if the robot's proprio is not the model's, or what the model predicts
                is not a number for any plan.
        """
        self.last_plan = self.last_latency_s = None
        due = not self._queue
        limit = self.config.deadline_ms / 1e3 if deadline is None else deadline
        if due or (self._history.frames > 1 and len(self._queue) % self.frameskip == 0):
            began = self._clock()
            latent = self._encode(pixels)
            felt = read_proprio(proprio, self.model.config.proprio_dim, self.name)
            self._history.look(latent, None if felt is None else felt.to(self.device))
            if due:
                self.look(latent)
                self._decide(deadline_in(limit, began, self.device, self._clock))
                self.last_latency_s = self._clock() - began
                self.latencies.add(self.last_latency_s, limit)
            if self._history.frames > 1:
                block = np.stack([self._queue[step] for step in range(self.frameskip)])
                self._history.run(torch.from_numpy(block).to(self.device))
        return self._queue.popleft().copy()

    def look(self, latents: Tensor) -> None:
        """Take in the present picture, the last of the latents (1, T, P, D) for `plan`.

        It says which goal's turn it is.
        """
        self._aim().look(latents[:, -1])

    def _decide(self, stop: Stop | None) -> None:
        """Plan from the history and queue the first blocks."""
        history = self._history
        plan = self.plan(history.latents(), history.past(), history.proprio(), stop=stop)
        check_finite(plan, self.name)
        steps = self.config.executed_steps
        actions = plan.actions[0].flatten(0, 1)[:steps]
        self._queue.extend(actions.float().cpu().numpy())
        self._previous = actions[-1:]
        self._warm = shift_steps(plan, steps)
        self.last_plan = plan

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
        of its own. That leaves the agent's own as it is. What is planned for a problem is what it
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
            ValueError: if there are not as many goals and streams as problems.
        """
        if goals is not None and self.device.type == "cpu" and len(latents) > 1:
            check_as_many(latents, goals, streams)
            return stack_plans(
                [
                    self.plan(
                        latents[row : row + 1],
                        None if past is None else past[row : row + 1],
                        None if proprio is None else proprio[row : row + 1],
                        goals=goals[row : row + 1],
                        streams=streams[row : row + 1],
                        stop=stop,
                    )
                    for row in range(len(latents))
                ]
            )
        scene = self._scene(latents, past, proprio, goals)
        if goals is None:
            warm, decider, streams = self._warm, self._decider, [self._generator]
        else:
            warm, decider = None, self._decider.fresh()
        return decider.plan(scene, decider.cost(scene), warm, self._bounds, streams, stop=stop)

    def cost(
        self, latents: Tensor, past: Tensor | None = None, proprio: Tensor | None = None
    ) -> Cost:
        """What `plan` minimises from here in the episode; arguments as there."""
        return self._decider.cost(self._scene(latents, past, proprio, None))

    def _scene(
        self, latents: Tensor, past: Tensor | None, proprio: Tensor | None, goals: Tensor | None
    ) -> Scene:
        """A decision of the episode, or the first ones of others."""
        here, guide = latents[:, -1], self.guide
        if goals is not None:
            goals = goals if guide is None else guide.first_aims(here, goals)
            return Scene(latents=latents, goal=goals, past=past, proprio=proprio)
        own = self._aim()
        self._decider.aim(own.index)
        return Scene(
            latents=latents, past=past, proprio=proprio,
            goal=own.current if guide is None else guide.aim(here, own.current),
            previous=self._previous,
        )  # fmt: skip

    @torch.inference_mode()
    def energy(self, pixels: NDArray[np.uint8]) -> float:
        """Latent distance between a picture (H, W, 3) and the goal it is after, model's own units.

        0 iff the latents agree, in `cosine` iff their directions do.
        """
        return self._aim().energy(self._encode(pixels)[0])

    def _aim(self) -> Goals:
        """The goals of the episode; a RuntimeError before the first `reset`."""
        if self._goals is None:
            raise RuntimeError("the agent has no goal yet: call reset(goal, seed) first")
        return self._goals

    def _encode(self, picture: NDArray[np.uint8]) -> Tensor:
        frames = read_picture(picture, self.image_size)
        with torch.inference_mode():
            return self.model.encode(frames.to(self.device))
