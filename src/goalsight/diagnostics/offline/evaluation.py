"""All that can be measured of a model on held-out logs, in one report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from goalsight.agent import Agent, AgentConfig
from goalsight.data import action_statistics
from goalsight.diagnostics.context import EvalContext
from goalsight.diagnostics.drift import DriftReport, drift
from goalsight.diagnostics.figures import COLOURS, STYLE, panels
from goalsight.diagnostics.offline.moments import Moments, gather_moments
from goalsight.diagnostics.offline.ranking import CostOf, RankReport, rank_plans
from goalsight.diagnostics.offline.recovery import (
    RecoveryReport,
    begin,
    planned_actions,
    recovered_actions,
    recovery_report,
)
from goalsight.progress import progress_bar


@mpl.rc_context(STYLE)
def draw_offline(report: OfflineReport) -> Figure:
    """Open-loop error, error of recovered actions, and how the recorded plan is ranked."""
    figure, (error, recovery, ranks) = panels(3, width=4.0)
    _draw_error(error, report)
    _draw_recovery(recovery, report)
    _draw_ranks(ranks, report)
    return figure


def _draw_error(axes: Axes, report: OfflineReport) -> None:
    drift = report.drift
    blocks = np.array(drift.blocks)
    axes.fill_between(
        blocks, drift.low, drift.high, color=COLOURS["imagined"], alpha=0.2, linewidth=0
    )
    axes.plot(blocks, drift.model, "o-", color=COLOURS["imagined"], label="model, open loop")
    axes.plot(blocks, drift.copy_last, "s--", color=COLOURS["copied"], label="copy-last")
    top = min(1.08 * max(*drift.model, *drift.copy_last), 3.0)
    axes.set(
        xlabel="action blocks ahead",
        ylabel="squared error / latent variance",
        ylim=(0, top),
        xticks=blocks,
        title=f"Open-loop error, {drift.episodes} held-out episodes",
    )
    axes.legend()


def _draw_recovery(axes: Axes, report: OfflineReport) -> None:
    parts = [("inverse head", report.inverse), ("planned", report.planned)]
    shown = [(name, part) for name, part in parts if part is not None]
    places = np.arange(len(shown))
    errors = np.array([part.error for _, part in shown])
    ends = np.array([[part.error - part.low, part.high - part.error] for _, part in shown]).T
    axes.bar(
        places, errors, 0.5, yerr=ends.clip(0), capsize=4, color=COLOURS["imagined"], alpha=0.8
    )
    baseline = report.planned.baseline
    axes.axhline(baseline, color=COLOURS["mean"], linestyle=":", linewidth=2, label="mean action")
    axes.set(
        xticks=places,
        xticklabels=[name for name, _ in shown],
        xlim=(-0.6, len(shown) - 0.4),
        ylabel="mean absolute error [action units]",
        ylim=(0, 1.25 * max(baseline, *(errors + ends[1]))),
        title=f"Recovery of {report.planned.moments} blocks",
    )
    axes.grid(axis="x", visible=False)
    axes.legend(loc="upper right")


def _draw_ranks(axes: Axes, report: OfflineReport) -> None:
    parts: list[tuple[RankReport, str, str]] = [
        (report.ranking, "encoded", "recorded plans"),
        (report.ranking_random, "imagined", "random plans"),
    ]
    for part, colour, name in parts:
        share = 100 * np.sort(part.ranks) / part.among
        found = 100 * np.arange(1, len(share) + 1) / len(share)
        label = f"{name}: {100 * part.top_10:.0f} % in best 10 %"
        axes.step(
            [0, *share, 100], [0, *found, 100], color=COLOURS[colour], where="post", label=label
        )
    axes.plot([0, 100], [0, 100], ":", color=COLOURS["mean"], linewidth=2, label="chance")
    axes.set(
        xlabel=f"rank of the recorded plan [% of {report.ranking.among}]",
        ylabel="moments at or under it [%]",
        xlim=(0, 100),
        ylim=(0, 102),
        title=f"Goal ranking, goals {report.goal_blocks} blocks ahead",
    )
    axes.legend(loc="lower right")


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
    subject: EvalContext,
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


def _agent(subject: EvalContext, config: AgentConfig | None, goal_blocks: int) -> Agent:
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
