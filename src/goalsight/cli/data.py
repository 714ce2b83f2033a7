"""`goalsight data info` and `goalsight data validate`: look into a dataset."""

from __future__ import annotations

import json as jsonlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from goalsight.errors import DatasetError

if TYPE_CHECKING:
    from goalsight.data import Dataset


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


def validate(path: Path, *, json: bool = False) -> None:
    """Check every file of a dataset: checksums, columns, values, frame counts, totals.

    Args:
        path: Folder of the dataset.
        json: Print the problems as JSON.

    Raises:
        DatasetError: if something is wrong; every problem has been printed before.

    Example:
        goalsight data validate runs/push-data
    """
    from goalsight.data import delayed_bar, open_dataset
    from goalsight.data import validate as check

    with delayed_bar("Checking") as report:
        problems = check(path, report)
    dataset = open_dataset(path)
    if json:
        found = {
            "path": str(path),
            "valid": not problems,
            "episodes": len(dataset.records),
            "problems": [asdict(problem) for problem in problems],
        }
        print(jsonlib.dumps(found, indent=2))
    else:
        for problem in problems:
            print(problem.message)
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise DatasetError(
            f"{path} has {count}; restore these files from a copy, or collect again into an "
            "empty folder"
        )
    if not json:
        print(f"{path}: {len(dataset.records)} episodes, {dataset.total_frames} frames, all sound")


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
        "seed": source.seed,
        "video": source.video,
        "camera": source.camera,
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


def _size_of(path: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
