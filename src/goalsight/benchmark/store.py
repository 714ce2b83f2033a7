"""The folder of a run: what is already played, and what it looked like.

manifest/             pairs that were drawn for this run, if it is not of a shipped manifest
run.json              what the run is of; a rerun with other settings is refused
pairs*.jsonl          one line a finished pair, in the order they finished
episodes/ROW-PAIR.npz pictures of a pair (see `Film`)
results.json          the table, written last

Every process that plays appends to a file of its own, which nobody else ever writes: `pairs.jsonl`,
`pairs-2-of-3.jsonl` for a shard, `pairs.2.jsonl` for what went on after a stop. So any number of
processes share a folder without locks, on network file systems too, and copying the folders of
several shards into one is merging them. Each line says which run it is of.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from goalsight.benchmark.results import RENAMED_ROWS, Film, Outcome, outcome_from_json
from goalsight.benchmark.shards import Shard
from goalsight.errors import OutputError
from goalsight.io import inside, npz_bytes, read_json, replace_file, replace_json, sha256
from goalsight.provenance import git_commit, hardware

FROZEN = "manifest"
"""Folder of the pairs of a run that no shipped manifest describes; it is there before the run."""
RUN, PAIRS, EPISODES, RESULTS = "run.json", "pairs.jsonl", "episodes", "results.json"
_ORIGIN = "origin"
"""Key of a line under which it says where it was played."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a pair was played."""

    run: str = ""
    """Digest of the run's settings; empty in lines from before there was one."""
    commit: str | None
    """Of goalsight."""
    hardware: str


class Store:
    """Append-only record of finished pairs; a kill loses only those in flight."""

    def __init__(self, path: Path, run: str, shard: Shard | None = None) -> None:
        """Use `open_store`, which checks the folder first."""
        self.path = path
        self._run, self._shard = run, shard
        self._own: Path | None = None

    def add(self, outcome: Outcome, on: str | None = None) -> None:
        """Append a finished pair; its film should lie there already.

        Args:
            outcome: of the pair.
            on: hardware that played it; None: this machine's.
        """
        if self._own is None:
            self._own = self._new_file()
        origin = Origin(run=self._run, commit=git_commit(), hardware=on or hardware())
        line = json.dumps({**asdict(outcome), _ORIGIN: asdict(origin)}, allow_nan=False) + "\n"
        with self._own.open("a", encoding="utf-8") as file:
            file.write(line)

    def outcomes(self) -> dict[tuple[str, int], Outcome]:
        """Every finished pair by (row, pair); a line that a kill cut short does not count.

        Raises:
            OutputError: if a file holds something else than finished pairs of this run.
        """
        return {item: outcome for item, (outcome, _) in self.entries().items()}

    def entries(self) -> dict[tuple[str, int], tuple[Outcome, Origin]]:
        """Every finished pair by (row, pair), with where it was played.

        Raises:
            OutputError: if a file holds something else than finished pairs of this run.
        """
        found: dict[tuple[str, int], tuple[Outcome, Origin]] = {}
        for path in sorted(self.path.glob("pairs*.jsonl")):
            # What follows the last line break was cut short by a kill, or is being written now.
            whole = path.read_text(encoding="utf-8").rpartition("\n")[0]
            for number, line in enumerate(whole.splitlines(), start=1):
                outcome, origin = self._entry(line, f"{path} line {number}")
                found.setdefault((outcome.row, outcome.pair), (outcome, origin))
        return found

    def _entry(self, line: str, where: str) -> tuple[Outcome, Origin]:
        try:
            fields = json.loads(line)
            said = fields.pop(_ORIGIN, None)
            outcome = outcome_from_json(fields)
            # Lines from before they had an origin say nothing: nobody may speak for them.
            origin = Origin(**said) if said else Origin(commit=None, hardware="")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise OutputError(
                f"{where} is not a finished pair ({error}); choose another --out"
            ) from None
        if origin.run not in {"", self._run}:
            raise OutputError(f"{where} is of a run with other settings than {RUN}; take it out")
        return outcome, origin

    def _new_file(self) -> Path:
        """An empty file that no other process has, whatever machine it is on."""
        shard = f"-{self._shard.index}-of-{self._shard.count}" if self._shard else ""
        for number in count(1):
            later = "" if number == 1 else f".{number}"
            path = self.path / f"pairs{shard}{later}.jsonl"
            try:
                path.open("x").close()
            except FileExistsError:
                continue
            return path
        raise AssertionError("unreachable")


def open_store(path: Path, identity: Mapping[str, Any], shard: Shard | None = None) -> Store:
    """Begin a run in a folder, or continue the one that is there.

    Args:
        path: folder of the run; made if absent.
        identity: what must not change between the parts of one run.
        shard: which part this process plays, if it is one of several.

    Raises:
        OutputError: if the folder holds something else, or a run of other settings.
    """
    run = path / RUN
    if not run.is_file():
        if path.exists() and not (path.is_dir() and _is_free(path)):
            raise OutputError(f"{path} already holds something else; choose another --out")
        path.mkdir(parents=True, exist_ok=True)
        replace_json(run, identity)
    kept = _read(run)  # also what was just written: another shard may have been quicker
    _check_same(path, kept, identity)
    (path / EPISODES).mkdir(exist_ok=True)
    text = json.dumps(kept, sort_keys=True)
    return Store(path, sha256(text)[:16], shard)


def save_film(folder: Path, outcome: Outcome, film: Film) -> None:
    """Keep the pictures of a pair, losslessly."""
    replace_file(film_path(folder, outcome.row, outcome.pair), film_bytes(film))


def film_bytes(film: Film) -> bytes:
    """The content of a film's file."""
    return npz_bytes(frames=film.frames, steps=film.steps, goal=film.goal)


def film_path(folder: Path, row: str, pair: int) -> Path:
    """Where the pictures of a pair lie in the folder of a run."""
    name = f"{row}-{int(pair):04d}.npz"
    return inside(folder / EPISODES, name, source=folder / RESULTS, field="row", error=OutputError)


def _is_free(path: Path) -> bool:
    """Whether a folder holds nothing but what a run begins with, perhaps another shard's."""
    return all(
        entry.name in {FROZEN, RUN, EPISODES} or entry.name.startswith(f".{RUN}.")
        for entry in path.iterdir()
    )


def _check_same(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Compare what both know: a record from before a field was recorded is no other run."""
    now = json.loads(json.dumps(new))  # as it would have been read: tuples are lists there
    for field in now:
        if old.get(field, now[field]) != now[field]:
            raise OutputError(
                f"{path} holds a run with {field} {old.get(field)}, this one has {now[field]}; "
                "choose another --out"
            )


def _read(path: Path) -> dict[str, Any]:
    return read_json(path, error=OutputError, advice="choose another --out")


def load_film(folder: Path, row: str, pair: int) -> Film:
    """The pictures of a pair.

    Raises:
        OutputError: if the file is missing or damaged.
    """
    path = film_path(folder, row, pair)
    for old, now in RENAMED_ROWS.items():  # of version 0.1
        if row == now and not path.exists() and film_path(folder, old, pair).exists():
            path = film_path(folder, old, pair)
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            return Film(frames=arrays["frames"], steps=arrays["steps"], goal=arrays["goal"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise OutputError(
            f"cannot read {path} ({error}); run the benchmark again with another --out"
        ) from None
