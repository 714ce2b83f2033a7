"""One self-contained page about a dataset: what stands against planning with it, and why."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from goalsight.data import format as layout
from goalsight.data.dataset import Dataset
from goalsight.data.frames import read_frames
from goalsight.data.report import figures
from goalsight.data.report.measures import Array, Measures
from goalsight.data.report.verdict import judge, unknown
from goalsight.errors import OutputError
from goalsight.io import replace_file
from goalsight.progress import Progress, silent

MARK = '<meta name="generator" content="goalsight data report">'
"""What the page says of itself: only such a page is written over."""


@dataclass(frozen=True)
class Panel:
    """A figure with its caption."""

    caption: str
    svg: Markup


def check_writable(path: Path) -> None:
    """Refuse to write over a file that is no page of ours.

    Raises:
        OutputError: if there is one.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder; give --out the name of a page, such as report.html")
    if path.exists() and MARK.encode() not in path.read_bytes()[:2000]:
        raise OutputError(f"{path} is no report of a dataset; give --out another name")


def write_page(dataset: Dataset, measures: Measures, strips: list[Strip], out: Path) -> Path:
    """Write the page.

    Args:
        dataset: what it is about.
        measures: of it.
        strips: of it.
        out: where to; it needs no other file and no network.

    Returns:
        `out`.

    Raises:
        OutputError: if there is another file.
        OSError: if it cannot be written.
    """
    check_writable(out)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("page.html.j2").render(
        mark=Markup(MARK),  # noqa: S704  (our own)
        dataset=dataset,
        m=measures,
        findings=judge(measures),
        unknown=unknown(measures),
        panels=panels(dataset, measures),
        strips=strips,
        hours=measures.frames / measures.fps / 3600,
    )
    replace_file(out, page.encode())
    return out


def panels(dataset: Dataset, measures: Measures) -> list[Panel]:
    """The figures that the dataset has columns for."""
    found: list[tuple[str, str]] = []
    hand, box = measures.hand, _box(measures)
    if hand is not None:
        found.append(("Where the hand has been, from above", figures.from_above(hand, box)))
        found.append(("Where the hand has been, from the side", figures.from_the_side(hand, box)))
    for thing in measures.objects:
        if thing.places.shape[1] == 3:
            caption = f"Where the {thing.name} has been, from above"
            found.append((caption, figures.from_above(thing.places, box)))
        else:
            found.append((f"How far the {thing.name} has been open", figures.openings(thing)))
    if measures.predictable:
        found.append(("How far the state gives each action away", figures.predictable(measures)))
    names = dataset.provenance.action_names
    found.append(("Actions: how often which value", figures.actions(measures, names)))
    found.append(("Length of the episodes", figures.lengths(measures)))
    return [Panel(caption, Markup(svg)) for caption, svg in found]  # noqa: S704  (our own SVG)


def _box(measures: Measures) -> Array | None:
    """(2, 3) box around hand and objects, the same in every figure [m]."""
    places = [measures.hand] if measures.hand is not None else []
    places += [thing.places for thing in measures.objects if thing.places.shape[1] == 3]
    if not places:
        return None
    low = np.min([np.percentile(part, 0.1, axis=0) for part in places], axis=0)
    high = np.max([np.percentile(part, 99.9, axis=0) for part in places], axis=0)
    return np.stack([low, high])


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
