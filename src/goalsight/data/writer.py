"""Append episodes to a dataset so that a kill at any moment loses none that was committed.

An episode's files are written beside and renamed; `meta/info.json` comes last and is the commit
point: what it does not count was never there, and the next run writes over it.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from goalsight.data import format as layout
from goalsight.data.dataset import open_dataset, read_records
from goalsight.data.episode import Episode
from goalsight.data.format import Provenance
from goalsight.data.goals import write_goal
from goalsight.data.record import EpisodeRecord
from goalsight.data.stats import ensure_stats
from goalsight.data.tables import episode_table, parquet_bytes, write_episodes, write_tasks
from goalsight.errors import DatasetError, OutputError
from goalsight.io import (
    FolderLock,
    remove_folder,
    remove_unfinished,
    replace_file,
    replace_json,
    seal,
    sha256_of,
)

STAGING = ".partial"
"""Folder inside the dataset for files of episodes in flight."""
OURS = {"meta", "data", "videos", "cache", "goals", STAGING}


def check_output(path: Path) -> Provenance | None:
    """Look at a folder before anything is written to it.

    Returns:
        The provenance of the dataset that is there, or None if there is nothing yet.

    Raises:
        OutputError: if the folder holds something else.
    """
    if not path.exists():
        return None
    if not path.is_dir():
        raise OutputError(f"{path} is a file; give --out a folder")
    foreign = sorted(
        entry.name
        for entry in path.iterdir()
        if entry.name not in OURS and not entry.name.startswith(".")
    )
    committed = (path / layout.INFO).is_file()
    ours = (path / layout.PROVENANCE).is_file()
    if committed and not ours:
        raise OutputError(
            f"{path} holds a dataset that goalsight did not write; give --out an empty folder"
        )
    if foreign and not committed:
        raise OutputError(
            f"{path} already holds something else ({foreign[0]}); give --out an empty folder"
        )
    if not ours:
        _refuse_foreign_files(path)
    if not committed:
        _refuse_lost_info(path)
        return None
    return Provenance.from_json(
        layout.read_meta(path / layout.PROVENANCE), path / layout.PROVENANCE
    )


def _refuse_foreign_files(path: Path) -> None:
    """Folders named like ours but without our provenance must be empty of files."""
    for name in OURS - {STAGING}:
        for file in (path / name).rglob("*"):
            if file.is_file() and not file.name.startswith("."):
                raise OutputError(
                    f"{path} already holds something else ({file.relative_to(path)}); give --out "
                    "an empty folder"
                )


def _refuse_lost_info(path: Path) -> None:
    """Without `info.json` nothing counts as committed, but a dataset that lost it is not empty."""
    records = path / layout.RECORDS
    recorded = len(records.read_text(encoding="utf-8").splitlines()) if records.is_file() else 0
    if recorded > 1:  # one is what a run leaves that was killed in its first commit
        raise OutputError(
            f"{path} holds {recorded} episodes but {layout.INFO} is missing; restore it, or give "
            "--out an empty folder"
        )


class DatasetWriter:
    """The one writer of a dataset; a context manager that holds its lock."""

    def __init__(self, path: Path, provenance: Provenance) -> None:
        """Create the dataset, or go on with the one that is there.

        Args:
            path: its folder.
            provenance: what every episode of it shares.

        Raises:
            OutputError: if the folder holds something else, a dataset made with other settings,
                or another run is writing to it.
            OSError: if it cannot be written.
        """
        self.path = path
        self.provenance = provenance
        found = check_output(path)
        if found is not None:
            _check_same(path, found, provenance)
            self.provenance = found
        path.mkdir(parents=True, exist_ok=True)
        self._lock = FolderLock(path, who="goalsight collect")
        try:
            self.records = self._recover() if found is not None else self._create()
            self._clear_staging()
            self.staging.mkdir()
        except BaseException:
            self._lock.release()
            raise
        self._starts = layout.starts([record.length for record in self.records])

    def __enter__(self) -> DatasetWriter:
        """The writer itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove what was in flight and release the lock."""
        self._clear_staging()
        self._lock.release()

    @property
    def staging(self) -> Path:
        """Folder for files of episodes in flight, on the same file system."""
        return self.path / STAGING

    @property
    def total_frames(self) -> int:
        """Rows committed so far."""
        return self._starts[-1]

    def append(self, episode: Episode) -> None:
        """Commit the next episode.

        Raises:
            ValueError: if it is not the next one or does not fit the dataset.
            OSError: if it cannot be written; what was committed before stays.
        """
        self._check(episode)
        for camera, file in self._files(episode).items():
            frames = self.path / layout.frames_path(self.provenance, episode.index, camera)
            frames.parent.mkdir(parents=True, exist_ok=True)
            file.replace(frames)
        data = self.path / layout.data_path(episode.index)
        table = episode_table(episode, self._starts[-1], self.provenance.fps)
        replace_file(data, parquet_bytes(table))
        record = EpisodeRecord(
            episode=episode.index,
            length=episode.length,
            frames=episode.length,
            data_sha256=sha256_of(data),
            frames_sha256=episode.frames_sha256,
            policy=episode.policy,
            origin=episode.origin,
            goal=write_goal(self.path, episode),
            other_sha256={n: digest for n, (_, digest) in episode.other_frames.items()} or None,
            factors=episode.factors or None,
            env=episode.env,
        )
        with (self.path / layout.RECORDS).open("a", encoding="utf-8") as lines:
            lines.write(record.to_line())
        lengths = [record.length for record in (*self.records, record)]
        write_episodes(self.path, self.provenance, lengths)
        replace_json(self.path / layout.INFO, layout.info(self.provenance, lengths))
        self.records.append(record)
        self._starts.append(self._starts[-1] + record.length)

    def finish(self) -> None:
        """Bring `meta/stats.json` up to date; does nothing without episodes.

        Raises:
            OSError: if it cannot be written.
        """
        if self.records:
            ensure_stats(open_dataset(self.path))

    def _files(self, episode: Episode) -> dict[str, Path]:
        """Frames file of each camera."""
        others = {name: path for name, (path, _) in episode.other_frames.items()}
        return {self.provenance.camera: episode.frames_file} | others

    def _check(self, episode: Episode) -> None:
        length, p = episode.length, self.provenance
        if list(episode.other_frames) != p.cameras[1:]:
            raise ValueError(
                f"the dataset has cameras {p.cameras}, episode {episode.index} has "
                f"{[p.camera, *episode.other_frames]}"
            )
        if episode.index != len(self.records):
            raise ValueError(
                f"the next episode is {len(self.records)}, got {episode.index}; append in order"
            )
        shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
            "action": (episode.actions.shape, (length, len(p.action_names))),
            "proprio": (episode.proprio.shape, (length, len(p.proprio_names))),
            "success": (episode.success.shape, (length,)),
        }
        for name, width in p.truth.items():
            shapes[f"state.{name}"] = (episode.truth[name].shape, (length, width))
        for name, (got, wanted) in shapes.items():
            if got != wanted or length < 1:
                raise ValueError(f"{name} must have shape {wanted} and rows, got {got}")

    def _create(self) -> list[EpisodeRecord]:
        replace_json(self.path / layout.PROVENANCE, seal(self.provenance.to_json()))
        write_tasks(self.path, [self.provenance.task])
        replace_file(self.path / layout.RECORDS, b"")
        return []

    def _recover(self) -> list[EpisodeRecord]:
        """Records that count; what a killed run wrote after its last commit is cut off."""
        count = int(layout.read_meta(self.path / layout.INFO)["total_episodes"])
        records = list(read_records(self.path, count))
        lines = [record.to_line() for record in records]
        replace_file(self.path / layout.RECORDS, "".join(lines).encode())
        lengths = [record.length for record in records]
        write_episodes(self.path, self.provenance, lengths)
        for leftover in (
            layout.data_path(count),
            *(layout.frames_path(self.provenance, count, name) for name in self.provenance.cameras),
            layout.episodes_path((count - 1) // layout.EPISODES_PER_FILE + 1),
            layout.goal_path(count),
        ):
            (self.path / leftover).unlink(missing_ok=True)
            remove_unfinished((self.path / leftover).parent)
        remove_unfinished((self.path / layout.INFO).parent)
        return records

    def _clear_staging(self) -> None:
        remove_folder(self.staging)


def _check_same(path: Path, found: Provenance, wanted: Provenance) -> None:
    name = found.difference(wanted)
    if name is not None:
        raise OutputError(
            f"{path} holds a dataset with {name} {getattr(found, name)!r}, not "
            f"{getattr(wanted, name)!r}; use the same settings to append, or another --out"
        )


def recount(path: Path) -> int:
    """Episodes committed in a folder, 0 if there is no dataset."""
    try:
        return int(layout.read_meta(path / layout.INFO)["total_episodes"])
    except DatasetError:
        return 0
