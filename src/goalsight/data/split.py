"""Split by episode before any statistic is taken."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from goalsight.data import format as layout
from goalsight.data.dataset import Dataset
from goalsight.errors import DatasetError


def split_episodes(
    n: int, validation: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose whole episodes for training and for validation.

    Args:
        n: episodes there are, at least 1.
        validation: share for validation in [0, 1); rounded, but at least one episode if above 0
            and there are two.
        seed: of the choice.

    Returns:
        Sorted, disjoint indices (training, validation) that together are 0 to n - 1; training is
        never empty.

    Raises:
        ValueError: for a share outside [0, 1) or no episodes.

    >>> [part.tolist() for part in split_episodes(5, 0.2, seed=0)]
    [[0, 1, 3, 4], [2]]
    """
    if n < 1 or not 0 <= validation < 1:
        raise ValueError(f"need n >= 1 and validation in [0, 1), got {n} and {validation}")
    held_out = round(n * validation)
    if validation > 0:
        held_out = max(1, held_out)
    held_out = min(held_out, n - 1)
    order = np.random.default_rng(seed).permutation(n).astype(np.int64)
    return np.sort(order[held_out:]), np.sort(order[:held_out])


def action_statistics(dataset: Dataset, episodes: Sequence[int]) -> dict[str, list[float]]:
    """Mean, std, min and max of each action axis over some episodes (the training split).

    Args:
        dataset: where from.
        episodes: indices, at least one.

    Returns:
        `mean`, `std` (standard deviation), `min`, `max`: (A,) lists.

    Raises:
        DatasetError: if there are no episodes or a file is damaged.
    """
    return _statistics(dataset, episodes, layout.ACTION)


def proprio_statistics(dataset: Dataset, episodes: Sequence[int]) -> dict[str, list[float]]:
    """The same of each number of proprio, SI units: (Q,) lists; see `action_statistics`."""
    if not dataset.proprio_dim:
        return {"mean": [], "std": [], "min": [], "max": []}
    return _statistics(dataset, episodes, layout.PROPRIO)


def _statistics(dataset: Dataset, episodes: Sequence[int], column: str) -> dict[str, list[float]]:
    if not len(episodes):
        raise DatasetError(f"no episodes of {dataset.path} to take statistics of {column} from")
    rows = dataset.columns([column], episodes)[column].astype(np.float64)
    return {
        "mean": rows.mean(0).tolist(),
        "std": rows.std(0).tolist(),
        "min": rows.min(0).tolist(),
        "max": rows.max(0).tolist(),
    }
