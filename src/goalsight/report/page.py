"""One self-contained page about a run: the table, the curves, every episode, failures first."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from goalsight.benchmark.results import RESULTS, Film, Outcome, Results, load_film, load_results
from goalsight.io import replace_text, sha256
from goalsight.progress import Progress, silent
from goalsight.report.figures import figures, sparkline
from goalsight.report.pixels import Frames, spread
from goalsight.report.table import (
    COLOURS,
    REPORT,
    comparisons,
    headline,
    labels,
    leading_row,
    looks,
    template,
)
from goalsight.report.video import encode_video

MAX_VIDEOS = 240
"""Videos in one page; more would take minutes to encode."""
VIDEO_BYTES, STILL_BYTES = 9_000_000, 4_000_000
"""Most that all videos and all pictures of one page take up, so that a mail carries it."""
OUTCOMES = {"missed": "missed", "lost": "reached, not held", "held": "held"}
"""What became of an episode, in the page's words; the worst first."""
_TILES = 6


def write_report(run: Path, progress: Progress = silent) -> Path:
    """Write `report.html` into the folder of a run, from what lies there.

    The page needs no other file, no network and no JavaScript. Its pictures are bounded, so that
    ten rows of 200 pairs stay under 18 MB, which a mail carries.

    Args:
        run: folder with `results.json` and `episodes/`.
        progress: told how many episodes are in it.

    Returns:
        Path of the page.

    Raises:
        UserError: if `results.json` is missing or not one of ours, or a film is.
    """
    results = load_results(run / RESULTS)
    pictures = album(run, results, leading_row(results), progress)
    path = run / REPORT
    replace_text(path, render(results, pictures))
    return path


def render(results: Results, pictures: Album) -> str:
    """The page as text.

    Args:
        results: of a run.
        pictures: its episodes.
    """
    told = comparisons(results)
    return template("report.html.j2").render(
        results=results,
        headline=headline(results),
        leader=leading_row(results),
        looks=looks([row.row for row in results.rows]),
        colours=COLOURS,
        labels=partial(labels, results),
        told=[comparison for comparison in told if comparison.ranked],
        untold=[comparison for comparison in told if not comparison.ranked],
        figures=figures(results),
        album=pictures,
        outcomes=OUTCOMES,
        most_mb=(VIDEO_BYTES + STILL_BYTES) // 1_000_000,
        settings=_flat(results.agent or {}),
        settings_hash=settings_hash(results),
        training=_training(results),
    )


def settings_hash(results: Results) -> str:
    """SHA-256 of how the agent planned: of its settings as JSON with sorted keys."""
    text = json.dumps(results.agent, sort_keys=True, separators=(",", ":"))
    return sha256(text)


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Settings one a line: `planner.samples: 200`."""
    lines: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            lines |= _flat(value, f"{prefix}{name}.")
        else:
            lines[f"{prefix}{name}"] = json.dumps(value)
    return lines


def _training(results: Results) -> str:
    """What the checkpoint's card says of its making; cards from elsewhere may say less."""
    card = results.checkpoint.card if results.checkpoint else {}
    said = []
    dataset = card.get("dataset")
    if isinstance(dataset, dict) and "frames" in dataset:
        said.append(f"{dataset['frames']} frames of {dataset.get('env', 'an environment')}")
    if isinstance(card.get("minutes"), int | float):
        said.append(f"{card['minutes']:.1f} minutes")
    said += [str(card[name]) for name in ("hardware", "precision") if card.get(name)]
    return ", ".join(said)


# -- episodes ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Card:
    """One episode on the page."""

    outcome: Outcome
    kind: str
    """`missed`, `lost` (reached, not held at the end) or `held`."""
    goal: str
    """Name of the goal image among those of the page; rows of one pair share it."""
    strip: str | None
    """Data address of the filmstrip, or None where the page had no room left."""
    times: tuple[str, ...]
    """Caption of each of its frames."""
    video: str | None
    """Data address of the video, or None."""
    poster: str | None
    """Data address of the picture that stands for the video until it plays."""
    spark: Markup


@dataclass(kw_only=True)
class Album:
    """Every picture of a page; keeps the account of what they take up."""

    cards: list[Card] = field(default_factory=list)
    goals: dict[str, str] = field(default_factory=dict)
    """Data address of each goal image, by name."""
    side: tuple[int, int] = (1, 1)
    """Height and width of a frame [pixels]."""
    videos: int = 0
    stills: int = 0
    """Episodes that have a filmstrip."""
    _video_bytes: int = 0
    _still_bytes: int = 0
    _names: dict[str, str] = field(default_factory=dict)

    def add(self, outcome: Outcome, film: Film, results: Results) -> None:
        """Make the card of one episode, with as much of its film as there is room for."""
        dt = results.manifest.control_dt
        self.side = (film.goal.shape[0], film.goal.shape[1])
        chosen = spread(len(film.frames), _TILES)
        strip: str | None = _webp(np.concatenate(list(film.frames[chosen]), axis=1))
        if self._still_bytes + len(strip or "") > STILL_BYTES:
            strip = None
        else:
            self._still_bytes, self.stills = self._still_bytes + len(strip or ""), self.stills + 1
        video = self._video(film, dt) if strip else None
        self.cards.append(
            Card(
                outcome=outcome,
                kind=kind_of(outcome),
                goal=self._goal(film.goal),
                strip=strip,
                times=tuple(f"{film.steps[i] * dt:g} s" for i in chosen),
                video=video,
                poster=_webp(film.frames[0]) if video else None,
                spark=Markup(sparkline(outcome, results.manifest.threshold)),  # noqa: S704
            )
        )

    def _video(self, film: Film, control_dt: float) -> str | None:
        """The rollout's video if it was filmed evenly and there is room, else None."""
        gaps = np.unique(np.diff(film.steps))
        if gaps.size != 1 or self.videos == MAX_VIDEOS or self._video_bytes >= VIDEO_BYTES:
            return None
        video = _address("video/mp4", encode_video(film.frames, 1 / (control_dt * int(gaps[0]))))
        if self._video_bytes + len(video) > VIDEO_BYTES:
            self._video_bytes = VIDEO_BYTES  # full: a later, shorter one gets no preference
            return None
        self._video_bytes, self.videos = self._video_bytes + len(video), self.videos + 1
        return video

    def _goal(self, goal: Frames) -> str:
        """Name of a goal image; equal ones are kept once."""
        address = _webp(goal)
        name = self._names.setdefault(address, f"goal{len(self._names)}")
        self.goals[name] = address
        return name


def album(run: Path, results: Results, leader: str, progress: Progress) -> Album:
    """Every episode of a run as a card.

    Room goes to the rows in turn, each row's failures first, so that every row shows how it fails.

    Args:
        run: its folder, with the films.
        results: what happened.
        leader: the row whose episodes come first on the page.
        progress: told how many episodes are done.

    Returns:
        The album; its cards in the order of the page: the leader's, then the other rows', in each
        the failures first.

    Raises:
        OutputError: if a film is missing or damaged.
    """
    rows = [leader, *(row.row for row in results.rows if row.row != leader)]
    ordered = [failures_first(o for o in results.pairs if o.row == row) for row in rows]
    made = Album()
    for turn in zip_longest(*ordered):
        for outcome in filter(None, turn):
            made.add(outcome, load_film(run, outcome.row, outcome.pair), results)
            progress(len(made.cards), len(results.pairs))
    made.cards.sort(key=lambda card: rows.index(card.outcome.row))  # stable: failures stay first
    return made


def kind_of(outcome: Outcome) -> str:
    """`held` at the end, `lost` if it was only reached on the way, else `missed`."""
    if outcome.terminal:
        return "held"
    return "lost" if outcome.anytime else "missed"


def failures_first(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Missed, then lost, then held; among equals the one that ended farthest from its goal."""
    kinds: Sequence[str] = list(OUTCOMES)
    return sorted(outcomes, key=lambda o: (kinds.index(kind_of(o)), -o.distance_m[-1], o.pair))


def _webp(picture: Frames) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="WEBP", quality=86, method=4)
    return _address("image/webp", buffer.getvalue())


def _address(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
