"""All that can be measured of a model on held-out logs, in one report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from goalsight.agent import Agent, AgentConfig
from goalsight.data import action_statistics
from goalsight.diagnostics.drift import DriftReport, drift
from goalsight.diagnostics.offline.moments import Moments, gather_moments
from goalsight.diagnostics.offline.ranking import CostOf, RankReport, rank_plans
from goalsight.diagnostics.offline.recovery import (
    RecoveryReport,
    begin,
    planned_actions,
    recovered_actions,
    recovery_report,
)
from goalsight.diagnostics.subject import Subject
from goalsight.progress import progress_bar

FIT_EPISODES = 200
"""Training episodes at most that the mean action is taken from."""


@dataclass(frozen=True, kw_only=True)
class OfflineReport:
    """What held-out logs say about a model; none of it is a success rate."""

    drift: DriftReport
    """Open-loop error by blocks ahead."""
    goal_blocks: int
    """Action blocks from a moment to its goal, for the ranking."""
    inverse: RecoveryReport | None
    """Actions by the inverse head from two recorded frames; None for a model without one."""
    planned: RecoveryReport
    """Blocks that the agent plans to the frame one block ahead: further goals leave it a choice."""
    ranking: RankReport
    """The recorded plan among plans recorded at other moments."""
    ranking_random: RankReport
    """The recorded plan among random ones."""

    def summary(self) -> str:
        """The findings in words."""
        lines = ["open-loop error", self.drift.summary(), ""]
        lines.append("action recovery, mean absolute error in action units [-1, 1]")
        for name, part in (("inverse head", self.inverse), ("planned block", self.planned)):
            if part is not None:
                lines.append(f"{name:<20}  {_recovery_words(part)}")
        lines += ["", f"goal ranking, goals {self.goal_blocks} blocks ahead"]
        lines += [_rank_words(part) for part in (self.ranking, self.ranking_random)]
        return "\n".join(lines)


def _recovery_words(part: RecoveryReport) -> str:
    axes = ", ".join(f"{name} {value:.2f}" for name, value in part.r2.items())
    return (
        f"{part.error:.3f} [{part.low:.3f}, {part.high:.3f}], mean action {part.baseline:.3f}; "
        f"R2 {axes}"
    )


def _rank_words(part: RankReport) -> str:
    return (
        f"among {part.among} {part.others}: {part.percentile:.1f} % of the others cost less "
        f"[{part.percentile_low:.1f}, {part.percentile_high:.1f}], chance 50; in the best 1 % "
        f"{part.top_1:.0%} [{part.top_1_low:.0%}, {part.top_1_high:.0%}], best 10 % "
        f"{part.top_10:.0%} [{part.top_10_low:.0%}, {part.top_10_high:.0%}]; MRR "
        f"{part.reciprocal_rank:.3f} [{part.reciprocal_low:.3f}, {part.reciprocal_high:.3f}], "
        f"chance {part.chance_reciprocal:.3f}"
    )


def evaluate_offline(
    subject: Subject,
    *,
    blocks: int = 10,
    windows: int = 1000,
    goal_blocks: int = 3,
    moments: int = 200,
    plans: int = 300,
    config: AgentConfig | None = None,
    seed: int = 0,
) -> OfflineReport:
    """Measure drift, action recovery and goal ranking on held-out episodes.

    Args:
        subject: model and dataset.
        blocks: action blocks of the open-loop error.
        windows: held-out windows of it.
        goal_blocks: action blocks from a moment to its goal, for the ranking.
        moments: held-out moments for recovery and ranking.
        plans: plans that the recorded one is ranked among, itself included.
        config: how the agent plans; by default as the agent does, but no further than the goal.
        seed: of everything random.

    Raises:
        DatasetError: if no held-out episode is long enough.
        UserError: if the model makes latents that are not numbers.
    """
    drifted = drift(subject.held_out(blocks, windows, seed), seed=seed)
    near = gather_moments(subject, 1, moments, seed)
    fit = subject.split.fit[:FIT_EPISODES].tolist()
    mean = action_statistics(subject.dataset, fit)["mean"]
    names = subject.dataset.provenance.action_names
    recovered = recovered_actions(subject.model, near)
    with progress_bar("Planning", "moments") as report:
        agent = _agent(subject, config, 1)
        planned = planned_actions(agent, near, seed=seed, progress=report)
    found = gather_moments(subject, goal_blocks, moments, seed)
    cost_of = agent_cost(agent, found)
    ranked = []
    for random in (False, True):
        with progress_bar("Ranking", "moments") as report:
            ranked.append(
                rank_plans(cost_of, found, among=plans, random=random, seed=seed, progress=report)
            )
    return OfflineReport(
        drift=drifted,
        goal_blocks=goal_blocks,
        inverse=None if recovered is None else recovery_report(recovered, near, names, mean),
        planned=recovery_report(planned, near, names, mean),
        ranking=ranked[0],
        ranking_random=ranked[1],
    )


def _agent(subject: Subject, config: AgentConfig | None, goal_blocks: int) -> Agent:
    """The agent of the checkpoint, looking as far ahead as the goals are."""
    config = config or AgentConfig()
    planner = replace(config.planner, horizon=goal_blocks)
    folder = Path(str(subject.checkpoint["path"]))
    device = next(subject.model.parameters()).device
    config = replace(config, planner=planner, replan=1)
    return Agent.load(folder, config=config, device=device)


def agent_cost(agent: Agent, moments: Moments) -> CostOf:
    """The cost an agent minimises when it plans from a moment to its goal."""

    @torch.inference_mode()
    def cost_of(index: int, plans: Tensor) -> Tensor:
        return agent.cost(*begin(agent, moments, index))(plans[None])[0]

    return cost_of
