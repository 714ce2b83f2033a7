"""What a dataset covers, in numbers; docs/guides/collect.md says what each is good for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goalsight.data import format as layout
from goalsight.data.dataset import Dataset
from goalsight.progress import Progress, silent

Array = NDArray[np.float64]

WINDOW = 25
"""Control steps of a window: how far ahead the `near` pairs of the benchmark have their goal."""
MOVES_M = 0.01
"""What counts as an object having moved within a window [m]: over a pixel of the usual camera."""
MOVING_M = 0.001
"""What counts as an object moving in a control step [m]."""
NEAR_M = 0.05
"""Distance of the fingertip from an object's centre that counts as contact [m]: half an edge of
3 cm and the width of a finger."""
CELL_M = 0.04
"""Edge of the cells that coverage counts [m]: within it, most tasks count as done."""
MOST_EPISODES = 2000
"""Of more episodes, so many are read, evenly spaced."""
HANDS = (("ee_x", "ee_y", "ee_z"), ("eef_x", "eef_y", "eef_z"), ("x", "y", "z"))
"""Names under which a dataset's proprio may have the position of the hand."""
JOINTS = ("drawer",)
"""Simulator truth of one number that is a thing to move [m]."""


@dataclass(frozen=True, kw_only=True)
class Movable:
    """One object, as far as the simulator's truth tells of it."""

    name: str
    places: Array
    """(N, 3) positions, or (N, 1) openings [m]."""
    moving: float
    """Share of control steps in which it moves more than a millimetre."""
    moved: float
    """Share of windows in which it moves more than a centimetre."""


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What a dataset covers; None where it has no column that would tell."""

    episodes: int
    """In the dataset."""
    read: int
    """Of those, how many were measured."""
    frames: int
    """In the dataset."""
    fps: float
    """Control steps per second."""
    window: int
    """Control steps of a window."""
    lengths: NDArray[np.int64]
    """(E,) control steps of every episode."""
    policies: dict[str, tuple[int, int]]
    """Episodes and frames by policy."""
    hand: Array | None
    """(N, 3) positions of the fingertip [m]."""
    coverage: float | None
    """Share of the cells of the box that the hand moves in that it has been in."""
    objects: tuple[Movable, ...]
    """What can be moved; empty without simulator truth about it."""
    contact: float | None
    """Share of control steps in which the hand is at an object, or one moves."""
    moved: float | None
    """Share of windows in which any object moves."""
    actions: Array
    """(N, A) in action units."""
    predictable: dict[str, float]
    """R2 of each action axis from the state, on episodes held out; empty without a state."""
    idle: float
    """Share of control steps in which no axis asks for more than a fiftieth of its bounds."""
    saturated: float
    """Share of action numbers at a bound."""
    success: float | None
    """Share of episodes whose last control step has the task solved."""

    @property
    def r2(self) -> float | None:
        """Mean over the axes of the R2 of the action from the state; one below 0 counts as 0."""
        values = list(self.predictable.values())
        return float(np.mean(np.maximum(values, 0.0))) if values else None

    @property
    def spans(self) -> Array | None:
        """(3,) extent of the box that the hand moves in, without the outermost percents [m]."""
        if self.hand is None:
            return None
        low, high = np.percentile(self.hand, [1, 99], axis=0)
        return np.asarray(high - low)

    def to_json(self) -> dict[str, Any]:
        """The numbers without the rows they were counted over."""
        spans = self.spans
        return {
            "episodes": self.episodes,
            "episodes_read": self.read,
            "frames": self.frames,
            "window": self.window,
            "episode_length": [int(self.lengths.min()), int(self.lengths.max())],
            "policies": {name: list(counts) for name, counts in self.policies.items()},
            "workspace_m": None if spans is None else spans.round(4).tolist(),
            "coverage": self.coverage,
            "contact": self.contact,
            "moved": self.moved,
            "objects": {o.name: {"moving": o.moving, "moved": o.moved} for o in self.objects},
            "r2_action_from_state": self.r2,
            "r2_by_axis": self.predictable,
            "idle": self.idle,
            "saturated": self.saturated,
            "success": self.success,
        }


def measure(dataset: Dataset, window: int = WINDOW, progress: Progress = silent) -> Measures:
    """Read a dataset's columns and measure what it covers.

    Args:
        dataset: opened; with or without simulator truth.
        window: control steps of a window.
        progress: told how many episodes are read.

    Raises:
        DatasetError: if a file is damaged.
        ValueError: if the window is below 1.
    """
    if window < 1:
        raise ValueError(f"window must be at least 1 control step, got {window}")
    total = len(dataset.records)
    chosen = np.unique(np.linspace(0, total - 1, min(total, MOST_EPISODES)).round().astype(int))
    rows = _read(dataset, chosen.tolist(), progress)
    ends = np.cumsum(dataset.episodes[chosen])
    actions = rows[layout.ACTION].astype(np.float64)
    low, high = np.array(dataset.provenance.action_low), np.array(dataset.provenance.action_high)
    hand = _hand(dataset, rows)
    objects = tuple(_objects(rows, ends, window))
    state = [rows[name] for name in rows if name == layout.PROPRIO or _is_truth(name)]
    success = rows.get(layout.SUCCESS)
    return Measures(
        episodes=total,
        read=len(chosen),
        frames=dataset.total_frames,
        fps=dataset.fps,
        window=window,
        lengths=dataset.episodes,
        policies=_policies(dataset),
        hand=hand,
        coverage=None if hand is None else coverage(hand),
        objects=objects,
        contact=_contact(hand, objects, ends),
        moved=_share_moved(objects, ends, window),
        actions=actions,
        predictable=predictability(state, actions, ends, dataset.provenance.action_names),
        idle=float((np.abs(actions) <= 0.02 * (high - low) / 2).all(1).mean()),
        saturated=float(((actions <= low + 1e-3) | (actions >= high - 1e-3)).mean()),
        success=None if success is None else float(success[ends - 1].mean()),
    )


def coverage(places: Array) -> float:
    """Share of the cells of a bounding box that hold a position.

    Args:
        places: (N, 3) [m]; the outermost percent at each side of the box is left out.
    """
    low, high = np.percentile(places, [1, 99], axis=0)
    cells = np.maximum(1, np.ceil((high - low) / CELL_M - 1e-9)).astype(int)
    inside = places[((places >= low) & (places <= high)).all(1)]
    index = np.minimum(((inside - low) / CELL_M).astype(int), cells - 1)
    return float(len(np.unique(np.ravel_multi_index(tuple(index.T), tuple(cells)))) / cells.prod())


def _read(dataset: Dataset, episodes: Sequence[int], progress: Progress) -> dict[str, NDArray[Any]]:
    """Columns that tell something, all rows of these episodes."""
    names = [name for name in dataset.widths() if name not in layout.INDEX_COLUMNS]
    parts = []
    for first in range(0, len(episodes), 50):
        parts.append(dataset.columns(names, episodes[first : first + 50]))
        progress(min(first + 50, len(episodes)), len(episodes))
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def _is_truth(name: str) -> bool:
    return name.startswith(layout.TRUTH_PREFIX)


def _policies(dataset: Dataset) -> dict[str, tuple[int, int]]:
    counted: dict[str, tuple[int, int]] = {}
    for record in dataset.records:
        name = record.policy or dataset.provenance.policy
        episodes, frames = counted.get(name, (0, 0))
        counted[name] = (episodes + 1, frames + record.length)
    return dict(sorted(counted.items(), key=lambda item: -item[1][1]))


def _hand(dataset: Dataset, rows: dict[str, NDArray[Any]]) -> Array | None:
    """(N, 3) positions of the fingertip [m], from truth or proprio."""
    if (truth := rows.get(f"{layout.TRUTH_PREFIX}ee_pos")) is not None:
        return truth.astype(np.float64)
    names = dataset.provenance.proprio_names
    for axes in HANDS:
        if set(axes) <= set(names):
            columns = [names.index(axis) for axis in axes]
            return rows[layout.PROPRIO][:, columns].astype(np.float64)
    return None


def _objects(rows: dict[str, NDArray[Any]], ends: NDArray[np.int64], window: int) -> list[Movable]:
    found = []
    for column, values in rows.items():
        name = column.removeprefix(layout.TRUTH_PREFIX)
        is_place = name.endswith("_pos") and values.shape[1] == 3 and name != "ee_pos"
        if _is_truth(column) and (is_place or name in JOINTS):
            places = values.astype(np.float64)
            found.append(
                Movable(
                    name=name.removesuffix("_pos"),
                    places=places,
                    moving=float(_moving(places, ends).mean()),
                    moved=float(_moved(places, ends, window).mean()),
                )
            )
    return found


def _moving(places: Array, ends: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(N,) whether something moves in the control step that begins at a row."""
    moving = np.zeros(len(places), bool)
    moving[:-1] = np.linalg.norm(np.diff(places, axis=0), axis=1) > MOVING_M
    moving[ends - 1] = False  # the next row is another episode's
    return moving


def _moved(places: Array, ends: NDArray[np.int64], window: int) -> NDArray[np.bool_]:
    """(W,) of every window: whether something is a centimetre away from where it began."""
    parts = []
    for first, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
        span = min(window, end - first - 1)
        ahead = places[first + span : end] - places[first : end - span]
        parts.append(np.linalg.norm(ahead, axis=1) > MOVES_M)
    return np.concatenate(parts)


def _share_moved(objects: Sequence[Movable], ends: NDArray[np.int64], window: int) -> float | None:
    if not objects:
        return None
    return float(np.any([_moved(o.places, ends, window) for o in objects], axis=0).mean())


def _contact(
    hand: Array | None, objects: Sequence[Movable], ends: NDArray[np.int64]
) -> float | None:
    """Share of control steps with the hand at an object, or an object moving."""
    if hand is None or not objects:
        return None
    touched = np.zeros(len(hand), bool)
    for thing in objects:
        touched |= _moving(thing.places, ends)
        if thing.places.shape[1] == 3:
            touched |= np.linalg.norm(hand - thing.places, axis=1) < NEAR_M
    return float(touched.mean())


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
