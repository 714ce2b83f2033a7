"""A run survives being stopped, and never mixes with another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from goalsight.benchmark.results import Film, Outcome, film_path, load_film, save_film
from goalsight.benchmark.run import PAIRS, open_store
from goalsight.errors import OutputError

IDENTITY = {"manifest": "abc", "seed": 0}


def outcome(row: str, pair: int) -> Outcome:
    return Outcome(
        row=row,
        pair=pair,
        terminal=False,
        anytime=True,
        distance_m=(0.2, 0.1),
        latency_ms=(50.0,),
        evaluations_per_decision=10,
    )


def test_finished_pairs_are_there_when_the_run_goes_on(tmp_path: Path) -> None:
    first = open_store(tmp_path / "run", IDENTITY)
    first.add(outcome("agent", 0))
    first.add(outcome("zero", 3))
    again = open_store(tmp_path / "run", IDENTITY).outcomes()
    assert again == {("agent", 0): outcome("agent", 0), ("zero", 3): outcome("zero", 3)}


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_line_that_a_kill_cut_short_is_played_again(tmp_path: Path, cut: int) -> None:
    store = open_store(tmp_path / "run", IDENTITY)
    store.add(outcome("agent", 0))
    store.add(outcome("agent", 1))
    lines = store.path / PAIRS
    lines.write_bytes(lines.read_bytes()[:-cut])
    again = open_store(tmp_path / "run", IDENTITY)
    assert set(again.outcomes()) == {("agent", 0)}
    again.add(outcome("agent", 1))
    assert set(again.outcomes()) == {("agent", 0), ("agent", 1)}


def test_a_run_of_other_settings_is_refused_by_the_field(tmp_path: Path) -> None:
    open_store(tmp_path / "run", IDENTITY)
    with pytest.raises(OutputError, match=r"run with seed 0, this one has 1; choose another --out"):
        open_store(tmp_path / "run", {**IDENTITY, "seed": 1})


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="already holds something else"):
        open_store(tmp_path, IDENTITY)
    with pytest.raises(OutputError, match="already holds something else"):
        open_store(tmp_path / "thesis.txt", IDENTITY)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("line", ["{}", "[]", "3", "nonsense", '{"row": 1, "colour": "red"}'])
def test_a_damaged_record_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    store = open_store(tmp_path / "run", IDENTITY)
    store.add(outcome("agent", 0))
    with (store.path / PAIRS).open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(OutputError, match=r"pairs.jsonl line 2 is not a finished pair"):
        store.outcomes()


def test_films_are_kept_to_the_pixel(tmp_path: Path) -> None:
    open_store(tmp_path / "run", IDENTITY)
    noise = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 3)).astype(np.uint8)
    film = Film(frames=noise[:3], steps=np.array([0, 5, 8]), goal=noise[3])
    save_film(tmp_path / "run", outcome("agent", 7), film)
    loaded = load_film(tmp_path / "run", "agent", 7)
    for name in ("frames", "steps", "goal"):
        assert np.array_equal(getattr(film, name), getattr(loaded, name))


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 half a zip"])
def test_a_lost_or_damaged_film_is_named(tmp_path: Path, content: bytes | None) -> None:
    store = open_store(tmp_path / "run", IDENTITY)
    if content is not None:
        film_path(store.path, "agent", 0).write_bytes(content)
    with pytest.raises(OutputError, match=r"cannot read .*agent-0000.npz"):
        load_film(store.path, "agent", 0)


def test_a_run_of_version_0_1_goes_on_by_the_new_names_of_its_rows(tmp_path: Path) -> None:
    """Rows `both` and `hold` are `hybrid` and `zero` now; their films lie where they lay."""
    store = open_store(tmp_path / "run", IDENTITY)
    for row in ("both", "hold", "agent"):
        store.add(outcome(row, 0))
    assert set(store.outcomes()) == {("hybrid", 0), ("zero", 0), ("agent", 0)}
    pictures = np.zeros((2, 4, 4, 3), np.uint8)
    film = Film(frames=pictures, steps=np.array([0, 1]), goal=pictures[0])
    save_film(store.path, outcome("both", 0), film)
    assert (load_film(store.path, "hybrid", 0).frames == pictures).all()
    with pytest.raises(OutputError, match=r"hybrid-0001\.npz"):
        load_film(store.path, "hybrid", 1)
