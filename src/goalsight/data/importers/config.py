"""What an import reads, and how that becomes a dataset."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from goalsight.data.importers.opening import Format
from goalsight.data.importers.pictures import Fit
from goalsight.data.importers.resample import ActionKind
from goalsight.data.importers.source import Keys

DEFAULT_SIZE = 224
"""Pictures larger than this are made smaller unless a size is given [pixels]."""


@dataclass(frozen=True, kw_only=True)
class ImportConfig:
    """What is read, and how it becomes a dataset."""

    source: Path
    """The log."""
    out: Path
    """Folder of the dataset."""
    format: Format = "auto"
    """Kind of log."""
    keys: Keys = field(default_factory=Keys)
    """Which parts of it are what."""
    control_hz: float | None = None
    """Control rate of the dataset [Hz]; None keeps the log's."""
    source_hz: float | None = None
    """Rate of a log that does not say it [Hz]."""
    actions_are: ActionKind = "targets"
    """What becomes of actions when several rows make one control step."""
    size: int | None = None
    """Height and width of the frames [pixels]; None takes the log's shorter side, at most 224."""
    fit: Fit = "crop"
    """How pictures become square."""
    low: tuple[float, ...] | None = None
    """Bounds of an action in the log's units, one number or A; None takes the log's own, else
    what its data reach."""
    high: tuple[float, ...] | None = None
    """Likewise the upper ones."""
    skip: frozenset[str] = frozenset()
    """Names of episodes to leave out."""
    video: Literal["h264", "none"] = "h264"
    """How frames are kept."""

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise ValueError("action bounds come in pairs: give both the low and the high ones")
        if self.size is not None and self.size < 16:
            raise ValueError(f"size must be at least 16 pixels, got {self.size}")
