"""Where recorded episodes come near each other: from there one may go on in another.

No single episode need have done all that a goal asks for. Links let a way change episodes where
two of them were at nearly the same place (search over a graph of what was recorded: Eysenbach et
al. 2019, arXiv:1906.05253).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from goalsight.progress import Progress, silent

NEIGHBOURS = 96
"""Nearest rows looked at to find the nearest of a few other episodes."""
LINKS = 8
"""Other episodes that a row is linked to at most."""
AT_ONCE = 128
"""Rows whose neighbours are looked for in one product."""


@dataclass(frozen=True)
class Links:
    """From some rows of a memory to the nearest rows of other episodes."""

    origin: Tensor
    """(R,) int64 rows that have links, in increasing order."""
    target: Tensor
    """(R, k) int64 rows they lead to; the row itself where there are fewer."""
    energy: Tensor
    """(R, k) float32 mean squared distance of the two; infinite where there are fewer."""


def find_links(rows: Tensor, lengths: Tensor, stride: int, progress: Progress = silent) -> Links:
    """Link every `stride`-th row of each episode to rows of other episodes.

    Args:
        rows: (F, V) float32 latents, one episode after another.
        lengths: (E,) rows of each episode.
        stride: rows from one that has links to the next.
        progress: told how many rows are done.
    """
    episode = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
    offset = torch.arange(len(rows)) - (lengths.cumsum(0) - lengths)[episode]
    origin = torch.nonzero(offset % stride == 0).squeeze(1)
    norms = rows.square().sum(1)
    count = min(NEIGHBOURS, len(rows))
    targets, energies = [], []
    for at in range(0, len(origin), AT_ONCE):
        part = origin[at : at + AT_ONCE]
        squares = norms - 2 * (rows[part] @ rows.T)
        near = squares.topk(count, largest=False).indices
        target, energy = _of_others(rows, part, near, episode)
        targets.append(target)
        energies.append(energy)
        progress(at + len(part), len(origin))
    return Links(origin, torch.cat(targets), torch.cat(energies))


def _of_others(rows: Tensor, part: Tensor, near: Tensor, episode: Tensor) -> tuple[Tensor, Tensor]:
    """(n, k) the nearest row of each other episode among (n, m) sorted candidates, and energies."""
    theirs = episode[near]
    # A candidate counts if none before it, the nearer ones, is of the same episode.
    again = (theirs[:, :, None] == theirs[:, None, :]).tril(-1).any(2)
    energy = (rows[near] - rows[part][:, None]).square().mean(2)
    energy = torch.where(again | (theirs == episode[part][:, None]), torch.inf, energy)
    kept = energy.sort(dim=1, stable=True)
    chosen = kept.indices[:, :LINKS]
    energy, target = kept.values[:, :LINKS], near.gather(1, chosen)
    return torch.where(energy.isinf(), part[:, None], target), energy
