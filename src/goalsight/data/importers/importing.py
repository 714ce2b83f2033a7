"""An import: what is asked for, what it will do, and doing it.

First a plan is made of the whole log, and what cannot be imported is said before anything is
written; then episodes are read, resampled to the control rate and committed one after another.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

import goalsight
from goalsight.data.format import Episode, Provenance
from goalsight.data.importers.opening import Format, open_log
from goalsight.data.importers.pictures import (
    Fit,
    Frame,
    refuse_stack,
    to_rgb,
    to_square,
    video_facts,
)
from goalsight.data.importers.record import RECORD, ActionScale, ImportRecord, read_record
from goalsight.data.importers.source import Array, Keys, Log, LogEpisode, Rows
from goalsight.data.writer import DatasetWriter
from goalsight.errors import DatasetError, OutputError, UserError
from goalsight.io import copy_new, npy_bytes, replace_json, sha256_of
from goalsight.progress import Progress, progress_bar, silent
from goalsight.provenance import git_commit

DEFAULT_SIZE = 224
"""Pictures larger than this are made smaller unless a size is given [pixels]."""


@dataclass(frozen=True, kw_only=True)
class ImportConfig:
    """What is read, and how it becomes a dataset."""

    source: Path
    """The log."""
    out: Path
    """Folder of the dataset."""
    format: Format = "auto"
    """Kind of log."""
    keys: Keys = field(default_factory=Keys)
    """Which parts of it are what."""
    control_hz: float | None = None
    """Control rate of the dataset [Hz]; None keeps the log's."""
    source_hz: float | None = None
    """Rate of a log that does not say it [Hz]."""
    actions_are: ActionKind = "targets"
    """What becomes of actions when several rows make one control step."""
    size: int | None = None
    """Height and width of the frames [pixels]; None takes the log's shorter side, at most 224."""
    fit: Fit = "crop"
    """How pictures become square."""
    low: tuple[float, ...] | None = None
    """Bounds of an action in the log's units, one number or A; None takes the log's own, else
    what its data reach."""
    high: tuple[float, ...] | None = None
    """Likewise the upper ones."""
    skip: frozenset[str] = frozenset()
    """Names of episodes to leave out."""
    video: Literal["h264", "none"] = "h264"
    """How frames are kept."""

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise ValueError("action bounds come in pairs: give both the low and the high ones")
        if self.size is not None and self.size < 16:
            raise ValueError(f"size must be at least 16 pixels, got {self.size}")


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


LOOKED_AT = 8
"""First frames of an episode in which stacked greys are looked for."""


class ImportPlan:
    """What is going to be written, known before the first frame is read."""

    def __init__(self, log: Log, config: ImportConfig, progress: Progress = silent) -> None:
        """Read all rows for their bounds.

        Args:
            log: opened.
            config: how it becomes a dataset.
            progress: told how many episodes are read.

        Raises:
            DatasetError: if the log is damaged or an action is out of the bounds.
            UserError: if a setting does not fit the log.
        """
        self.log, self.config, self._progress = log, config, progress
        fps = log.fps if config.source_hz is None else config.source_hz
        if fps is None and log.rate_doubt:
            raise DatasetError(log.rate_doubt)
        if fps is None:
            raise UserError(
                f"{config.source} does not say how many rows it has a second; give --source-hz"
            )
        self._ratio = rate_ratio(fps, config.control_hz, config.source)
        self.chosen = _without(log.episodes, config)
        self._edges = [step_edges(log.episodes[i].length, self._ratio) for i in self.chosen]
        for index, edges in zip(self.chosen, self._edges, strict=True):
            if len(edges) < 2:
                raise DatasetError(
                    f"{config.source}, {log.episodes[index].name}: {log.episodes[index].length} "
                    f"rows make no control step; leave it out with --skip "
                    f"{log.episodes[index].name}"
                )
        self.record = self._make_record(fps)
        self.scale = self.record.scale
        if self.record.bounds_from in {"given", "declared"}:
            self._check_bounds()
        self.provenance = self._make_provenance(fps / self._ratio)

    def rows(self, number: int) -> Rows:
        """Rows of the number-th episode of the dataset, at the control rate, in own units."""
        rows = self.log.rows(self.chosen[number])
        if self._ratio == 1:
            return rows
        return resample(rows, self._edges[number], self.config.actions_are)

    def episode(self, number: int, staging: Path) -> Episode:
        """The number-th episode with its frames in a file of the staging folder."""
        rows = self.rows(number)
        suffix = "npy" if self.config.video == "none" else "mp4"
        path = staging / f"episode-{number:06d}.{suffix}"
        self._write_frames(number, path)
        return Episode(
            index=number,
            proprio=rows.proprio,
            actions=self.scale.to_unit(rows.actions),
            success=rows.success,
            frames_file=path,
            frames_sha256=sha256_of(path),
            truth=rows.truth,
        )

    def _write_frames(self, number: int, path: Path) -> None:
        """Frames into an mp4 or npy; a video that already is what we write is copied."""
        index, size = self.chosen[number], self.provenance.size
        if self._ratio == 1 and self.config.video == "h264":
            whole = self.log.whole_video(index)
            if whole is not None and _size(whole) == (size, size):
                # Decoded once all the same: a short or damaged video must show here.
                for _ in self.log.frames(index):
                    pass
                copy_new(whole, path)
                return
        frames = self._square_frames(number)
        if self.config.video == "none":
            path.write_bytes(npy_bytes(np.stack(list(frames))))
            return
        from goalsight.data.video import VideoWriter

        writer = VideoWriter(path, size, self.provenance.fps)
        try:
            for frame in frames:
                writer.add(frame)
            writer.close()
        except BaseException:
            writer.abandon()
            raise

    def _square_frames(self, number: int) -> Iterator[Frame]:
        """Frames of the first row of every control step."""
        index = self.chosen[number]
        where = f"{self.config.source}, {self.log.episodes[index].name}, {self.log.camera}"
        wanted = set(self._edges[number][:-1].tolist())
        before = None
        for row, frame in enumerate(self.log.frames(index)):
            if row < LOOKED_AT:
                refuse_stack(before, frame, where)
                before = frame
            if row in wanted:
                yield to_square(to_rgb(frame, where), self.provenance.size, self.config.fit)

    def _make_record(self, fps: float) -> ImportRecord:
        scale, origin = self._bounds()
        episodes = [self.log.episodes[i] for i in self.chosen]
        return ImportRecord(
            format=self.log.format,
            source=self.config.source.name,
            camera=self.log.camera,
            recorded_hz=fps,
            actions_are=self.config.actions_are,
            fit=self.config.fit,
            action_low=list(scale.low),
            action_high=list(scale.high),
            bounds_from=origin,
            episode_names=[episode.name for episode in episodes],
            tasks=[list(episode.tasks) for episode in episodes],
        )

    def _bounds(self) -> tuple[ActionScale, str]:
        """Bounds of the actions, and where they come from."""
        given, wide = self._given_bounds(), len(self.log.action_names)
        if given is not None:
            return given, "given"
        if self.log.bounds is not None:
            low, high = (np.array(side) for side in self.log.bounds)
            most = 1
            if self.config.actions_are == "deltas":  # those of several rows add up
                most = max(int(np.diff(edges).max()) for edges in self._edges)
            return ActionScale.of(low * most, high * most), "declared"
        reach = [(part.min(0), part.max(0)) for part in self._all_actions()]
        low = np.min([ends[0] for ends in reach], 0)
        high = np.max([ends[1] for ends in reach], 0)
        if self.log.normalised and low.min() >= -1 and high.max() <= 1:
            return ActionScale.of([-1.0] * wide, [1.0] * wide), "convention"
        return ActionScale.of(low, high), "data"

    def _all_actions(self) -> Iterator[Array]:
        """Actions of one episode after another."""
        for number in range(len(self.chosen)):
            yield self.rows(number).actions
            self._progress(number + 1, len(self.chosen))

    def _given_bounds(self) -> ActionScale | None:
        config, wide = self.config, len(self.log.action_names)
        if config.low is None or config.high is None:
            return None
        sides = [side * wide if len(side) == 1 else side for side in (config.low, config.high)]
        if any(len(side) != wide for side in sides):
            raise UserError(f"action bounds need 1 number or {wide}, one for each of an action")
        try:
            return ActionScale.of(*sides)
        except ValueError as error:
            raise UserError(str(error)) from None

    def _check_bounds(self) -> None:
        for index, actions in zip(self.chosen, self._all_actions(), strict=True):
            beyond = self.scale.outside(actions)
            if beyond is not None:
                row, axis = beyond
                raise DatasetError(
                    f"{self.config.source}, {self.log.episodes[index].name}: action "
                    f"{self.log.action_names[axis]!r} is {actions[beyond]:g} in control step "
                    f"{row}, outside [{self.scale.low[axis]:g}, {self.scale.high[axis]:g}]; give "
                    "wider bounds with --action-low and --action-high"
                )

    def _make_provenance(self, control_hz: float) -> Provenance:
        rows, wide = self.rows(0), len(self.log.action_names)
        return Provenance(
            env=self.config.source.name,
            policy="logged",
            seed=0,
            steps=max(len(edges) - 1 for edges in self._edges),
            size=self.config.size or self._natural_size(),
            video=self.config.video,
            control_dt=1 / control_hz,
            camera=short_name(self.log.camera),
            renderer="recorded",
            mujoco=None,
            action_names=self.log.action_names,
            action_low=[-1.0] * wide,
            action_high=[1.0] * wide,
            proprio_names=self.log.proprio_names,
            truth={name: values.shape[1] for name, values in rows.truth.items()},
            goalsight=goalsight.__version__,
            commit=git_commit(),
        )

    def _natural_size(self) -> int:
        """The shorter side of the first frame, at most `DEFAULT_SIZE`."""
        name = self.log.episodes[self.chosen[0]].name
        where = f"{self.config.source}, {name}, {self.log.camera}"
        frame = to_rgb(next(iter(self.log.frames(self.chosen[0]))), where)
        return int(min(*frame.shape[:2], DEFAULT_SIZE))


def short_name(key: str) -> str:
    """Name of a camera as a folder can have it: LeRobot's prefix goes, slashes become dots.

    >>> short_name("observation.images.top"), short_name("obs/front")
    ('top', 'obs.front')
    """
    return key.removeprefix("observation.images.").replace("/", ".")


def _size(video: Path) -> tuple[int, int]:
    """Width and height of a video [pixels]."""
    facts = video_facts(video)
    return facts.width, facts.height


def _without(episodes: list[LogEpisode], config: ImportConfig) -> list[int]:
    """Indices of the episodes to take."""
    names = [episode.name for episode in episodes]
    unknown = sorted(config.skip - set(names))
    if unknown:
        raise UserError(
            f"--skip: {config.source} has no episode {unknown[0]!r}; its first is {names[0]!r}"
        )
    chosen = [i for i, name in enumerate(names) if name not in config.skip]
    if not chosen:
        raise UserError(f"--skip leaves no episode of {config.source}")
    return chosen


@dataclass(frozen=True, kw_only=True)
class ImportSummary:
    """What an import did."""

    path: Path
    """Folder of the dataset."""
    format: str
    """Kind of log."""
    episodes: int
    """Episodes in the dataset."""
    kept: int
    """Of them, those that were there before."""
    frames: int
    """Frames in the dataset."""
    control_hz: float
    """Control rate [Hz]."""
    camera: str
    """Key of the frames in the log."""
    bounds_from: str
    """Where the bounds of the actions come from."""


def import_log(config: ImportConfig, progress: Progress = silent) -> ImportSummary:
    """Read a log and write a dataset.

    Args:
        config: what and how.
        progress: told how many episodes are written.

    Raises:
        DatasetError: if the log is missing or damaged, or lacks what is asked for.
        OutputError: if the folder holds something else, or an import with other settings.
        UserError: if a setting does not fit the log.
    """
    log = open_log(config.source, config.format, config.keys)
    try:
        with progress_bar("Reading") as reading:
            plan = ImportPlan(log, config, reading)
        with DatasetWriter(config.out, plan.provenance) as writer:
            kept = len(writer.records)
            _take_up(config.out, plan.record, kept)
            try:
                for number in range(kept, len(plan.chosen)):
                    writer.append(plan.episode(number, writer.staging))
                    progress(number + 1, len(plan.chosen))
            except BaseException:
                with suppress(OSError, UserError):  # the error that is on its way matters more
                    writer.finish()
                raise
            writer.finish()
            frames = writer.total_frames
    finally:
        log.close()
    return ImportSummary(
        path=config.out,
        format=log.format,
        episodes=len(plan.chosen),
        kept=kept,
        frames=frames,
        control_hz=plan.provenance.fps,
        camera=log.camera,
        bounds_from=plan.record.bounds_from,
    )


def _take_up(out: Path, record: ImportRecord, kept: int) -> None:
    """Leave the record, or check that what was imported before is part of the same."""
    found = read_record(out)
    if kept and (found is None or found.difference(record)):
        name = "a record" if found is None else found.difference(record)
        raise OutputError(
            f"{out} holds an import that differs in {name}; give the same log and settings to go "
            "on, or another --out"
        )
    if not kept:
        replace_json(out / RECORD, record.to_json())
