"""One self-contained page about a run: the table, the curves, every episode, failures first."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from goalsight.benchmark.results import Film, Outcome, Results, RowResult, load_results
from goalsight.benchmark.statistics import PairedTest
from goalsight.benchmark.store import RESULTS, load_film
from goalsight.report.pixels import Frames, spread
from goalsight.report.plots import colour_of, distance_over_time, sparkline, success_over_start
from goalsight.report.video import encode_video

REPORT = "report.html"
MAX_VIDEOS = 240
"""Videos in one page, failures of the agent first; the rest keep their filmstrip."""
_TILES = 6
_FIRST_ROWS = ("agent",)
"""Rows whose episodes come first."""
_OUTCOMES = {"missed": "missed", "lost": "reached, not held", "held": "held"}


@dataclass(frozen=True, kw_only=True)
class Card:
    """One episode on the page."""

    outcome: Outcome
    kind: str
    """`missed`, `lost` (reached, not held at the end) or `held`."""
    strip: str
    """Data address of the filmstrip."""
    times: tuple[str, ...]
    """Caption of each of its frames."""
    goal: str
    """Data address of the goal image."""
    video: str | None
    """Data address of the video, or None."""
    spark: Markup


def write_report(run: Path) -> Path:
    """Write `report.html` into the folder of a run, from what lies there.

    Args:
        run: folder with `results.json` and `episodes/`.

    Returns:
        Path of the page; it needs no other file.

    Raises:
        UserError: if `results.json` is missing or not one of ours.
    """
    results = load_results(run / RESULTS)
    names = [row.row for row in results.rows]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(
        results=results,
        cards=_cards(run, results),
        outcomes=_OUTCOMES,
        colours={name: colour_of(name, names) for name in names},
        shown=next((name for name in _FIRST_ROWS if name in names), names[-1]),
        against=partial(_against, results.mcnemar, names),
        labels=partial(_labels, results),
        curves=Markup(distance_over_time(results)),  # noqa: S704  (our own SVG)
        starts=Markup(success_over_start(results)),  # noqa: S704
    )
    path = run / REPORT
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(page, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def kind_of(outcome: Outcome) -> str:
    """`held` at the end, `lost` if it was only reached on the way, else `missed`."""
    if outcome.terminal:
        return "held"
    return "lost" if outcome.anytime else "missed"


def failures_first(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The agent's episodes first, in each row the failures first, the farthest from the goal."""
    kinds = list(_OUTCOMES)
    return sorted(
        outcomes,
        key=lambda o: (
            o.row not in _FIRST_ROWS, o.row, kinds.index(kind_of(o)), -o.distance_m[-1], o.pair
        ),
    )  # fmt: skip


def _cards(run: Path, results: Results) -> list[Card]:
    cards: list[Card] = []
    videos = 0
    fps = 1 / results.manifest.control_dt
    for outcome in failures_first(results.pairs):
        film = load_film(run, outcome.row, outcome.pair)
        video = None
        if _is_whole(film) and videos < MAX_VIDEOS:
            mp4 = encode_video(film.frames, fps, goal=film.goal)
            video, videos = _address("video/mp4", mp4), videos + 1
        chosen = spread(len(film.frames), _TILES)
        spark = sparkline(outcome, results.manifest.threshold)
        cards.append(
            Card(
                outcome=outcome,
                kind=kind_of(outcome),
                strip=_webp(np.concatenate(list(film.frames[chosen]), axis=1)),
                times=tuple(f"{film.steps[i] / fps:g} s" for i in chosen),
                goal=_webp(film.goal),
                video=video,
                spark=Markup(spark),  # noqa: S704
            )
        )
    return cards


def _is_whole(film: Film) -> bool:
    """Whether every control step was filmed, so that a video of it moves evenly."""
    return len(film.steps) > 1 and all(b - a == 1 for a, b in pairwise(film.steps))


def _against(tests: Sequence[PairedTest], names: Sequence[str], row: RowResult) -> str:
    """How the agent (or else the last row) compares with this one, pair by pair."""
    reference = next((name for name in _FIRST_ROWS if name in names), names[-1])
    for test in tests:
        if set(test.rows) == {reference, row.row}:
            wins, losses = test.only_first, test.only_second
            if test.rows[0] != reference:
                wins, losses = losses, wins
            p = "p < .001" if test.p < 0.001 else f"p = {test.p:.3f}".replace("0.", ".")
            return f"+{wins} / −{losses}, {p}"
    return ""


def _labels(results: Results, row: RowResult) -> str:
    """What a row saw beyond pixels and proprio, in training or while acting."""
    if row.row == "expert":
        return "simulator state"
    if row.row == "agent" and results.checkpoint:
        return ", ".join(results.checkpoint.labels_used) or "none"
    return "none"


def _webp(picture: Frames) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="WEBP", quality=86, method=4)
    return _address("image/webp", buffer.getvalue())


def _address(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
