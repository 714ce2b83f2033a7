"""The episodes of a run as cards of its page: what each shows, and how much of it fits."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import numpy as np
from markupsafe import Markup
from PIL import Image

from goalsight.benchmark.results import Film, Outcome, Results
from goalsight.benchmark.store import load_film
from goalsight.progress import Progress
from goalsight.report.pixels import Frames, spread
from goalsight.report.plots import sparkline
from goalsight.report.video import encode_video

MAX_VIDEOS = 240
"""Videos in one page; more would take minutes to encode."""
VIDEO_BYTES, STILL_BYTES = 9_000_000, 4_000_000
"""Most that all videos and all pictures of one page take up, so that a mail carries it."""
OUTCOMES = {"missed": "missed", "lost": "reached, not held", "held": "held"}
"""What became of an episode, in the page's words; the worst first."""
_TILES = 6


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
