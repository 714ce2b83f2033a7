"""What every kind of log gives the importer: episodes by name, rows of numbers, frames in order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goalsight.errors import DatasetError

Array = NDArray[np.float64]
Frame = NDArray[Any]
"""A picture as the log has it; `goalsight.data.importers.pictures.to_rgb` makes it one of ours."""


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Which parts of a log are what; None lets the format decide."""

    camera: str | None = None
    """The camera whose frames are taken."""
    action: str | None = None
    """Feature (or columns, separated by commas) that is the action."""
    state: str | None = None
    """Features or columns, separated by commas, that become proprio; `none` for no proprio."""
    truth: str | None = None
    """Features or columns, separated by commas, kept as `state.*`; never a model input."""


@dataclass(frozen=True)
class LogEpisode:
    """One recorded episode."""

    name: str
    """As the log calls it."""
    length: int
    """L, rows."""
    tasks: tuple[str, ...] = ()
    """What was to be done, in words, where the log says so."""


@dataclass(frozen=True)
class Rows:
    """Numbers of one episode; row t is (what is seen, the action that follows)."""

    actions: Array
    """(L, A) in the log's own units."""
    proprio: NDArray[np.float32]
    """(L, Q)."""
    success: NDArray[np.bool_]
    """(L,) whether the task was solved after each action; False where the log does not say."""
    truth: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    """Simulator truth by name, each (L, d)."""


class Log(ABC):
    """A log opened for reading; `rows` and `frames` are called in the order of the episodes."""

    format: str
    """Name of the format."""
    path: Path
    """What was opened."""
    episodes: list[LogEpisode]
    """All of them, in order."""
    fps: float | None
    """Rows per second, None where the log does not say."""
    rate_doubt = ""
    """Why it does not, where it should have: what contradicts what."""
    camera: str
    """Key of the frames."""
    action_key: str
    """Key of the action."""
    action_names: list[str]
    """(A,)."""
    proprio_names: list[str]
    """(Q,)."""
    bounds: tuple[list[float], list[float]] | None = None
    """(A,) lowest and highest action that the log declares, in its own units."""
    normalised = False
    """Whether actions of this format are in [-1, 1] by convention."""

    @abstractmethod
    def rows(self, index: int) -> Rows:
        """Numbers of an episode.

        Raises:
            DatasetError: if they are missing or damaged.
        """

    @abstractmethod
    def frames(self, index: int) -> Iterator[Frame]:
        """The L frames of an episode as the log has them, (H, W) or (H, W, C) or (C, H, W).

        Raises:
            DatasetError: if they are missing or damaged, or there are more or fewer.
        """

    def whole_video(self, index: int) -> Path | None:
        """An mp4 of this package that holds the frames of this episode and nothing else, if any.

        Others are encoded again: not all readers agree on what cameras and phones write.
        """
        return None

    def close(self) -> None:  # noqa: B027  (most formats hold nothing open)
        """Close what is open."""


def split_keys(text: str | None) -> list[str] | None:
    """Keys as typed, `a,b`; None if nothing was typed, no keys for `none`."""
    if text is None:
        return None
    return [] if text == "none" else [key.strip() for key in text.split(",") if key.strip()]


def choose_camera(
    wanted: str | None, cameras: Sequence[str], where: object, others: Sequence[str] = ()
) -> str:
    """The camera to take: the one asked for (its last part is enough), or the only one.

    Args:
        wanted: what was asked for, if anything.
        cameras: those that need not be asked for by name.
        where: what errors begin with.
        others: those that must be.

    Raises:
        DatasetError: naming the cameras there are.
    """
    if wanted is None and len(cameras) == 1:
        return cameras[0]
    known = [*cameras, *others]
    if not known:
        raise DatasetError(f"{where} has no camera: no video and no pictures")
    listed = ", ".join(known)
    if wanted is None:
        raise DatasetError(f"{where} has several cameras; choose with --camera: {listed}")
    found = [key for key in known if key == wanted]
    found = found or [key for key in known if key.replace("/", ".").endswith(f".{wanted}")]
    if len(found) != 1:
        raise DatasetError(f"{where} has no camera {wanted!r}; it has: {listed}")
    return found[0]


def choose_array(
    wanted: str | None, arrays: Mapping[str, tuple[tuple[int, ...], Any]], where: object
) -> str:
    """The array of pictures to take, as `choose_camera` does.

    Args:
        wanted: what was asked for, if anything.
        arrays: shape and dtype by key; uint8 with channels goes before uint8 without, and that
            before floats with three or four channels.
        where: what errors begin with.

    Raises:
        DatasetError: naming what was looked for and what there is.
    """
    bytes_ = {key: shape for key, (shape, dtype) in arrays.items() if dtype == np.uint8}
    floats = {key: shape for key, (shape, dtype) in arrays.items() if dtype.kind == "f"}
    ranks = [
        [key for key, shape in bytes_.items() if len(shape) == 4 and min(shape[1:]) > 0],
        [key for key, shape in bytes_.items() if len(shape) == 3 and min(shape[1:]) > 0],
        [key for key, shape in floats.items() if len(shape) == 4 and {3, 4} & {shape[1], shape[3]}],
    ]
    best = next(filter(None, ranks), [])
    if not best:
        there = ", ".join(f"{key} {shape} {dtype}" for key, (shape, dtype) in arrays.items())
        raise DatasetError(
            f"{where} has no camera: looked for arrays of pictures, uint8 (steps, height, width, "
            f"channels) or floats in [0, 1] with 3 channels; there is: {there or 'nothing'}"
        )
    others = [key for rank in ranks for key in rank if key not in best]
    return choose_camera(wanted, best, where, others)


def require_keys(wanted: Sequence[str], known: Sequence[str], what: str, where: object) -> None:
    """Refuse keys that are not there.

    Raises:
        DatasetError: naming the first of them and those there are.
    """
    for key in wanted:
        if key not in known:
            raise DatasetError(f"{where} has no {what} {key!r}; it has: {', '.join(known)}")


def names_for(key: str, width: int) -> list[str]:
    """Names of the numbers of a feature that has none: the key itself, numbered where several.

    >>> names_for("grip", 1), names_for("pos", 2)
    (['grip'], ['pos.0', 'pos.1'])
    """
    return [key] if width == 1 else [f"{key}.{i}" for i in range(width)]


def check_rows(rows: Rows, length: int, where: str) -> Rows:
    """The same rows, if every number of them is one and there are as many as announced.

    Raises:
        DatasetError: naming what is not finite, and in which row.
    """
    parts: dict[str, NDArray[Any]] = {"action": rows.actions, "state": rows.proprio, **rows.truth}
    for name, values in parts.items():
        if len(values) != length:
            raise DatasetError(f"{where}: {name} has {len(values)} rows where {length} must be")
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            row, axis = bad[0].tolist()
            raise DatasetError(
                f"{where}: {name} number {axis} is not finite in row {row}; leave the episode out "
                "with --skip NAME"
            )
    return rows


def join_columns(parts: Sequence[NDArray[np.float32]], length: int) -> NDArray[np.float32]:
    """(L, d) parts side by side; (L, 0) if there are none."""
    return np.concatenate(parts, 1) if parts else np.empty((length, 0), np.float32)
