"""Datasets of robot-arm rollouts: collect, open, check, cut into windows.

On disk a dataset is LeRobot v3 (parquet and mp4) plus provenance and checksums of our own. Names
below are imported when first asked for, so that collect workers never load PyTorch. `collect`
itself lives in `goalsight.data.collect`, the only part that knows environments.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from goalsight.data.dataset import (
        Dataset,
        action_statistics,
        open_dataset,
        proprio_statistics,
        split_episodes,
    )
    from goalsight.data.format import Provenance
    from goalsight.data.frames import FrameCache
    from goalsight.data.validation import Problem, validate
    from goalsight.data.windows import Windows

__all__ = [
    "Dataset",
    "FrameCache",
    "Problem",
    "Provenance",
    "Windows",
    "action_statistics",
    "open_dataset",
    "proprio_statistics",
    "split_episodes",
    "validate",
]

_HOME = {
    "Dataset": "dataset",
    "FrameCache": "frames",
    "Problem": "validation",
    "Provenance": "format",
    "Windows": "windows",
    "action_statistics": "dataset",
    "open_dataset": "dataset",
    "proprio_statistics": "dataset",
    "split_episodes": "dataset",
    "validate": "validation",
}


def __getattr__(name: str) -> object:
    """Import a public name from its module when it is first used.

    Raises:
        AttributeError: if there is no such name here.
    """
    if name not in _HOME:
        raise AttributeError(f"goalsight.data has no {name!r}; it has: {', '.join(sorted(_HOME))}")
    value: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Names a reader may use, whether imported yet or not."""
    return sorted(__all__)
