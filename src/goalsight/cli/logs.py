"""`goalsight data import` and `goalsight data export`: logs in, LeRobot v3 out."""

from __future__ import annotations

import json as jsonlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from goalsight.errors import UserError

if TYPE_CHECKING:
    from goalsight.data.importers import ExportSummary, ImportSummary


def import_(
    source: Path,
    *,
    out: Path,
    format: Literal["auto", "lerobot", "hdf5", "npz", "minari", "aloha", "folder"] = "auto",  # noqa: A002
    camera: str | None = None,
    action: str | None = None,
    state: str | None = None,
    truth: str | None = None,
    control_hz: float | None = None,
    source_hz: float | None = None,
    actions_are: Literal["targets", "deltas", "velocities"] = "targets",
    size: int | None = None,
    fit: Literal["crop", "squash"] = "crop",
    action_low: str | None = None,
    action_high: str | None = None,
    skip: str | None = None,
    video: Literal["h264", "none"] = "h264",
    json: bool = False,
) -> None:
    """Make a dataset out of a log: LeRobot, robomimic, OGBench, Minari, or mp4 and csv.

    Actions are scaled to [-1, 1] by the bounds that are given or that the log declares, else by
    what its data reach; the scale is kept, and `goalsight data export` undoes it. Run again with
    the same settings, an import that was stopped goes on.

    Args:
        source: File or folder of the log.
        out: Folder of the dataset.
        format: What the log is; auto looks. hdf5 is robomimic's layout, aloha one HDF5 file an
            episode, npz OGBench's or D4RL's, folder holds NAME.mp4 and NAME.csv.
        camera: Key of the camera, if there are several; its last part is enough.
        action: Feature that is the action; columns separated by commas for a folder.
        state: Features or columns, separated by commas, that become proprio; none for no proprio.
        truth: Features or columns, separated by commas, kept as simulator truth for probes.
        control_hz: Control rate of the dataset [Hz]; the log's own by default, never above it.
        source_hz: Rate of a log that does not say it [Hz].
        actions_are: What to do with the actions of several rows that make one control step:
            targets keep the last, deltas add up, velocities are averaged.
        size: Height and width of the frames [pixels]; by default the shorter side, at most 224.
        fit: How pictures become square: crop the longer side, or squash it.
        action_low: Lower bounds of an action in the log's units, one number or one per axis, as in
            --action-low=-1,-1,0.
        action_high: Upper bounds.
        skip: Names of episodes to leave out, separated by commas.
        video: h264 writes an mp4 per episode; none keeps decoded frames, without any loss.
        json: Print the summary as JSON.

    Example:
        goalsight data import my-lerobot-set --out runs/mine --camera top --control-hz 10
    """
    from goalsight.data.importers import ImportConfig, Keys, import_log
    from goalsight.progress import progress_bar

    try:
        config = ImportConfig(
            source=source, out=out, format=format, control_hz=control_hz, source_hz=source_hz,
            keys=Keys(camera=camera, action=action, state=state, truth=truth),
            actions_are=actions_are, size=size, fit=fit, video=video,
            low=_numbers(action_low, "--action-low"), high=_numbers(action_high, "--action-high"),
            skip=frozenset((skip or "").split(",")) - {""},
        )  # fmt: skip
    except ValueError as error:
        raise UserError(str(error)) from error
    with progress_bar("Importing") as report:
        summary = import_log(config, report)
    print(_as_json(summary) if json else _in_words(summary))


def _in_words(summary: ImportSummary) -> str:
    before = f", {summary.kept} of them there before" if summary.kept else ""
    return (
        f"{summary.path}: {summary.episodes} episodes{before}, {summary.frames} frames of "
        f"{summary.camera} at {summary.control_hz:g} Hz\n"
        f"actions are scaled to [-1, 1] by {_ORIGIN[summary.bounds_from]}"
    )


def _as_json(summary: ImportSummary | ExportSummary) -> str:
    return jsonlib.dumps(asdict(summary) | {"path": str(summary.path)})


_ORIGIN = {
    "given": "the bounds given",
    "declared": "the bounds that the log declares",
    "convention": "the bounds that this format has by convention, [-1, 1]",
    "data": "the least and the greatest value in the log",
}


def export(path: Path, *, out: Path, json: bool = False) -> None:
    """Write a dataset as plain LeRobot v3: episode and feature names kept, actions in own units.

    Args:
        path: Folder of the dataset.
        out: Folder of the LeRobot dataset, not there yet or empty.
        json: Print the summary as JSON.

    Example:
        goalsight data export runs/mine --out runs/mine-lerobot
    """
    from goalsight.data import open_dataset
    from goalsight.data.importers import export_dataset
    from goalsight.progress import progress_bar

    dataset = open_dataset(path)
    with progress_bar("Exporting") as report:
        summary = export_dataset(dataset, out, report)
    words = (
        f"{summary.path}: LeRobot v3, {summary.episodes} episodes, {summary.frames} frames in "
        f"{summary.video_key}"
    )
    print(_as_json(summary) if json else words)


def _numbers(text: str | None, flag: str) -> tuple[float, ...] | None:
    """Numbers separated by commas.

    Raises:
        UserError: if one is no number.
    """
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"{flag} takes numbers separated by commas, got {text!r}") from None
