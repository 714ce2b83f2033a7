"""One self-contained page about a dataset: what stands against planning with it, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from goalsight.data.dataset import Dataset
from goalsight.data.report import figures
from goalsight.data.report.measures import Array, Measures
from goalsight.data.report.strips import Strip
from goalsight.data.report.verdict import judge, unknown
from goalsight.errors import OutputError
from goalsight.io import replace_file

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
