"""What can be said of a model without a robot and without a simulator: by held-out logs alone.

Open-loop drift; action recovery, which action led from one frame to another; and goal ranking,
whether the model's cost prefers what was really done to other plans.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from goalsight.agent import Agent, AgentConfig
from goalsight.clip import Clip
from goalsight.data import Windows, action_statistics
from goalsight.diagnostics.context import COLOURS, STYLE, EvalContext, encode_frames, panels
from goalsight.diagnostics.drift import DriftReport, bootstrap, drift
from goalsight.models import WorldModel
from goalsight.progress import Progress, progress_bar, silent

CostOf = Callable[[int, Tensor], Tensor]
"""Moment and plans (N, H, K, A) to costs (N,)."""
TIE = 1e-6
"""Costs nearer to each other than this share of them are equal: rounding."""


@dataclass(frozen=True)
class Moments:
    """N held-out windows with their latents; the goal is the last frame of each."""

    clip: Clip
    """(N, T) frames; `now` is the frame a plan begins at."""
    z: Tensor
    """(N, T, P, D) their latents, on the model's device."""
    now: int
    """Frame a plan begins at."""
    episodes: Tensor
    """(N,) episode of each."""

    @property
    def blocks(self) -> int:
        """H, action blocks from now to the goal."""
        return self.clip.length - 1 - self.now

    @property
    def plans(self) -> Tensor:
        """(N, H, K, A) what was done."""
        return self.clip.actions[:, self.now :]

    def history(self, index: int) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """What a model looks back at: (1, T', P, D) latents, (1, T'-1, K, A) blocks, proprio."""
        seen = slice(index, index + 1)
        latents = self.z[seen, : self.now + 1]
        past = self.clip.actions[seen, : self.now] if self.now else None
        return latents, past, self.clip.proprio[seen, : self.now + 1]

    def picture(self, index: int, frame: int) -> NDArray[np.uint8]:
        """(H, W, 3) one frame of a moment as an agent's camera shows it; -1 is the goal's."""
        return self.clip.frames[index, frame].permute(1, 2, 0).cpu().numpy()


@torch.inference_mode()
def gather_moments(subject: EvalContext, blocks: int, count: int, seed: int) -> Moments:
    """Held-out moments, drawn without replacement.

    Args:
        subject: model and dataset.
        blocks: H, action blocks to the goal.
        count: moments; all there are if fewer.
        seed: of the choice.

    Raises:
        DatasetError: if no held-out episode is long enough.
    """
    windows: Windows = subject.windows(subject.split.held_out, blocks)
    order = np.random.default_rng(seed).permutation(len(windows))
    chosen = np.sort(order[:count]).tolist()
    device = next(subject.model.parameters()).device
    clip = windows.__getitems__(chosen).to(device)
    return Moments(
        clip=clip,
        z=encode_frames(subject.model, clip.frames),
        now=clip.length - 1 - blocks,
        episodes=torch.tensor([windows.locate(index)[0] for index in chosen]),
    )


@dataclass(frozen=True, kw_only=True)
class RankReport:
    """Where the recorded plan stands among others by its cost; rank 1 is the cheapest."""

    among: int
    """Plans ranked together, the recorded one included."""
    others: str
    """Where the other plans come from."""
    mean_rank: float
    """Mean rank; chance is (among + 1) / 2."""
    percentile: float
    """Mean share of the others that cost less, in per cent: 0 best, 50 chance."""
    percentile_low: float
    """Lower end of its 95 % interval, a bootstrap over episodes."""
    percentile_high: float
    """Upper end."""
    reciprocal_rank: float
    """Mean reciprocal rank (MRR)."""
    reciprocal_low: float
    """Lower end of its interval."""
    reciprocal_high: float
    """Upper end."""
    chance_reciprocal: float
    """MRR of a cost that knows nothing."""
    top_1: float
    """Share of the moments in which the recorded plan is among the best 1 %."""
    top_1_low: float
    """Lower end of its interval."""
    top_1_high: float
    """Upper end."""
    top_10: float
    """Likewise among the best 10 %."""
    top_10_low: float
    """Lower end of its interval."""
    top_10_high: float
    """Upper end."""
    ranks: tuple[float, ...]
    """Of every moment."""


def other_plans(moments: Moments, index: int, count: int, generator: torch.Generator) -> Tensor:
    """Recorded plans of other moments, (count, H, K, A): as likely to be done as the right one.

    Moments of other episodes where there are some; the same one may come twice.
    """
    elsewhere = torch.nonzero(moments.episodes != moments.episodes[index])[:, 0]
    if not len(elsewhere):
        elsewhere = torch.nonzero(torch.arange(len(moments.episodes)) != index)[:, 0]
    drawn = torch.randint(len(elsewhere), (count,), generator=generator)
    return moments.plans[elsewhere[drawn].to(moments.plans.device)]


def random_plans(moments: Moments, count: int, generator: torch.Generator) -> Tensor:
    """(count, H, K, A) blocks that hold one action each, drawn uniformly from [-1, 1]."""
    blocks, steps, axes = moments.plans.shape[1:]
    held = torch.rand(count, blocks, 1, axes, generator=generator) * 2 - 1
    return held.expand(-1, -1, steps, -1).to(moments.plans.device)


@torch.inference_mode()
def rank_plans(
    cost_of: CostOf,
    moments: Moments,
    *,
    among: int = 300,
    random: bool = False,
    seed: int = 0,
    progress: Progress = silent,
) -> RankReport:
    """Rank the recorded plan of every moment among others by its cost.

    Args:
        cost_of: the model's cost.
        moments: at least 2.
        among: plans ranked together.
        random: draw the others at random instead of from other moments.
        seed: of the draws.
        progress: told how many moments are ranked.

    Raises:
        ValueError: if there is nothing to rank among.
    """
    if among < 2 or len(moments.episodes) < 2:
        raise ValueError(
            f"ranking needs 2 plans and 2 moments, got {among} and {len(moments.episodes)}"
        )
    generator = torch.Generator().manual_seed(seed)
    ranks = []
    for index in range(len(moments.episodes)):
        others = (
            random_plans(moments, among - 1, generator)
            if random
            else other_plans(moments, index, among - 1, generator)
        )
        costs = cost_of(index, torch.cat((moments.plans[index : index + 1], others)))
        ranks.append(rank_of_first(costs))
        progress(index + 1, len(moments.episodes))
    origin = "random" if random else "recorded at other moments"
    return _report(torch.tensor(ranks), moments.episodes, among, origin, seed)


def rank_of_first(costs: Tensor) -> float:
    """Rank of the first of (N,) costs, 1 the least; equals share their places.

    A cost that is not a number is the last.

    >>> rank_of_first(torch.tensor([2.0, 1.0, 2.0, 3.0]))
    2.5
    """
    first, rest = costs[0], costs[1:]
    if not torch.isfinite(first):
        return float(len(costs))
    tolerance = TIE * first.abs()
    less = int((rest < first - tolerance).sum())
    equal = int(((rest - first).abs() <= tolerance).sum())
    return 1 + less + equal / 2


def _report(ranks: Tensor, episodes: Tensor, among: int, others: str, seed: int) -> RankReport:
    values = torch.stack(
        (
            100 * (ranks - 1) / (among - 1),
            1 / ranks,
            (ranks <= max(1.0, among / 100)).double(),
            (ranks <= max(1.0, among / 10)).double(),
        ),
        1,
    ).double()
    low, high = (end.tolist() for end in bootstrap(values, episodes, seed))
    percentile, reciprocal, top_1, top_10 = values.mean(0).tolist()
    return RankReport(
        among=among,
        others=others,
        mean_rank=float(ranks.mean()),
        percentile=percentile,
        percentile_low=low[0],
        percentile_high=high[0],
        reciprocal_rank=reciprocal,
        reciprocal_low=low[1],
        reciprocal_high=high[1],
        chance_reciprocal=sum(1 / rank for rank in range(1, among + 1)) / among,
        top_1=top_1,
        top_1_low=low[2],
        top_1_high=high[2],
        top_10=top_10,
        top_10_low=low[3],
        top_10_high=high[3],
        ranks=tuple(ranks.tolist()),
    )


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
