"""A planner of your own behind the planner signature, driving a goalsight model.

    PYTHONPATH=examples goalsight bench --player own_planner:player --checkpoint runs/demo/model \
      --manifest push-near-dev --rows agent --out runs/climb

`climb` is hill climbing: spread plans around the best so far, keep the cheapest, spread less. Once
it is in `PLANNERS` an agent takes it by name, with every setting that an agent has. The table has
the shipped planner beside it (row `agent`), on the same pairs and at the same number of plans.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from goalsight.agent import Agent
from goalsight.agent.config import agent_config
from goalsight.benchmark.policies import PolicySpec
from goalsight.errors import UserError
from goalsight_planners import PLANNERS, Bounds, Cost, IterationStats, Plan, SearchConfig, Stop
from goalsight_planners.base import Projection
from goalsight_planners.registry import Entry


@dataclass(frozen=True, kw_only=True)
class ClimbConfig(SearchConfig):
    """How hard to climb; each field is a setting, `--settings planner.spread=0.3`."""

    spread: float = 0.7
    """Standard deviation of the first iteration, action units; each has 0.7 of the one before."""


@torch.no_grad()
def climb(
    cost: Cost,
    init: Tensor | None,
    bounds: Bounds,
    config: ClimbConfig,
    generators: Sequence[torch.Generator],
    *,
    limits: Projection | None = None,
    stop: Stop | None = None,
) -> Plan:
    """Plans (B, H, K, A) for B problems; arguments as `goalsight_planners.cem` documents them."""
    problems = len(generators)
    low, high = (one.expand(problems, one.shape[-1])[:, None, None, None] for one in bounds)
    shape = (config.samples, config.horizon, 1, low.shape[-1])
    middle = ((low + high) / 2).expand(-1, 1, config.horizon, config.block, -1)
    tried = middle if init is None else init.reshape(problems, -1, *middle.shape[2:])
    history: list[IterationStats] = []
    while len(history) < config.iterations and not (history and stop is not None and stop()):
        width = config.spread * 0.7 ** len(history)
        noise = [torch.randn(shape, generator=one, device=one.device) for one in generators]
        around = tried[:, :1] + width * torch.stack(noise)
        plans = torch.cat((tried, around), dim=1)[:, : config.samples].clamp(low, high)
        plans = plans if limits is None else limits(plans)
        costs, order = cost(plans).nan_to_num(nan=torch.inf, posinf=torch.inf).sort(dim=1)
        costs, order = costs[:, : config.elites], order[:, : config.elites]
        elites = plans[torch.arange(problems)[:, None], order]
        tried = elites[:, :1]
        spread = torch.full_like(costs[:, 0], width)
        history.append(
            IterationStats(best_cost=costs[:, 0], elite_cost=costs.mean(1), spread=spread)
        )
    return Plan(
        actions=elites[:, 0],
        mean=elites.mean(1),
        std=elites.std(1),
        elites=elites,
        cost=costs[:, 0],
        history=tuple(history),
        evaluations=config.samples * len(history),
    )


PLANNERS["climb"] = Entry(climb, ClimbConfig)


def player(spec: PolicySpec) -> Agent:
    """What `goalsight bench --player own_planner:player` calls."""
    if spec.checkpoint is None:
        raise UserError("own_planner needs a model to plan with: add --checkpoint RUN")
    config = agent_config(f"planner.kind=climb,{spec.settings}")
    return Agent.load(spec.checkpoint, config=config, device=spec.device, memory=spec.memory)
