"""Action recovery: which action led from one frame to another, said by the model and recorded."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from goalsight.agent import Agent
from goalsight.diagnostics.drift import bootstrap
from goalsight.diagnostics.offline.moments import Moments
from goalsight.models import WorldModel
from goalsight.progress import Progress, silent


@dataclass(frozen=True, kw_only=True)
class RecoveryReport:
    """How near recovered action blocks are to the recorded ones.

    Blocks are compared by their mean over the control steps: what a block does is a matter of
    that, how it is spread over the steps is not. Errors are in action units, [-1, 1].
    """

    error: float
    """Mean absolute error over moments and axes."""
    low: float
    """Lower end of its 95 % interval, a bootstrap over episodes."""
    high: float
    """Upper end."""
    baseline: float
    """Error of the mean action: what knowing nothing scores."""
    r2: dict[str, float]
    """By axis: share of the recorded variance explained; 1 perfect, 0 the mean action. An axis
    that never moves has none."""
    moments: int
    """Blocks compared."""


@torch.inference_mode()
def recovered_actions(model: WorldModel, moments: Moments) -> Tensor | None:
    """What the inverse head says of the first block after now.

    Returns:
        (N, K, A), or None for a model without that head.
    """
    if model.inverse is None:
        return None
    now = moments.now
    return model.recover_actions(moments.z[:, now], moments.z[:, now + 1])


@torch.inference_mode()
def planned_actions(
    agent: Agent, moments: Moments, *, seed: int = 0, progress: Progress = silent
) -> Tensor:
    """The first block of the plan that an agent makes for each moment's goal.

    Args:
        agent: plans as it would on a robot.
        moments: N of them.
        seed: of the search; moment i plans with seed + i.
        progress: told how many moments are planned.

    Returns:
        (N, K, A).
    """
    blocks = []
    for index in range(len(moments.z)):
        plan = agent.plan(*begin(agent, moments, index, seed + index))
        blocks.append(plan.actions[0, 0].float().cpu())
        progress(index + 1, len(moments.z))
    return torch.stack(blocks)


def begin(
    agent: Agent, moments: Moments, index: int, seed: int = 0
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """An episode of an agent at a moment, to the moment's goal.

    Returns:
        What it knows there, the arguments of `Agent.plan` and `Agent.cost`.
    """
    history = moments.history(index)
    agent.reset(goal=moments.picture(index, -1), seed=seed)
    agent.look(history[0])
    return history


def recovery_report(
    found: Tensor, moments: Moments, names: list[str], mean: list[float], *, seed: int = 0
) -> RecoveryReport:
    """Compare recovered blocks with the recorded ones.

    Args:
        found: (N, K, A) recovered first blocks.
        moments: they are of.
        names: (A,) of the action's axes.
        mean: (A,) mean action of the episodes the model was fitted on.
        seed: of the bootstrap.
    """
    recorded = moments.plans[:, 0].float().cpu().mean(1)
    guess = found.float().cpu().mean(1)
    misses = (guess - recorded).abs().mean(1, keepdim=True)
    low, high = bootstrap(misses, moments.episodes, seed)
    spread = (recorded - recorded.mean(0)).square().mean(0)
    left = (guess - recorded).square().mean(0)
    return RecoveryReport(
        error=float(misses.mean()),
        low=float(low[0]),
        high=float(high[0]),
        baseline=float((torch.tensor(mean) - recorded).abs().mean()),
        r2={
            name: float(1 - left[axis] / spread[axis])
            for axis, name in enumerate(names)
            if spread[axis] > 1e-6
        },
        moments=len(recorded),
    )
