"""What an actor does for an agent: plans of its own, and candidates for the search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from einops import repeat
from torch import Tensor

from goalsight.agent.config import ActorUse, AgentConfig
from goalsight.errors import CheckpointError
from goalsight.models import WorldModel
from goalsight.models.heads.actor import Actor
from goalsight_planners import Cost, GaussianConfig, Plan, SearchConfig


@dataclass(frozen=True, kw_only=True)
class Scene:
    """B problems as an agent knows them at a decision."""

    latents: Tensor
    """(B, T, P, D) of the frames seen so far, the present one last."""
    goal: Tensor
    """(B, P, D) latent of the goal image."""
    past: Tensor | None = None
    """(B, T-1, K, A) blocks between the frames, for models that look back."""
    proprio: Tensor | None = None
    """(B, T, Q) proprio at them, SI units, for models that see it."""
    previous: Tensor | None = None
    """(B, A) the action that runs before a plan's first; None if there is none."""


def find_actor(model: WorldModel, config: AgentConfig, name: str) -> Actor | None:
    """The model's actor if the agent's settings use one.

    Args:
        model: of the agent.
        config: its settings.
        name: of its checkpoint, for the message.

    Raises:
        CheckpointError: if they use one and the model has none.
    """
    if config.mode == "search" and not config.actor.likelihood:
        return None
    wanted = config.actor.head
    head = dict(model.heads.items()).get(wanted)
    if not isinstance(head, Actor):
        raise CheckpointError(
            f"checkpoint {name} has no {wanted}, which mode={config.mode} and likelihood > 0 need; "
            f"train one with goalsight train --config {wanted} --checkpoint RUN --data DATA --out "
            "NEW_RUN, or leave mode=search"
        )
    return head


def time_left(use: ActorUse, elapsed: int) -> int:
    """Control steps an actor is told it has after so many since the episode began."""
    return max(use.least_time, use.time_to_goal - elapsed)


@torch.no_grad()
def propose(
    model: WorldModel,
    actor: Actor,
    scene: Scene,
    generators: Sequence[torch.Generator],
    *,
    time: int,
    horizon: int,
    samples: int = 0,
) -> Tensor:
    """Plans of an actor: it acts, the model imagines what follows, it acts from there.

    Args:
        model: that imagines.
        actor: that acts, in terms of the same latents.
        scene: B problems.
        generators: one stream a problem; a problem's plans depend on its own alone.
        time: control steps left at the first block; each block leaves fewer, at least one block.
        horizon: H, blocks of a plan.
        samples: plans to draw besides the one of dominant modes.

    Returns:
        (B, 1 + samples, H, K, A) plans in [-1, 1], that of the dominant modes first.
    """
    number = 1 + samples
    walk = _Walk(model, scene, number)
    goal = repeat(scene.goal, "b p d -> b n p d", n=number)
    blocks: list[Tensor] = []
    for step in range(horizon):
        left = max(time - step * actor.steps, actor.steps)
        mixture = actor.distribution(walk.now, goal, torch.tensor(float(left)))
        block = mixture.dominant()
        if samples:
            drawn = mixture.sample(generators)
            block = torch.cat([block[:, :1], drawn[:, 1:]], dim=1)
        blocks.append(block)
        if step + 1 < horizon:
            walk.step(block)
    return torch.stack(blocks, dim=2)


class _Walk:
    """B x N imagined histories that grow by a block at a time, as `WorldModel.rollout` grows."""

    def __init__(self, model: WorldModel, scene: Scene, number: int) -> None:
        """Begin N times at what was seen."""
        self._model = model
        seen = 1 if scene.past is None else model.predictor.context
        self._z = _many(scene.latents[:, -seen:], number)
        frames = self._z.shape[2]
        self._past = None
        if scene.past is not None and frames > 1:
            self._past = _many(scene.past[:, 1 - frames :], number)
        self._proprio = None if scene.proprio is None else _many(scene.proprio[:, -seen:], number)

    @property
    def now(self) -> Tensor:
        """(B, N, P, D) latents of the last frame."""
        return self._z[:, :, -1]

    def step(self, block: Tensor) -> None:
        """Imagine the frame after one more block (B, N, K, A)."""
        model, keep = self._model, self._model.predictor.context
        actions = block[:, :, None]
        if self._past is not None:
            actions = torch.cat([self._past, actions], dim=2)
        z, known = model.predict(self._z, actions, self._proprio)
        self._z = torch.cat([self._z, z[:, :, -1:]], dim=2)[:, :, -keep:]
        self._past = actions[:, :, -(keep - 1) :] if keep > 1 else None
        if known is not None and self._proprio is not None:
            felt = known[:, :, -1:] * model.proprio_std + model.proprio_mean
            self._proprio = torch.cat([self._proprio, felt], dim=2)[:, :, -keep:]


def _many(values: Tensor, number: int) -> Tensor:
    """(B, ...) to (B, N, ...), shared."""
    return values[:, None].expand(-1, number, *values.shape[1:])


def as_plan(plans: Tensor, cost: Cost) -> Plan:
    """An actor's own plans (B, 1, H, K, A) as the outcome of a search that looked at no others."""
    actions = plans[:, 0]
    return Plan(
        actions=actions,
        mean=actions,
        std=torch.zeros_like(actions),
        elites=plans,
        cost=cost(plans)[:, 0],
        history=(),
        evaluations=1,
    )


def around(
    plans: Tensor, warm: Tensor | None, search: SearchConfig, use: ActorUse
) -> tuple[Tensor, SearchConfig]:
    """Where a search begins that an actor proposes to, and how it draws.

    Args:
        plans: (B, N, H, K, A) of the actor, the one to search around first; all are candidates.
        warm: (B, H, K, A) rest of the last plan, a candidate too; None at the first decision.
        search: the planner's config.
        use: the fixed spread around the actor's plan and the share that owes it nothing.

    Returns:
        Guesses for the planner's `init`, and its config: CEM, iCEM and MPPI draw by it, the other
        planners take the guesses alone.
    """
    guesses = plans if warm is None else torch.cat([plans, warm[:, None]], dim=1)
    if not isinstance(search, GaussianConfig):
        return guesses, search
    return guesses, replace(search, fixed_std=use.proposal_std, fresh=use.independent)


class Unlikely:
    """How little of a plan the actor would do: what a model says of it is to be trusted less.

    A planner finds plans that the model is wrong about, and most of them are plans that nobody in
    the data would have made there.
    """

    def __init__(self, actor: Actor, scene: Scene, time: int) -> None:
        """Judge plans of some problems.

        Args:
            actor: that judges.
            scene: B problems.
            time: control steps left at the first block.
        """
        self._actor, self._scene, self._time = actor, scene, time

    def __call__(self, imagined: Tensor, plans: Tensor) -> Tensor:
        """(B, N) negative log-likelihood of plans, for each of their numbers.

        Args:
            imagined: (B, N, H, P, D) latents after each block.
            plans: (B, N, H, K, A).
        """
        now = self._scene.latents[:, -1][:, None, None].expand(-1, imagined.shape[1], 1, -1, -1)
        before = torch.cat([now, imagined[:, :, :-1]], dim=2)
        steps = torch.arange(plans.shape[2], device=plans.device) * self._actor.steps
        left = (self._time - steps).clamp_min(self._actor.steps)
        goal = self._scene.goal[:, None, None].expand_as(before)
        likely = self._actor.log_prob(before, goal, left.expand(before.shape[:3]), plans)
        return -likely.mean(dim=2) / plans[0, 0, 0].numel()
