"""Fit the ensemble head: the same moments for every member, in batches of its own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.stats import spearmanr
from torch import Tensor

from goalsight.models import WorldModel
from goalsight.models.heads.ensemble import Ensemble
from goalsight.progress import Progress, silent
from goalsight.training.moments import Experience


@dataclass(frozen=True, kw_only=True)
class EnsembleConfig:
    """How an ensemble head is trained."""

    members: int = 4
    """Predictors."""
    width: int = 128
    """Units of their hidden layers."""
    steps: int = 1500
    """Optimiser steps."""
    batch: int = 256
    """Moments a step for each member."""
    rate: float = 2e-3
    """Peak learning rate of AdamW, down to 0 along a cosine."""
    seed: int = 0
    """Of the weights and of every batch."""

    def __post_init__(self) -> None:
        for name, least in (("members", 2), ("width", 1), ("steps", 1), ("batch", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")


def fit_ensemble(
    model: WorldModel, seen: Experience, config: EnsembleConfig, progress: Progress = silent
) -> Ensemble:
    """A trained head, on the CPU and in evaluation mode.

    Args:
        model: whose latents these are.
        seen: episodes to learn from.
        config: how.
        progress: told how many steps are done.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        head = Ensemble(
            model.config, model.patches, model.latent_dim,
            members=config.members, width=config.width,
        )  # fmt: skip
    rows = torch.nonzero(seen.left > 0).squeeze(1)
    changes = (seen.latents[rows + 1] - seen.latents[rows]).mean(1)
    head.scale.copy_(changes.std(0).clamp_min(1e-6))
    generator = torch.Generator().manual_seed(config.seed)
    optimiser = torch.optim.AdamW(head.parameters(), lr=config.rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
    for step in range(config.steps):
        picks = torch.randint(len(rows), (config.members, config.batch), generator=generator)
        here = rows[picks]
        guesses = head(seen.latents[here], seen.blocks[here])
        loss = (guesses - changes[picks] / head.scale).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        progress(step + 1, config.steps)
    return head.eval()


@torch.no_grad()
def judge_ensemble(
    model: WorldModel, head: Ensemble, seen: Experience, count: int = 2000, seed: int = 0
) -> dict[str, float]:
    """Whether members disagree where the model errs, on episodes the head did not train on.

    Args:
        model: that imagines.
        head: trained.
        seen: episodes held out.
        count: moments looked at, at most.
        seed: of the choice, and of the shuffled actions.

    Returns:
        `rank`: Spearman's correlation of the disagreement with the model's error one block ahead;
        `shuffled`: how many times as large the median disagreement is with other moments' actions.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = torch.nonzero(seen.left > 0).squeeze(1)
    rows = rows[torch.randperm(len(rows), generator=generator)[:count]]
    z, blocks = seen.latents[rows], seen.blocks[rows]
    disagreement = head.disagreement(z, blocks)
    other = head.disagreement(z, blocks[torch.randperm(len(rows), generator=generator)])
    error = (_one_ahead(model, seen, rows) - seen.latents[rows + 1]).square().mean((1, 2))
    rank = float(spearmanr(disagreement.numpy(), error.numpy()).statistic)
    return {
        "rank": rank if rank == rank else 0.0,  # noqa: PLR0124  (NaN where one is constant)
        "shuffled": float(other.median() / disagreement.median().clamp_min(1e-12)),
    }


def _one_ahead(model: WorldModel, seen: Experience, rows: Tensor) -> Tensor:
    """(n, P, D) what the model imagines a block after some rows."""
    device = next(model.buffers()).device
    known = None if seen.proprio is None else seen.proprio[rows, None].to(device)
    plans = seen.blocks[rows, None, None].to(device)
    z: Tensor = model.rollout(seen.latents[rows, None].to(device), plans, None, known)
    return z[:, 0, 0].float().cpu()
