"""The cheapest plans so far, for the planners that have no sampling distribution of their own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from goalsight_planners.plan import IterationStats, Plan
from goalsight_planners.space import Space, take


@dataclass(frozen=True)
class Elites:
    """Plans (B, E, H, R, A) and their costs (B, E), ascending."""

    plans: Tensor
    costs: Tensor

    @classmethod
    def none(cls, space: Space) -> Elites:
        """Before anything was evaluated."""
        empty = space.low.new_empty(space.problems, 0, *space.shape)
        return cls(empty, empty.new_empty(space.problems, 0))

    def join(self, plans: Tensor, costs: Tensor, most: int) -> Elites:
        """The cheapest of these and of plans (B, N, H, R, A) with costs (B, N)."""
        costs = torch.cat([costs, self.costs], dim=1)
        best, index = costs.topk(min(most, costs.shape[1]), dim=1, largest=False)
        return Elites(take(torch.cat([plans, self.plans], dim=1), index), best)

    def stats(self, spread: Tensor) -> IterationStats:
        """An entry of the history."""
        return IterationStats(
            best_cost=self.costs[:, 0], elite_cost=self.costs.mean(dim=1), spread=spread
        )

    def plan(self, space: Space, history: list[IterationStats], evaluations: int) -> Plan:
        """The outcome of a search that found these."""
        std, mean = torch.std_mean(self.plans, dim=1, correction=0)
        return Plan(
            actions=space.blocks(self.plans[:, 0]),
            mean=space.blocks(space.plans(mean[:, None])[:, 0]),
            std=space.blocks(std),
            elites=space.blocks(self.plans),
            cost=self.costs[:, 0],
            history=tuple(history),
            evaluations=evaluations,
        )
