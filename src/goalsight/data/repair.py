"""Open a dataset that may be damaged, and write its good episodes as a dataset of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goalsight.data import format as layout
from goalsight.data.dataset import Dataset, count_rows, read_provenance, wrong_totals
from goalsight.data.format import EpisodeRecord
from goalsight.data.importers.record import RECORD, read_record
from goalsight.data.merge import moved
from goalsight.data.writer import DatasetWriter
from goalsight.errors import DatasetError
from goalsight.io import check_free, new_folder, replace_json
from goalsight.progress import Progress, silent

if TYPE_CHECKING:
    from goalsight.data.validation import Problem

LOST = ""
"""Checksum of a file whose record is damaged: no file has it."""


@dataclass(frozen=True)
class Damaged:
    """A dataset, and what is wrong with what it says about itself."""

    dataset: Dataset
    """Every episode that is recorded, whatever the totals say."""
    totals: list[str]
    """What `meta/info.json` says wrongly, one line each."""
    records: dict[int, str]
    """Episodes whose record is damaged, and how."""


def open_damaged(path: Path | str) -> Damaged:
    """Open what is left of a dataset.

    Raises:
        DatasetError: if there is none, it is of another kind, or nobody can say where it comes
            from (`meta/goalsight.json` is damaged).
    """
    root = Path(path)
    if not (root / layout.INFO).is_file() and not (root / layout.PROVENANCE).is_file():
        raise DatasetError(f"no dataset in {root} (meta/info.json is missing)")
    wrong: list[str] = []
    try:
        info = layout.read_meta(root / layout.INFO)
    except DatasetError as error:
        info = {}
        wrong.append(str(error))
    version = info.get("codebase_version")
    if version is None and not wrong:
        wrong.append(f"{root / layout.INFO}: codebase_version is missing")
    elif version != layout.CODEBASE_VERSION and not wrong:
        raise DatasetError(
            f"{root / layout.INFO}: codebase_version {version!r} is not {layout.CODEBASE_VERSION}, "
            "which goalsight reads"
        )
    provenance = read_provenance(root)
    records, damaged = _records(root, info)
    if not records:
        raise DatasetError(f"{root / layout.RECORDS} records no episode; collect again")
    dataset = Dataset(root, info, provenance, records)
    if not wrong:
        wrong = [*_wrong_count(dataset), *wrong_totals(dataset), *_wrong_layout(dataset)]
    return Damaged(dataset, wrong, damaged)


def _records(root: Path, info: dict[str, Any]) -> tuple[tuple[EpisodeRecord, ...], dict[int, str]]:
    """Every record that counts, one that is damaged as a placeholder; and how it is damaged."""
    path = root / layout.RECORDS
    try:
        lines = path.read_bytes().decode("utf-8", "replace").split("\n")
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from None
    cut_off = lines.pop()  # nothing, or what a killed run left of its last line
    damaged: dict[int, str] = {}

    def read(episode: int, line: str) -> EpisodeRecord:
        try:
            record = EpisodeRecord.from_line(line, path)
            if record.episode != episode:
                raise DatasetError(f"{path}: the record says episode {record.episode!r}")
        except DatasetError as error:
            damaged[episode] = f"{error} (line {episode + 1})"
            return _placeholder(root, episode)
        return record

    records = [read(episode, line) for episode, line in enumerate(lines)]
    count = _committed(info, records)
    if cut_off.strip() and count is None:
        records.append(read(len(records), cut_off))
        count = _committed(info, records)
    count = len(records) if count is None else count
    return tuple(records[:count]), {e: said for e, said in damaged.items() if e < count}


def _placeholder(root: Path, episode: int) -> EpisodeRecord:
    """A record that no file fits, as long as the episode's table."""
    try:
        length = max(1, count_rows(root / layout.data_path(episode)))
    except DatasetError:
        length = 1
    return EpisodeRecord(episode, length, length, LOST, LOST)


def _committed(info: dict[str, Any], records: list[EpisodeRecord]) -> int | None:
    """Records that count according to `info.json`; None if its totals do not agree with any."""
    total, frames = info.get("total_episodes"), info.get("total_frames")
    if not isinstance(total, int) or not 0 < total <= len(records):
        return None
    return total if sum(record.length for record in records[:total]) == frames else None


def _wrong_count(dataset: Dataset) -> Iterator[str]:
    said, count = dataset.info.get("total_episodes"), len(dataset.records)
    if said != count:
        yield f"{dataset.path / layout.INFO}: total_episodes {said!r} where {count} are recorded"


def _wrong_layout(dataset: Dataset) -> Iterator[str]:
    """What LeRobot reads in `info.json` and we know without."""
    expected = layout.info(dataset.provenance, dataset.episodes.tolist())
    keys = ("total_tasks", "chunks_size", "data_files_size_in_mb", "video_files_size_in_mb")
    for key in (*keys, "splits", "data_path", "video_path"):
        if dataset.info.get(key) != expected[key]:
            got = dataset.info.get(key)
            yield f"{dataset.path / layout.INFO}: {key} {got!r} where {expected[key]!r} is right"


def write_good(
    path: str | Path, out: str | Path, problems: Sequence[Problem], progress: Progress = silent
) -> None:
    """Write the sound episodes of a dataset, which may be damaged, as a dataset of their own.

    They are numbered anew and remember what the seed made them from, so that `goalsight collect`
    can go on there.

    Args:
        path: folder of the dataset.
        out: folder of the new one, not there yet or empty.
        problems: what `validate` found.
        progress: told how many episodes are written.

    Raises:
        DatasetError: if no episode is sound, or what an import remembers is damaged.
        OutputError: if there is something in `out` already.
        OSError: if there is no room.
    """
    path, out = Path(path), Path(out)
    check_free(out)
    dataset, log = open_damaged(path).dataset, read_record(path)
    bad = set(bad_episodes(problems))
    good = [episode for episode in range(len(dataset.records)) if episode not in bad]
    if not good:
        raise DatasetError(f"no episode of {path} is sound; nothing was written")
    with new_folder(out) as building:
        with DatasetWriter(building, dataset.provenance) as writer:
            for index, episode in enumerate(good):
                writer.append(moved(dataset, episode, index, writer.staging))
                progress(index + 1, len(good))
            writer.finish()
        if log is not None:
            names = [log.episode_names[episode] for episode in good]
            tasks = [log.tasks[episode] for episode in good]
            kept = replace(log, episode_names=names, tasks=tasks)
            replace_json(building / RECORD, kept.to_json())


def bad_episodes(problems: Sequence[Problem]) -> list[int]:
    """Episodes that have a problem, warnings apart, in order."""
    return sorted({p.episode for p in problems if p.episode is not None and not p.warning})
