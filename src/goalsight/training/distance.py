"""Fit the temporal-distance head: pairs of recorded, imagined and failed moments.

Pairs of one episode are as many blocks apart as they are. Pairs of two episodes count as never.
Half of the presents are what the model imagines instead of what it encodes, because that is what
a planner asks about. Episodes of the agent's own that failed add the pairs that matter most:
moments that look near a goal and did not lead to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from goalsight.models import WorldModel
from goalsight.models.heads.temporal_distance import TemporalDistance
from goalsight.progress import Progress, silent
from goalsight.training.heads import Experience, Sought


@dataclass(frozen=True, kw_only=True)
class DistanceConfig:
    """How a temporal-distance head is trained."""

    blocks: int = 20
    """Distances told apart; what is farther is one class with never."""
    width: int = 256
    """Units of its hidden layers."""
    steps: int = 2000
    """Optimiser steps."""
    batch: int = 512
    """Pairs a step."""
    rate: float = 1e-3
    """Peak learning rate of AdamW, down to 0 along a cosine."""
    others: float = 0.2
    """Share of pairs whose goal is of another episode: never."""
    failures: float = 0.2
    """Share of pairs of on-policy episodes and the goal image they sought, if there are any."""
    imagined: float = 0.5
    """Share of presents that are imagined."""
    seed: int = 0
    """Of the weights and of every pair."""

    def __post_init__(self) -> None:
        for name in ("blocks", "width", "steps", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if min(self.others, self.failures, self.imagined) < 0 or (
            self.others + self.failures > 1 or self.imagined > 1
        ):
            raise ValueError(
                "others, failures and imagined are shares, and others + failures at most 1; got "
                f"{self.others}, {self.failures} and {self.imagined}"
            )


def fit_distance(
    model: WorldModel,
    experience: Experience,
    config: DistanceConfig,
    sought: Sequence[Sought] = (),
    progress: Progress = silent,
) -> TemporalDistance:
    """A trained head, on the CPU and in evaluation mode.

    Args:
        model: whose latents these are.
        experience: episodes to learn from.
        config: how.
        sought: on-policy episodes toward goals, failures among them.
        progress: told how many steps are done.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        head = TemporalDistance(
            model.config, model.patches, model.latent_dim, blocks=config.blocks, width=config.width
        )
    generator = torch.Generator().manual_seed(config.seed)
    optimiser = torch.optim.AdamW(head.parameters(), lr=config.rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
    for step in range(config.steps):
        here, there, target = draw_pairs(experience, sought, config, generator)
        loss = torch.nn.functional.cross_entropy(head(here, there), target)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        progress(step + 1, config.steps)
    return head.eval()


def draw_pairs(
    experience: Experience,
    sought: Sequence[Sought],
    config: DistanceConfig,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """A batch of presents (n, P, D), goals (n, P, D) and classes (n,)."""
    on_policy = round(config.batch * config.failures) if sought else 0
    count = config.batch - on_policy
    others = round(config.batch * config.others)
    rows = torch.randint(len(experience.latents), (count,), generator=generator)
    gap = torch.rand(count, generator=generator) * (experience.left[rows] + 1)
    # Half of the pairs at most `blocks` apart: near ones are what a planner has to tell apart.
    near = torch.rand(count, generator=generator) * (
        experience.left[rows].clamp_max(config.blocks) + 1
    )
    gap = torch.where(torch.rand(count, generator=generator) < 0.5, gap, near).long()
    gap = gap.minimum(experience.left[rows])
    goals, target = rows + gap, gap.clamp_max(config.blocks + 1)
    elsewhere = torch.randint(len(experience.latents), (others,), generator=generator)
    apart = experience.episode[elsewhere] != experience.episode[rows[:others]]
    goals[:others] = torch.where(apart, elsewhere, goals[:others])
    target[:others] = torch.where(apart, config.blocks + 1, target[:others])
    use = torch.rand(count, generator=generator) < config.imagined
    present = torch.where(use[:, None, None], experience.imagined[rows], experience.latents[rows])
    parts = [(present, experience.latents[goals], target)]
    for part, share in zip(sought, _shares(on_policy, len(sought)), strict=True):
        picks = torch.randint(len(part.latents), (share,), generator=generator)
        blocks = part.blocks[picks].clamp_max(config.blocks + 1).round().long()
        parts.append((part.latents[picks], part.goals[picks], blocks))
    here, there, classes = (torch.cat(column) for column in zip(*parts, strict=True))
    return here, there, classes


def _shares(total: int, parts: int) -> list[int]:
    """A total in whole parts."""
    return [total // parts + (part < total % parts) for part in range(parts)]


@torch.no_grad()
def judge_distance(
    head: TemporalDistance, experience: Experience, pairs: int = 4000, seed: int = 0
) -> dict[str, float]:
    """How well a head tells distances, on episodes it did not train on.

    Args:
        head: trained.
        experience: episodes held out.
        pairs: of one episode, at most `blocks` apart, and as many of two episodes.
        seed: of the choice.

    Returns:
        `error_blocks`: mean absolute error; `error_imagined_blocks`: from imagined presents;
        `rank`: Spearman's correlation with the blocks apart; `rank_energy`: that of the latent
        distance; `never`: the share of pairs of two episodes, one each beside one of the same, that
        it calls the farther one.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(len(experience.latents), (pairs,), generator=generator)
    most = experience.left[rows].clamp_max(head.blocks)
    gap = (torch.rand(pairs, generator=generator) * (most + 1)).long().minimum(most)
    goals = experience.latents[rows + gap]
    elsewhere = torch.randint(len(experience.latents), (pairs,), generator=generator)
    apart = experience.episode[elsewhere] != experience.episode[rows]
    encoded = head.distance(experience.latents[rows], goals)
    imagined = head.distance(experience.imagined[rows], goals)
    never = head.distance(experience.latents[rows], experience.latents[elsewhere])
    energy = (experience.latents[rows] - goals).square().mean((1, 2))
    return {
        "error_blocks": float((encoded - gap).abs().mean()),
        "error_imagined_blocks": float((imagined - gap).abs().mean()),
        "rank": _spearman(encoded, gap.float()),
        "rank_energy": _spearman(energy, gap.float()),
        "never": float((never > encoded)[apart].float().mean()) if apart.any() else 0.0,
    }


def _spearman(a: Tensor, b: Tensor) -> float:
    """Rank correlation; ties get their middle rank, as scipy's `spearmanr` does."""
    from scipy.stats import spearmanr

    found = float(spearmanr(a.numpy(), b.numpy()).statistic)
    return found if found == found else 0.0  # noqa: PLR0124  (NaN where one is constant)
