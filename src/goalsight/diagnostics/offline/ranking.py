"""Goal ranking: does a model's cost prefer what was really done to other plans?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from goalsight.diagnostics.drift import bootstrap
from goalsight.diagnostics.offline.moments import Moments
from goalsight.progress import Progress, silent

CostOf = Callable[[int, Tensor], Tensor]
"""Moment and plans (N, H, K, A) to costs (N,)."""
TIE = 1e-6
"""Costs nearer to each other than this share of them are equal: rounding."""


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
