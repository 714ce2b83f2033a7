"""How much of the action the state gives away: a regression, scored on episodes held out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ROWS = 20_000
"""Rows that are used at most, evenly spaced."""
FEATURES = 256
"""Random features besides the state itself."""
RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Ridges to choose from, as a share of the number of rows."""
HELD_OUT = 5
"""Every fifth episode is for scoring."""


def predictability(
    state: Sequence[NDArray[Any]],
    actions: Array,
    ends: NDArray[np.int64],
    names: Sequence[str],
) -> dict[str, float]:
    """R2 of each action axis from the state of the same row.

    Ridge regression on the standardised state, and on random rectified projections of it
    (Rahimi and Recht 2008) for what is not linear. Trained and scored on different episodes, so
    that a path remembered is not a rule found; the ridge is chosen on others still.

    Args:
        state: (N, d) columns: proprio, and simulator truth if there is any.
        actions: (N, A).
        ends: (E,) row behind the last of each episode.
        names: of the A axes.

    Returns:
        R2 by axis, at most 1, below 0 where the mean predicts better; an axis that never changes
        is left out. Empty without a state, or with fewer than two episodes.
    """
    given = [column for column in state if column.shape[1]]
    if not given or len(ends) < 2:
        return {}
    episode = np.searchsorted(ends, np.arange(len(actions)), side="right")
    rows = np.unique(np.linspace(0, len(actions) - 1, min(len(actions), ROWS)).astype(np.int64))
    part = episode[rows] % min(HELD_OUT, len(ends))
    scored, choosing = part == 0, part == 1
    x = np.concatenate([column[rows].astype(np.float64) for column in given], axis=1)
    features, targets = _features(x, ~scored), actions[rows]
    if len(ends) > 2:
        ridge = _choose(features, targets, ~scored & ~choosing, choosing)
    else:  # nothing to choose on
        ridge = RIDGES[2]
    predicted = features[scored] @ _ridge(features[~scored], targets[~scored], ridge)
    held_out = rows[scored]
    wanted = actions[held_out]
    error = ((wanted - predicted) ** 2).sum(0)
    spread = ((wanted - wanted.mean(0)) ** 2).sum(0)
    return {
        name: float(1 - e / s)
        for name, e, s in zip(names, error, spread, strict=True)
        if s > 1e-9 * len(wanted)
    }


def _features(x: Array, fitted: NDArray[np.bool_]) -> Array:
    """The standardised state, random rectified projections of it, and a constant."""
    mean, std = x[fitted].mean(0), x[fitted].std(0)
    used = std > 1e-9
    x = np.clip((x[:, used] - mean[used]) / std[used], -5, 5)
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(x.shape[1], FEATURES)) / np.sqrt(max(1, x.shape[1]))
    bent = np.maximum(0.0, x @ directions + rng.uniform(-1, 1, FEATURES))
    return np.concatenate([x, bent, np.ones((len(x), 1))], axis=1)


def _choose(
    features: Array, targets: Array, fitted: NDArray[np.bool_], scored: NDArray[np.bool_]
) -> float:
    """The ridge that predicts other episodes best, in units of each axis' spread."""
    spread = np.maximum(targets[fitted].std(0), 1e-9)

    def error(ridge: float) -> float:
        weights = _ridge(features[fitted], targets[fitted], ridge)
        return float((((targets - features @ weights)[scored] / spread) ** 2).sum())

    return min(RIDGES, key=error)


def _ridge(features: Array, targets: Array, ridge: float) -> Array:
    """Weights of a regression that leaves the constant, the last feature, alone."""
    gram = features.T @ features
    diagonal = np.arange(len(gram) - 1)
    gram[diagonal, diagonal] += ridge * len(features)
    return np.asarray(np.linalg.solve(gram, features.T @ targets))
