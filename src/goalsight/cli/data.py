"""`goalsight data`: look into datasets, check and merge them, import logs and export."""

from __future__ import annotations

import json as jsonlib
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from goalsight.errors import DatasetError, OutputError, UserError

if TYPE_CHECKING:
    from goalsight.data import Dataset
    from goalsight.data.importers import ExportSummary, ImportSummary


def info(path: Path, *, json: bool = False) -> None:
    """Say what a dataset holds and where it comes from.

    Args:
        path: Folder of the dataset.
        json: Print JSON for a machine to read.

    Example:
        goalsight data info runs/push-data
    """
    from goalsight.data import open_dataset

    dataset = open_dataset(path)
    card = _card(dataset)
    if json:
        print(jsonlib.dumps(card, indent=2))
        return
    width = max(len(name) for name in card)
    for name, value in card.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else value
        print(f"{name.replace('_', ' '):<{width}}  {text}")


def validate(path: Path, *, out: Path | None = None, fix: bool = False, json: bool = False) -> None:
    """Check every file of a dataset: checksums, columns, values, frame counts, totals.

    Names what is wrong with each episode. With --out the episodes that pass are written there as
    a dataset of their own; PATH stays as it is.

    Args:
        path: Folder of the dataset.
        out: Folder for the episodes that pass; must not exist.
        fix: Gone; says so.
        json: Print the problems as JSON.

    Raises:
        DatasetError: if something is wrong; every problem has been printed before.

    Example:
        goalsight data validate runs/push-data
    """
    from goalsight.data import open_dataset
    from goalsight.data import validate as check
    from goalsight.data.repair import open_damaged, write_good
    from goalsight.progress import progress_bar

    if fix:
        raise UserError(
            f"--fix is gone: `goalsight data validate {path} --out GOOD` writes the episodes that "
            "pass to a new folder"
        )
    if out is not None and out.exists():
        raise OutputError(f"{out} is already there; give --out a new folder")
    with progress_bar("Checking") as report:
        problems = check(path, report)
    wrong = [problem for problem in problems if not problem.warning]
    if out is not None:
        with progress_bar("Writing", "episodes") as report:
            write_good(path, out, problems, report)
    if json:
        found = {
            "path": str(path),
            "valid": not wrong,
            "episodes": len(open_damaged(path).dataset.records),
            "problems": [asdict(problem) for problem in problems],
            "good": None if out is None else str(out),
        }
        print(jsonlib.dumps(found, indent=2))
    else:
        for problem in problems:
            print(f"warning: {problem.message}" if problem.warning else problem.message)
    if wrong and out is None:
        count = "1 problem" if len(wrong) == 1 else f"{len(wrong)} problems"
        raise DatasetError(
            f"{path} has {count}; restore these files from a copy, write the good episodes to a "
            "new folder with --out, or collect again into an empty folder"
        )
    if not json:
        sound = open_dataset(path if out is None else out)
        print(
            f"{sound.path}: {len(sound.records)} episodes, {sound.total_frames} frames, all sound"
        )


def merge(*, data: list[Path], out: Path) -> None:
    """Make one dataset out of several of the same robot and camera.

    Every episode remembers which environment it is of. The old datasets stay as they are; videos
    are hard links where the file system has them, so that little room is taken.

    Args:
        data: Folder of a dataset; give it again for each of them, in order.
        out: Folder of the new one, not there yet or empty.

    Example:
        goalsight data merge --data runs/push-data --data runs/grasp-data --out runs/both
    """
    from goalsight.data import open_dataset
    from goalsight.data.merge import merge as write
    from goalsight.progress import progress_bar

    datasets = [open_dataset(path) for path in data]
    with progress_bar("Merging", "episodes") as progress:
        write(datasets, out, progress)
    merged = open_dataset(out)
    print(f"{out}: {len(merged.records)} episodes, {merged.total_frames} frames")


def report(
    path: Path, *, out: Path = Path("report.html"), window: int = 25, json: bool = False
) -> None:
    """Say what a dataset covers and whether it will support planning, on one page.

    Histograms of workspace and objects, contact rate, windows in which something moves, how far
    the state gives the action away, shares of policies, sample strips. Warns and says why. Works
    without simulator truth, too, and says what it cannot tell then.

    Args:
        path: Folder of the dataset.
        out: The page to write; it needs no other file and no network.
        window: Control steps of a window.
        json: Print numbers and warnings as JSON.

    Raises:
        UserError: if the dataset cannot be read or the page not written.

    Example:
        goalsight data report runs/push-data --out report.html
    """
    from goalsight.data import open_dataset
    from goalsight.data.report import judge, measure, write_page
    from goalsight.data.report.page import check_writable, sample
    from goalsight.progress import progress_bar

    check_writable(out)
    dataset = open_dataset(path)
    try:
        with progress_bar("Reading") as progress:
            measures = measure(dataset, window, progress)
    except ValueError as error:
        raise UserError(str(error)) from error
    with progress_bar("Choosing samples") as progress:
        strips = sample(dataset, progress)
    write_page(dataset, measures, strips, out)
    findings = judge(measures)
    if json:
        said = {"report": str(out), **measures.to_json(), "against": [asdict(f) for f in findings]}
        print(jsonlib.dumps(said, indent=2))
        return
    for finding in findings:
        print(f"{finding.title}. {finding.why}")
    if not findings:
        print("nothing measured stands against planning with this data")
    print(f"report: {out}")


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
            source=source,
            out=out,
            format=format,
            control_hz=control_hz,
            source_hz=source_hz,
            keys=Keys(camera=camera, action=action, state=state, truth=truth),
            actions_are=actions_are,
            size=size,
            fit=fit,
            video=video,
            low=_numbers(action_low, "--action-low"),
            high=_numbers(action_high, "--action-high"),
            skip=frozenset((skip or "").split(",")) - {""},
        )
    except ValueError as error:
        raise UserError(str(error)) from error
    with progress_bar("Importing") as report:
        summary = import_log(config, report)
    print(_summary_json(summary) if json else _import_in_words(summary))


def _import_in_words(summary: ImportSummary) -> str:
    before = f", {summary.kept} of them there before" if summary.kept else ""
    return (
        f"{summary.path}: {summary.episodes} episodes{before}, {summary.frames} frames of "
        f"{summary.camera} at {summary.control_hz:g} Hz\n"
        f"actions are scaled to [-1, 1] by {_ORIGIN[summary.bounds_from]}"
    )


def _summary_json(summary: ImportSummary | ExportSummary) -> str:
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
    print(_summary_json(summary) if json else words)


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


def _card(dataset: Dataset) -> dict[str, object]:
    """What `info` prints, in its order."""
    source = dataset.provenance
    return {
        "path": str(dataset.path),
        "episodes": len(dataset.records),
        "frames": dataset.total_frames,
        "episode_length": [int(dataset.episodes.min()), int(dataset.episodes.max())],
        "fps": dataset.fps,
        "size": dataset.size,
        "env": source.env,
        "policy": source.policy,
        **({"policies": _policies(dataset)} if source.mix else {}),
        "seed": source.seed,
        "video": source.video,
        "camera": source.camera,
        "other_cameras": source.cameras[1:],
        "factors": source.factors if isinstance(source.factors, str) else [*(source.factors or {})],
        "renderer": source.renderer,
        "mujoco": source.mujoco,
        "action": source.action_names,
        "proprio": source.proprio_names,
        "truth": dataset.truth_names,
        "megabytes": round(_size_of(dataset.path) / 1e6, 1),
        "goalsight": source.goalsight,
        "commit": source.commit,
        "fingerprint": dataset.fingerprint(),
    }


def _policies(dataset: Dataset) -> list[str]:
    """Episodes of each policy of a mix, most first."""
    counted = Counter(str(record.policy) for record in dataset.records)
    return [f"{name} {count}" for name, count in counted.most_common()]


def _size_of(path: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
