"""What the episodes of a goal-seeking policy were after: one picture an episode."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from goalsight.data import format as layout
from goalsight.data.dataset import Dataset
from goalsight.data.episode import Episode
from goalsight.errors import DatasetError
from goalsight.io import replace_file, sha256_of


def write_goal(root: Path, episode: Episode) -> dict[str, Any] | None:
    """Write the picture of what an episode sought.

    Returns:
        What its record says of it, or None if it sought nothing.
    """
    if episode.goal is None:
        return None
    path = root / layout.goal_path(episode.index)
    buffer = io.BytesIO()
    Image.fromarray(episode.goal.image).save(buffer, "png")
    replace_file(path, buffer.getvalue())
    return {
        "image_sha256": sha256_of(path),
        "is_success": episode.goal.is_success,
        "frame": episode.goal.frame,
    }


def read_goal(dataset: Dataset, episode: int) -> NDArray[np.uint8]:
    """(H, W, 3) the goal image that an episode's policy was shown.

    Raises:
        DatasetError: if it sought nothing, or the file is missing, damaged or another.
    """
    goal = dataset.records[episode].goal
    path = dataset.path / layout.goal_path(episode)
    if goal is None:
        raise DatasetError(f"episode {episode} of {dataset.path} was not after a goal image")
    if not path.is_file() or sha256_of(path) != goal["image_sha256"]:
        raise DatasetError(
            f"{path} is missing or not the file that was written; restore it or collect again"
        )
    return np.array(Image.open(path))
