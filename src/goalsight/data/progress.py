"""The old place of `goalsight.progress`."""

from goalsight.progress import Progress, progress_bar, silent

Report = Progress
delayed_bar = progress_bar

__all__ = ["Report", "delayed_bar", "silent"]
