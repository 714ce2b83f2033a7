"""Take bad episodes out of a dataset without deleting anything.

The good ones are written beside as a dataset of their own (videos are hard links), which then
changes places with the old one in a single step of the file system. The old dataset, every file of
it, is what lies in quarantine.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path

from goalsight.data.dataset import Dataset
from goalsight.data.files import replace_file, replace_json
from goalsight.data.lenient import open_damaged
from goalsight.data.logs.record import RECORD, read_record
from goalsight.data.moving import link_or_copy, moved
from goalsight.data.progress import Report, silent
from goalsight.data.record import EpisodeRecord
from goalsight.data.validation import Problem, bad_episodes
from goalsight.data.writer import OURS, DatasetWriter, lock
from goalsight.errors import DatasetError

PROBLEMS = "problems.json"
"""File in a quarantined dataset that says what was wrong with it."""
BUILDING = ".building"
"""Folder in the quarantine for a dataset that is not whole yet."""


def set_aside(path: Path, problems: Sequence[Problem], progress: Report = silent) -> Path:
    """Write a dataset anew from its sound episodes and keep the old one in quarantine.

    A kill at any moment leaves the old dataset or the new one in its place. The episodes that
    remain are numbered anew and remember what the seed made them from, so that `goalsight
    collect` can go on.

    Args:
        path: folder of the dataset.
        problems: what `validate` found.
        progress: told how many episodes are written.

    Returns:
        Where the old dataset is now: `<path>.quarantine/1`, or the next number that is free.

    Raises:
        DatasetError: if no episode is sound.
        OutputError: if another run is writing to the dataset.
        OSError: if there is no room; the dataset is as it was then.
    """
    path = path.resolve()
    quarantine = path.with_name(f"{path.name}.quarantine")
    held = lock(path)
    try:
        dataset = open_damaged(path).dataset
        bad = set(bad_episodes(problems))
        good = [episode for episode in range(len(dataset.records)) if episode not in bad]
        if not good:
            raise DatasetError(f"no episode of {path} is sound; nothing was changed")
        building = quarantine / BUILDING
        shutil.rmtree(building, ignore_errors=True)  # of a killed run; links and copies, no more
        _build(dataset, good, building, progress)
        _carry_import(path, building, good)
        _carry_over(path, building)
        place = _next_place(quarantine)
        building.rename(place)
        exchange(path, place)
    finally:
        os.close(held)
    listed = [asdict(problem) for problem in problems]
    replace_file(place / PROBLEMS, (json.dumps(listed, indent=2) + "\n").encode())
    return place


def _build(dataset: Dataset, good: Sequence[int], out: Path, progress: Report) -> None:
    """Write the good episodes as a new dataset."""
    with DatasetWriter(out, dataset.provenance) as writer:
        for index, episode in enumerate(good):
            writer.append(moved(dataset, episode, index, writer.staging))
            progress(index + 1, len(good))
        writer.finish()
        _check_carried(dataset, good, writer.records)


def _check_carried(dataset: Dataset, good: Sequence[int], records: Sequence[EpisodeRecord]) -> None:
    """Whatever a record says beyond its number and its table must be in the new one.

    Raises:
        DatasetError: if something is missing; the old dataset is still in its place.
    """
    renumbered = {"episode", "data_sha256", "origin"}
    for episode, new in zip(good, records, strict=True):
        for field in fields(EpisodeRecord):
            was, now = (_told(getattr(r, field.name)) for r in (dataset.records[episode], new))
            if field.name not in renumbered and was != now:
                raise DatasetError(
                    f"{field.name} of episode {episode} cannot be carried over; nothing was changed"
                )


def _told(value: object) -> object:
    """A field without the checksum of a picture that is written anew."""
    if isinstance(value, dict):
        return {name: item for name, item in value.items() if name != "image_sha256"}
    return value


def _carry_import(old: Path, new: Path, good: Sequence[int]) -> None:
    """What an import remembers of its log, for the episodes that stay.

    Raises:
        DatasetError: if that record is damaged; the old dataset is still in its place.
    """
    record = read_record(old)
    if record is None:
        return
    kept = replace(
        record,
        episode_names=[record.episode_names[episode] for episode in good],
        tasks=[record.tasks[episode] for episode in good],
    )
    replace_json(new / RECORD, kept.to_json())


def _carry_over(old: Path, new: Path) -> None:
    """What else lies in the folder (notes, say) belongs to its owner and stays in its place."""
    for entry in old.iterdir():
        if entry.name in OURS:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.copytree(entry, new / entry.name, symlinks=True, copy_function=link_or_copy)
        elif entry.is_symlink():
            (new / entry.name).symlink_to(entry.readlink())
        else:
            link_or_copy(entry, new / entry.name)


def _next_place(quarantine: Path) -> Path:
    number = 1
    while (quarantine / str(number)).exists():
        number += 1
    return quarantine / str(number)


def exchange(a: Path, b: Path) -> None:
    """Let two folders of one file system change places, in one step where the system can.

    Where it cannot (few file systems), three renames do it; killed in between, both folders are
    whole, and one of them lies beside as `<b>.old`.

    Raises:
        OSError: if the folders cannot be renamed.
    """
    if _exchange_at_once(a, b):
        return
    aside = b.with_name(f"{b.name}.old")
    a.rename(aside)
    try:
        b.rename(a)
    except OSError:
        aside.rename(a)
        raise
    aside.rename(b)


def _exchange_at_once(a: Path, b: Path) -> bool:
    """renameat2(2) with RENAME_EXCHANGE on Linux, renamex_np(2) with RENAME_SWAP on macOS."""
    here, swap = -100, 2  # AT_FDCWD; both systems' flag is 2
    libc = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(a), os.fsencode(b)
    if sys.platform == "darwin":
        return hasattr(libc, "renamex_np") and libc.renamex_np(*names, swap) == 0
    if not hasattr(libc, "renameat2"):
        return False
    return bool(libc.renameat2(here, names[0], here, names[1], swap) == 0)
