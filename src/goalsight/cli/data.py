"""`goalsight data info` and `goalsight data validate`: look into a dataset."""

from __future__ import annotations

import json as jsonlib
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from goalsight.errors import DatasetError, OutputError

if TYPE_CHECKING:
    from goalsight.data import Dataset, Problem


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


def validate(path: Path, *, fix: bool = False, json: bool = False) -> None:
    """Check every file of a dataset: checksums, columns, values, frame counts, totals.

    Names what is wrong with each episode. With --fix the bad ones are taken out: the dataset is
    written anew from the others, and the old one is kept, every file of it, in PATH.quarantine.

    Args:
        path: Folder of the dataset.
        fix: Take bad episodes out and put wrong totals right; deletes nothing.
        json: Print the problems as JSON.

    Raises:
        DatasetError: if something is wrong; every problem has been printed before.

    Example:
        goalsight data validate runs/push-data
    """
    from goalsight.data import delayed_bar
    from goalsight.data import validate as check

    with delayed_bar("Checking") as report:
        problems = check(path, report)
    wrong = [problem for problem in problems if not problem.warning]
    kept = _set_aside(path, problems) if fix and wrong else None
    if json:
        print(jsonlib.dumps(_findings(path, problems, kept), indent=2))
    else:
        for problem in problems:
            print(f"warning: {problem.message}" if problem.warning else problem.message)
    if wrong and kept is None:
        count = "1 problem" if len(wrong) == 1 else f"{len(wrong)} problems"
        raise DatasetError(
            f"{path} has {count}; restore these files from a copy, take the bad episodes out with "
            "--fix, or collect again into an empty folder"
        )
    if not json:
        print(_verdict(path, problems, kept))


def _set_aside(path: Path, problems: list[Problem]) -> Path:
    """Take the bad episodes out; a full disk leaves everything as it was."""
    from goalsight.data import delayed_bar
    from goalsight.data.quarantine import set_aside

    try:
        with delayed_bar("Writing") as report:
            return set_aside(path, problems, report)
    except OSError as error:
        raise OutputError(
            f"cannot write beside {path}: {error.strerror or error}; the dataset is as it was"
        ) from error


def _findings(path: Path, problems: list[Problem], kept: Path | None) -> dict[str, object]:
    """What `validate --json` prints; `valid` speaks of the dataset as it is now."""
    from goalsight.data.lenient import open_damaged

    return {
        "path": str(path),
        "valid": kept is not None or all(problem.warning for problem in problems),
        "episodes": len(open_damaged(path).dataset.records),
        "problems": [asdict(problem) for problem in problems],
        "quarantine": None if kept is None else str(kept),
    }


def _verdict(path: Path, problems: list[Problem], kept: Path | None) -> str:
    """One line about a dataset that is sound, or has been made so."""
    from goalsight.data import open_dataset
    from goalsight.data.validation import bad_episodes

    dataset = open_dataset(path)
    line = f"{path}: {len(dataset.records)} episodes, {dataset.total_frames} frames, all sound"
    if kept is None:
        return line
    bad = bad_episodes(problems)
    taken = f"; {len(bad)} taken out" if bad else ""
    return f"{line}{taken}; the dataset as it was is in {kept}"


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
