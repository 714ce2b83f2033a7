"""Pictures of every task: starts, goals, the hand's view, and the same starts at each level."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from goalsight.io import replacing
from goalsight.progress import Progress, silent
from goalsight.report.sheet import sheet

if TYPE_CHECKING:
    from PIL.Image import Image

SEEDS = 6
"""Columns of a sheet."""


def write_pictures(
    folder: Path, tasks: list[str], size: int, progress: Progress = silent
) -> list[Path]:
    """Write a sheet for each task; one of that name is replaced.

    Args:
        folder: where to.
        tasks: Gymnasium ids.
        size: height and width of each picture [pixels].
        progress: told how many are written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, task in enumerate(tasks, start=1):
        path = folder / f"{short_name(task)}.png"
        with replacing(path) as beside:
            task_sheet(task, size).save(beside, format="PNG", optimize=True)
        paths.append(path)
        progress(number, len(tasks))
    return paths


def short_name(task: str) -> str:
    """`pick-place` for `Goalsight/PickPlace-v0`, as manifests are named."""
    name = task.partition("/")[2].partition("-")[0]
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


def task_sheet(task: str, size: int) -> Image:
    """Starts and goals of some seeds, and the same seeds at every level of variation."""
    import gymnasium

    from goalsight_envs.base import ArmEnv
    from goalsight_envs.cameras import Pixels
    from goalsight_envs.factors import LEVELS

    rows: dict[str, list[Pixels]] = {}
    for level in ("", *LEVELS):
        env = gymnasium.make(
            task, size=size, cameras=("front", "wrist"), factors=level or None,
            disable_env_checker=True,
        )  # fmt: skip
        inner = env.unwrapped
        assert isinstance(inner, ArmEnv)
        starts, goals, hand = [], [], []
        for seed in range(SEEDS):
            observation, _ = env.reset(seed=seed)
            starts.append(observation["pixels"])
            hand.append(observation["pixels_wrist"])
            goals.append(inner.goal_image())
        env.close()
        rows |= {level: starts} if level else {"start": starts, "goal": goals, "wrist": hand}
    return sheet(rows, [f"seed {seed}" for seed in range(SEEDS)])
