"""Sample strips: a few episodes, each as a row of frames."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from goalsight.data import format as layout
from goalsight.data.cache import read_frames
from goalsight.data.dataset import Dataset
from goalsight.progress import Progress, silent

MOST = 10
"""Strips on the page."""
TILES = 8
"""Frames of a strip."""
LARGEST = 128
"""Height of a tile at most [pixels]."""


@dataclass(frozen=True)
class Strip:
    """One episode in a row of frames."""

    episode: int
    policy: str
    """Who acted."""
    length: int
    """Control steps."""
    solved: bool
    """Whether the last control step has the task solved."""
    picture: str
    """Data address of the picture."""
    times: tuple[str, ...]
    """Caption of each frame [s]."""


def sample(dataset: Dataset, progress: Progress = silent) -> list[Strip]:
    """Strips of a few episodes: some of every policy, spread over the dataset.

    Raises:
        DatasetError: if a video is damaged.
    """
    chosen = choose([record.policy or "" for record in dataset.records])
    strips = []
    for done, episode in enumerate(chosen, 1):
        strips.append(_strip(dataset, episode))
        progress(done, len(chosen))
    return strips


def choose(policies: list[str], most: int = MOST) -> list[int]:
    """Episodes to show, as many of every policy as possible, the most frequent policy first.

    Args:
        policies: of every episode.
        most: how many to choose.

    >>> choose(["a", "a", "b", "a"], most=2)
    [0, 2]
    """
    of: dict[str, list[int]] = {}
    for episode, policy in enumerate(policies):
        of.setdefault(policy, []).append(episode)
    groups = sorted(of.values(), key=len, reverse=True)[:most]
    quota = [0] * len(groups)
    while sum(quota) < min(most, sum(map(len, groups))):
        # The policy that has fewest strips for now and an episode left is the next to get one.
        open_ = [i for i, group in enumerate(groups) if quota[i] < len(group)]
        quota[min(open_, key=lambda i: quota[i])] += 1
    chosen = []
    for group, count in zip(groups, quota, strict=True):
        chosen += [group[i] for i in np.linspace(0, len(group) - 1, count).round().astype(int)]
    return chosen


def _strip(dataset: Dataset, episode: int) -> Strip:
    record = dataset.records[episode]
    frames = read_frames(dataset, episode)
    at = np.linspace(0, len(frames) - 1, min(TILES, len(frames))).round().astype(int)
    # A white line between the frames: they all have the same table.
    line = max(1, dataset.size // 32)
    tiles = np.pad(frames[at], ((0, 0), (0, 0), (0, line), (0, 0)), constant_values=255)
    picture = Image.fromarray(np.concatenate(list(tiles), axis=1)[:, :-line])
    if picture.height > LARGEST:
        scale = LARGEST / picture.height
        picture = picture.resize((round(picture.width * scale), LARGEST), Image.Resampling.BOX)
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", quality=86, method=4)
    success = dataset.widths().get(layout.SUCCESS)
    solved = success is not None and bool(
        dataset.read_episode(episode, {layout.SUCCESS: success})[layout.SUCCESS][-1, 0]
    )
    return Strip(
        episode=episode,
        policy=record.policy or dataset.provenance.policy,
        length=record.length,
        solved=solved,
        picture=f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}",
        times=tuple(f"{i / dataset.fps:.1f} s" for i in at),
    )
