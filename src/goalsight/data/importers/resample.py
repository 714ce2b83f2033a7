"""Rows at a log's rate to rows at the control rate."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from goalsight.data.importers.source import Array, Rows
from goalsight.errors import DatasetError

ActionKind = Literal["targets", "deltas", "velocities"]
"""What an action of the log is: where to be, how far to move in one step, how fast to move."""


def step_edges(length: int, ratio: float) -> NDArray[np.int64]:
    """First row of each control step, and the end of the last.

    A control step spans `ratio` rows, rounded to whole ones; rows that fill none are left out.

    Args:
        length: rows there are.
        ratio: the log's rate over the control rate, at least 1.

    Returns:
        (L' + 1,) edges; step k is the rows edges[k] to edges[k + 1] - 1.

    >>> step_edges(8, 2.5).tolist()
    [0, 3, 5, 8]
    """
    starts = np.arange(int(length / ratio) + 2) * ratio
    edges: NDArray[np.int64] = np.floor(starts + 0.5).astype(np.int64)
    return edges[: np.searchsorted(edges, length, side="right")]


def resample(rows: Rows, edges: NDArray[np.int64], kind: ActionKind) -> Rows:
    """What each control step begins with, the action over all of it, and how it ended.

    Of targets the last one in a step holds, deltas add up, velocities are averaged.

    Args:
        rows: at the log's rate.
        edges: see `step_edges`.
        kind: of the actions.
    """
    first, last = edges[:-1], edges[1:] - 1
    return Rows(
        actions=_combine(rows.actions[: edges[-1]], edges, kind),
        proprio=rows.proprio[first],
        success=rows.success[last],
        truth={name: values[first] for name, values in rows.truth.items()},
    )


def _combine(actions: Array, edges: NDArray[np.int64], kind: ActionKind) -> Array:
    if kind == "targets":
        return actions[edges[1:] - 1]
    summed: Array = np.add.reduceat(actions, edges[:-1], axis=0)
    return summed if kind == "deltas" else summed / np.diff(edges)[:, None]


def rate_ratio(fps: float, control_hz: float | None, where: object) -> float:
    """How many rows of a log a control step spans; 1 where the rates agree.

    Raises:
        DatasetError: if the control rate is above the log's: frames cannot be invented.
    """
    if control_hz is None or abs(fps / control_hz - 1) < 1e-6:
        return 1.0
    if not 0 < control_hz < fps:
        raise DatasetError(
            f"{where} was recorded at {fps:g} Hz; --control-hz must be above 0 and not above that, "
            f"got {control_hz:g}"
        )
    return fps / control_hz
