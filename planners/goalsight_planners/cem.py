"""The cross-entropy method: sample plans, keep the elites, refit, repeat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from goalsight_planners.config import GaussianConfig
from goalsight_planners.gaussian import Rule, search
from goalsight_planners.limits import Projection
from goalsight_planners.plan import Cost, Plan, Stop
from goalsight_planners.space import Bounds


@dataclass(frozen=True, kw_only=True)
class CEMConfig(GaussianConfig):
    """How far a planner looks and how hard it searches.

    Normalised action units are those in which the bounds are [-1, 1].
    """

    keep_elites: int = 0
    """Elites that compete again in the next iteration, at the cost found when they were drawn."""

    def __post_init__(self) -> None:
        """Raises ValueError where a field is out of its range."""
        super().__post_init__()
        if not 0 <= self.keep_elites <= self.elites:
            raise ValueError(
                f"keep_elites must be in [0, elites={self.elites}], got {self.keep_elites}"
            )


def cem(
    cost: Cost,
    init: Tensor | None,
    bounds: Bounds,
    config: CEMConfig,
    generators: Sequence[torch.Generator],
    *,
    limits: Projection | None = None,
    stop: Stop | None = None,
) -> Plan:
    """Search B independent problems at once by the cross-entropy method.

    De Boer et al. 2005, "A tutorial on the cross-entropy method"; kept elites and the mean as a
    last candidate are from iCEM (Pinneri et al. 2020, arXiv:2008.06389). A problem draws from its
    own generator alone, so its plan does not depend on which others are in the batch: on a CPU it
    is equal bit for bit, if `cost` rounds a problem alike among others (a batched matrix product
    does not); elsewhere its cost is equal to 1e-4, and elites may change places within that.
    Nothing inside an iteration waits for the device.

    Args:
        cost: maps plans (B, N, H, K, A) to costs (B, N).
        init: (B, H, K, A) mean to start from, such as `shift(plan)`; (B, M, H, K, A) guesses, such
            as `shift_elites(plan)` or an actor's plans: the first is the mean to start from and
            all are candidates of the first iteration; None starts mid-bounds.
        bounds: lowest and highest action, each (A,) or (B, A); they set the device.
        config: how hard to search.
        generators: one random stream a problem, on the device of the bounds.
        limits: what a plan must obey beyond its bounds, such as a `Workspace`: every plan that is
            evaluated or returned has passed through it.
        stop: asked between iterations whether to end the search, such as for a deadline; what was
            found by then is returned. A search that it does not end is the same as without.

    Returns:
        The cheapest plan of each problem, the last sampling distribution and the history.

    Raises:
        ValueError: if shapes or devices disagree, the bounds are not finite and ordered, or a
            discrete axis or the workspace does not fit them.
    """
    rule = Rule(
        counts=(config.samples,) * config.iterations,
        weigh=equal_weights,
        fitted=config.elites,
        keep=config.keep_elites,
    )
    return search(cost, init, bounds, config, generators, limits=limits, stop=stop, rule=rule)


def equal_weights(costs: Tensor) -> Tensor:
    """The same weight for each of the elites (B, n), whatever they cost."""
    return torch.full_like(costs, 1 / costs.shape[1])
