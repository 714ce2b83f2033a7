"""The folder of a run: what is already played, and what it looked like.

manifest/             pairs that were drawn for this run, if it is not of a shipped manifest
run.json              what the run is of; a rerun with other settings is refused
pairs.jsonl           one line a finished pair, in the order they finished
episodes/ROW-PAIR.npz pictures of a pair (see `Film`)
results.json          the table, written last
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from goalsight.benchmark.results import Film, Outcome, outcome_from_json
from goalsight.data.files import replace_file, replace_json
from goalsight.errors import OutputError

FROZEN = "manifest"
"""Folder of the pairs of a run that no shipped manifest describes; it is there before the run."""
RUN, PAIRS, EPISODES, RESULTS = "run.json", "pairs.jsonl", "episodes", "results.json"


class Store:
    """Append-only record of finished pairs; a kill loses only those in flight."""

    def __init__(self, path: Path) -> None:
        """Use `open_store`, which checks the folder first."""
        self.path = path

    def add(self, outcome: Outcome) -> None:
        """Append a finished pair."""
        line = json.dumps(asdict(outcome), allow_nan=False) + "\n"
        with (self.path / PAIRS).open("a", encoding="utf-8") as file:
            file.write(line)

    def outcomes(self) -> dict[tuple[str, int], Outcome]:
        """Every finished pair by (row, pair); a line that a kill cut short does not count.

        Raises:
            OutputError: if the file holds something else than finished pairs.
        """
        path = self.path / PAIRS
        if not path.exists():
            return {}
        text = path.read_text(encoding="utf-8")
        whole, _, rest = text.rpartition("\n")
        if rest:
            replace_file(path, f"{whole}\n".encode() if whole else b"")
        found = {}
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                outcome = outcome_from_json(json.loads(line))
            except (ValueError, TypeError, KeyError) as error:
                raise OutputError(
                    f"{path} line {number} is not a finished pair ({error}); choose another --out"
                ) from None
            found[outcome.row, outcome.pair] = outcome
        return found


def open_store(path: Path, identity: Mapping[str, Any]) -> Store:
    """Begin a run in a folder, or continue the one that is there.

    Args:
        path: folder of the run; made if absent.
        identity: what must not change between the parts of one run.

    Raises:
        OutputError: if the folder holds something else, or a run of other settings.
    """
    run = path / RUN
    if run.is_file():
        _check_same(path, _read(run), identity)
    elif path.exists() and not (
        path.is_dir() and {entry.name for entry in path.iterdir()} <= {FROZEN}
    ):
        raise OutputError(f"{path} already holds something else; choose another --out")
    else:
        path.mkdir(parents=True, exist_ok=True)
        replace_json(run, identity)
    (path / EPISODES).mkdir(exist_ok=True)
    return Store(path)


def save_film(folder: Path, outcome: Outcome, film: Film) -> None:
    """Keep the pictures of a pair, losslessly."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, frames=film.frames, steps=film.steps, goal=film.goal)
    replace_file(film_path(folder, outcome.row, outcome.pair), buffer.getvalue())


def film_path(folder: Path, row: str, pair: int) -> Path:
    """Where the pictures of a pair lie in the folder of a run."""
    return folder / EPISODES / f"{row}-{pair:04d}.npz"


def _check_same(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    now = json.loads(json.dumps(new))  # as it would have been read: tuples are lists there
    for field in now:
        if old.get(field) != now[field]:
            raise OutputError(
                f"{path} holds a run with {field} {old.get(field)}, this one has {now[field]}; "
                "choose another --out"
            )


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict):
        raise OutputError(f"{path} is not the record of a run; choose another --out")
    return content


def load_film(folder: Path, row: str, pair: int) -> Film:
    """The pictures of a pair.

    Raises:
        OutputError: if the file is missing or damaged.
    """
    path = film_path(folder, row, pair)
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            return Film(frames=arrays["frames"], steps=arrays["steps"], goal=arrays["goal"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise OutputError(
            f"cannot read {path} ({error}); run the benchmark again with another --out"
        ) from None
