"""A log becomes a dataset, episode by episode; killed and started again it goes on."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from goalsight.data.importers.config import ImportConfig
from goalsight.data.importers.opening import open_log
from goalsight.data.importers.plan import ImportPlan
from goalsight.data.importers.record import RECORD, ImportRecord, read_record
from goalsight.data.writer import DatasetWriter
from goalsight.errors import OutputError, UserError
from goalsight.io import replace_json
from goalsight.progress import Progress, progress_bar, silent


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
