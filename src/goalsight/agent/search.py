"""What is searched within, in which unit, and whether something was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from goalsight.errors import CheckpointError
from goalsight_planners import Bounds, Plan


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


def latent_variance(card: Mapping[str, Any]) -> float:
    """Of the training data's latents, the unit of energy; 1 where the card does not say it."""
    spread = card.get("statistics", {}).get("latent", {}).get("variance", 1.0)
    return max(float(spread), 1e-6)


def check_finite(plan: Plan, name: str) -> None:
    """Refuse a plan whose cost is not a number.

    Args:
        plan: of any number of problems.
        name: of the checkpoint, for the message.

    Raises:
        CheckpointError: if the model predicts no numbers for any plan of a problem.
    """
    if not torch.isfinite(plan.cost).all():
        raise CheckpointError(
            f"checkpoint {name} predicts latents that are not numbers; its training diverged: "
            "train again with a smaller --optimiser.lr"
        )
