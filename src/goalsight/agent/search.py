"""What is searched within, and one search for the plans of many problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from goalsight.agent.config import AgentConfig
from goalsight.agent.cost import PlanCost
from goalsight.models import WorldModel
from goalsight_planners import Bounds, Plan, Stop, planner_for


def action_bounds(card: Mapping[str, Any], trust: float, one: Tensor) -> Bounds:
    """Lowest and highest action to search, from what the training data did.

    Args:
        card: of the checkpoint.
        trust: standard deviations around the mean of the training data.
        one: (A,) ones, on the device to plan on.
    """
    statistics = card.get("statistics", {}).get("action")
    if statistics is None:
        return -one, one
    mean, std = (torch.tensor(statistics[name]).to(one) for name in ("mean", "std"))
    spread = trust * std.clamp_min(0.05)
    return (mean - spread).clamp(-1, 1), (mean + spread).clamp(-1, 1)


def plan_many(
    model: WorldModel,
    latents: Tensor,
    goals: Tensor,
    config: AgentConfig,
    *,
    bounds: Bounds,
    generators: Sequence[torch.Generator],
    latent_variance: float = 1.0,
    init: Tensor | None = None,
    past: Tensor | None = None,
    proprio: Tensor | None = None,
    stop: Stop | None = None,
) -> Plan:
    """Plan for B problems in one search; each gets the plan it would get alone, to rounding.

    Args:
        model: that imagines, run as `model.prepare` says.
        latents: (B, T, P, D) of the frames seen so far, as `model.encode` makes them; the last is
            now.
        goals: (B, P, D) latents of the goal images.
        config: how to search; `config.planner.block` must be the model's frameskip.
        bounds: lowest and highest action, each (A,) or (B, A).
        generators: B, one random stream a problem: `goalsight_planners.streams(seeds)`.
        latent_variance: of the training data's latents, the unit of energy.
        init: (B, H, K, A) plans to start from, such as `shift(plan)`.
        past: (B, T-1, K, A) blocks between the frames, for models that look back.
        proprio: (B, T, Q) proprio at them, SI units, for models that see it.
        stop: asked between iterations whether to end the search.

    Raises:
        ValueError: if shapes or devices disagree.
    """
    cost = PlanCost(
        model,
        latents,
        goals,
        config,
        latent_variance=latent_variance,
        past=past,
        proprio=proprio,
    )
    search = config.planner
    return planner_for(search)(cost, init, bounds, search, generators, stop=stop)
