"""`goalsight data merge`: one dataset out of several."""

from __future__ import annotations

from pathlib import Path


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
