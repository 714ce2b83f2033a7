"""One self-contained page about a run: the table, the curves, every episode, failures first."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from goalsight.benchmark.results import Results, load_results
from goalsight.benchmark.store import RESULTS
from goalsight.io import replace_text, sha256
from goalsight.progress import Progress, silent
from goalsight.report.cards import OUTCOMES, STILL_BYTES, VIDEO_BYTES, Album, album
from goalsight.report.figures import figures
from goalsight.report.palette import COLOURS, looks
from goalsight.report.sentences import comparisons, headline, labels, leading_row

REPORT = "report.html"


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


def template(name: str) -> Template:
    """A page's template beside this module; it escapes what it shows and wants every name."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
