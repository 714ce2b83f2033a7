"""Encode and imagine what was recorded, for heads that learn from pairs of moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from goalsight.data import Dataset, Windows
from goalsight.data import format as layout
from goalsight.errors import DatasetError
from goalsight.memory.build import encode_rows
from goalsight.models import WorldModel
from goalsight.progress import Progress, silent

AHEAD = 5
"""Blocks that are imagined open loop before the next encoded latent is looked at."""
AT_ONCE = 512
"""Starts imagined in one call."""


@dataclass(frozen=True, kw_only=True)
class Experience:
    """Recorded moments; of a row and the next one of its chain, one is a block after the other."""

    latents: Tensor
    """(F, P, D) encoded."""
    imagined: Tensor
    """(F, P, D) as the model imagined them from an earlier row of their episode; the encoded ones
    where there is none."""
    left: Tensor
    """(F,) int64 rows that follow in the same chain."""
    episode: Tensor
    """(F,) int64 which episode."""
    blocks: Tensor
    """(F, K, A) the action block that runs at each row; means nothing at a chain's end."""
    proprio: Tensor | None = None
    """(F, Q) SI units, for models that see it."""


@torch.no_grad()
def experience_of(
    model: WorldModel,
    dataset: Dataset,
    episodes: Sequence[int] | NDArray[np.int64],
    progress: Progress = silent,
) -> Experience:
    """Moments of some episodes, in chains: rows one action block apart, each beginning of a block.

    Args:
        model: in evaluation mode, on any device.
        dataset: whose episodes; decoded where its cache lacks them.
        episodes: which, each once.
        progress: told how many frames are encoded.

    Raises:
        DatasetError: if no episode is as long as a block, or a file is damaged.
    """
    block = model.config.frameskip
    windows = Windows(dataset, episodes, 1, 1, model.config.image_size)
    z = encode_rows(model, windows, np.arange(windows.total_rows), progress)
    columns = dataset.columns([layout.ACTION, layout.PROPRIO], list(map(int, episodes)))
    lengths = dataset.episodes[np.asarray(episodes, np.int64)]
    chains = [
        (episode, first + np.arange(phase, length, block))
        for episode, (first, length) in enumerate(
            zip(np.cumsum(lengths) - lengths, lengths, strict=True)
        )
        for phase in range(min(block, int(length)))
    ]
    if max(len(rows) for _, rows in chains) < 2:
        raise DatasetError(
            f"no episode of {dataset.path} is longer than a block of {block} control steps"
        )
    order = torch.from_numpy(np.concatenate([rows for _, rows in chains]))
    imagined = z.clone()
    starts = np.concatenate([rows[:-1:AHEAD] for _, rows in chains])
    lasts = np.concatenate([np.full(len(rows[:-1:AHEAD]), rows[-1]) for _, rows in chains])
    actions = torch.from_numpy(columns[layout.ACTION])
    proprio = torch.from_numpy(columns[layout.PROPRIO])
    _imagine_into(imagined, model, z, (actions, proprio), starts=starts, lasts=lasts)
    return Experience(
        latents=z[order],
        imagined=imagined[order],
        left=torch.cat([torch.arange(len(rows) - 1, -1, -1) for _, rows in chains]),
        episode=torch.cat([torch.full((len(rows),), episode) for episode, rows in chains]),
        blocks=actions[(order[:, None] + torch.arange(block)).clamp_max(len(actions) - 1)],
        proprio=proprio[order] if model.config.proprio_dim else None,
    )


def _imagine_into(
    imagined: Tensor,
    model: WorldModel,
    z: Tensor,
    recorded: tuple[Tensor, Tensor],
    *,
    starts: NDArray[np.int64],
    lasts: NDArray[np.int64],
) -> None:
    """Put imagined latents in the rows they predict: `AHEAD` blocks on from every start.

    Args:
        imagined: (F, P, D), changed in place.
        model: that imagines.
        z: (F, P, D) encoded.
        recorded: actions (F, A) and proprio (F, Q) of the rows.
        starts: (S,) rows to imagine from.
        lasts: (S,) last row of each start's chain.
    """
    block, device = model.config.frameskip, next(model.buffers()).device
    actions, proprio = recorded
    steps = torch.arange(AHEAD * block).reshape(AHEAD, block)
    for at in range(0, len(starts), AT_ONCE):
        first = torch.from_numpy(starts[at : at + AT_ONCE])
        last = torch.from_numpy(lasts[at : at + AT_ONCE])
        # Blocks after the chain's end are filled with something and their latents dropped.
        plans = actions[(first[:, None, None] + steps).clamp_max(len(actions) - 1)]
        known = proprio[first, None].to(device) if model.config.proprio_dim else None
        z_hat = model.rollout(z[first, None].to(device), plans[:, None].to(device), None, known)
        rows = first[:, None] + block * torch.arange(1, AHEAD + 1)
        there = rows <= last[:, None]
        imagined[rows[there]] = z_hat[:, 0].float().cpu()[there]
