"""What an import is going to write, known before its first frame is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

import goalsight
from goalsight.data.format import Episode, Provenance
from goalsight.data.importers.config import DEFAULT_SIZE, ImportConfig
from goalsight.data.importers.pictures import Frame, refuse_stack, to_rgb, to_square
from goalsight.data.importers.record import ImportRecord
from goalsight.data.importers.resample import rate_ratio, resample, step_edges
from goalsight.data.importers.scale import ActionScale
from goalsight.data.importers.source import Array, Log, LogEpisode, Rows
from goalsight.data.importers.videos import video_facts
from goalsight.errors import DatasetError, UserError
from goalsight.io import copy_new, npy_bytes, sha256_of
from goalsight.progress import Progress, silent
from goalsight.provenance import git_commit

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
