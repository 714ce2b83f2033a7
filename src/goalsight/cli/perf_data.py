"""`goalsight perf data`: how fast random windows are read here, beside copying memory."""

from __future__ import annotations

import json as jsonlib
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from goalsight.cli.inspect import check_counts
from goalsight.errors import UserError

if TYPE_CHECKING:
    from goalsight.data.speed import ReadingSpeed


def data(
    *,
    data: Path | None = None,
    size: int = 224,
    frames: int = 4,
    frameskip: int = 5,
    batch: int = 32,
    clips: int = 640,
    rounds: int = 5,
    json: bool = False,
) -> None:
    """Measure clips a second out of videos and out of the decode-once cache, beside memcpy.

    Random windows in shuffled order on one core, the median of several rounds. Without --data a
    small dataset is made in a temporary folder and removed again.

    Args:
        data: folder of a dataset to read instead.
        size: height and width of the frames of the dataset that is made [pixels].
        frames: frames of a clip.
        frameskip: control steps between two of them.
        batch: clips read at a time.
        clips: clips of a round out of the cache.
        rounds: rounds of each source.
        json: print JSON for a machine to read.

    Raises:
        UserError: if a number is out of its range.

    Example:
        goalsight perf data --size 224
    """
    import torch

    from goalsight.data import delayed_bar, open_dataset
    from goalsight.data.speed import measure_reading, synthetic_dataset
    from goalsight.provenance import hardware

    check_counts(frames=frames, frameskip=frameskip, batch=batch, clips=clips, rounds=rounds)
    if not 16 <= size <= 1024:
        raise UserError(f"--size must be in [16, 1024], got {size}")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder, delayed_bar("Reading", "rounds") as report:
            dataset = (
                open_dataset(data) if data else synthetic_dataset(Path(folder) / "d", size=size)
            )
            speed = measure_reading(
                dataset, frames=frames, frameskip=frameskip, batch=batch, clips=clips,
                rounds=rounds, progress=report,
            )  # fmt: skip
    finally:
        torch.set_num_threads(threads)
    if json:
        print(jsonlib.dumps(asdict(speed) | {"hardware": hardware()}, indent=2))
    else:
        print(_in_words(speed))
        print(hardware())


def _in_words(speed: ReadingSpeed) -> str:
    what = f"clips of {speed.frames} frames, {speed.frameskip} apart, {speed.size} px"
    lines = [f"{what}, one core; median of {speed.rounds} rounds"]
    lines += [
        f"{rate:9.0f} clips/s  {source:<7} {speed.times_the_floor(source):6.1f} times the floor"
        for source, rate in speed.clips_per_s.items()
    ]
    lines.append(f"{speed.memcpy_clips_per_s:9.0f} clips/s  memcpy of as many bytes: the floor")
    return "\n".join(lines)
