"""iCEM: the cross-entropy method with noise that is smooth in time and elites that stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from goalsight_planners.cem import CEMConfig, equal_weights
from goalsight_planners.gaussian import Rule, search
from goalsight_planners.limits import Projection
from goalsight_planners.plan import Cost, Plan, Stop
from goalsight_planners.space import Bounds


@dataclass(frozen=True, kw_only=True)
class ICEMConfig(CEMConfig):
    """As CEM, and how smooth the noise is and how fast the population shrinks."""

    momentum: float = 0.1
    """Share of the old distribution in the new one, in [0, 1); 0 forgets it."""
    keep_elites: int = 6
    """Elites that compete again in the next iteration, at the cost found when they were drawn."""
    colour: float = 1.0
    """Exponent of the noise's power spectrum 1 / f^colour over the steps of a plan: 0 is white;
    the larger, the longer an action is held. Worth most where every control step is free; blocks
    that repeat one action are smooth already."""
    decay: float = 1.25
    """Each iteration draws this many times fewer plans than the one before, at least twice the
    elites; 1 draws as many."""

    def __post_init__(self) -> None:
        """Raises ValueError where a field is out of its range."""
        super().__post_init__()
        if not 0 <= self.colour <= 4:
            raise ValueError(f"colour must be in [0, 4], got {self.colour}")
        if self.decay < 1:
            raise ValueError(f"decay must be at least 1, got {self.decay}")

    @property
    def counts(self) -> tuple[int, ...]:
        """Plans drawn in each iteration."""
        least = min(2 * self.elites, self.samples)
        return tuple(
            max(least, int(self.samples * self.decay**-number)) for number in range(self.iterations)
        )

    @property
    def evaluations(self) -> int:
        """Candidate plans evaluated for one problem if nothing stops early."""
        return sum(self.counts)


def icem(
    cost: Cost,
    init: Tensor | None,
    bounds: Bounds,
    config: ICEMConfig,
    generators: Sequence[torch.Generator],
    *,
    limits: Projection | None = None,
    stop: Stop | None = None,
) -> Plan:
    """Search B independent problems at once by the improved cross-entropy method.

    Pinneri et al. 2020, "Sample-efficient cross-entropy method for real-time planning"
    (arXiv:2008.06389): noise coloured in time, elites kept from one iteration to the next, a
    population that shrinks, the mean as a last candidate, the cheapest plan returned rather than
    the mean. Elites carried over from the last decision come in through `init`: pass
    `shift_elites(plan)`. Kept elites are not evaluated again, since the model is deterministic.

    Args:
        cost: maps plans (B, N, H, K, A) to costs (B, N).
        init: (B, H, K, A) mean to start from, (B, M, H, K, A) guesses, or None; see `cem`.
        bounds: lowest and highest action, each (A,) or (B, A); they set the device.
        config: how hard to search.
        generators: one random stream a problem, on the device of the bounds.
        limits: what a plan must obey beyond its bounds; see `cem`.
        stop: asked between iterations whether to end the search; see `cem`.

    Returns:
        The cheapest plan of each problem, the last sampling distribution and the history.

    Raises:
        ValueError: as `cem`.
    """
    rule = Rule(
        counts=config.counts,
        weigh=equal_weights,
        fitted=config.elites,
        keep=config.keep_elites,
        exponent=config.colour,
    )
    return search(cost, init, bounds, config, generators, limits=limits, stop=stop, rule=rule)
