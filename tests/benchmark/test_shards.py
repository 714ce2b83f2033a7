"""Shards of a run: all of it between them, nothing twice, safe in one folder or in several."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalsight.benchmark.results import Outcome
from goalsight.benchmark.run import PAIRS, RUN, Shard, open_store, parse_shard
from goalsight.errors import OutputError, UserError

IDENTITY = {"manifest": "abc", "seed": 0}


def outcome(row: str, pair: int) -> Outcome:
    return Outcome(
        row=row,
        pair=pair,
        terminal=False,
        anytime=True,
        distance_m=(0.2, 0.1),
        latency_ms=(),
        evaluations_per_decision=0,
    )


@given(items=st.integers(0, 40), count=st.integers(1, 12))
def test_the_shards_of_a_run_are_all_of_it_and_share_nothing(items: int, count: int) -> None:
    parts = [Shard(index + 1, count).of(range(items)) for index in range(count)]
    assert sorted(item for part in parts for item in part) == list(range(items))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_shard_reads_as_it_is_typed() -> None:
    assert parse_shard("") is None
    assert parse_shard("2/3") == Shard(2, 3)
    assert str(Shard(2, 3)) == "2/3"


@pytest.mark.parametrize("text", ["0/3", "4/3", "1/0"])
def test_a_shard_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=f"shard must be 1/N to N/N, got {text}"):
        parse_shard(text)


@pytest.mark.parametrize("text", ["3", "a/b", "1/-3", "1/2/3"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="shard is typed I/N, such as 1/3, got"):
        parse_shard(text)


def test_writers_of_one_folder_never_share_a_file(tmp_path: Path) -> None:
    """Two of each kind at once: four files, and each store reads what all of them wrote."""
    shards = (None, None, Shard(1, 2), Shard(1, 2))
    stores = [open_store(tmp_path / "run", IDENTITY, shard) for shard in shards]
    for turn in range(2):
        for number, store in enumerate(stores):
            store.add(outcome("zero", 2 * number + turn))
    names = {"pairs.jsonl", "pairs.2.jsonl", "pairs-1-of-2.jsonl", "pairs-1-of-2.2.jsonl"}
    assert {path.name for path in (tmp_path / "run").glob("pairs*")} == names
    for store in stores:
        assert set(store.outcomes()) == {("zero", pair) for pair in range(8)}


def test_a_line_another_shard_is_writing_is_neither_counted_nor_touched(tmp_path: Path) -> None:
    mine, theirs = (open_store(tmp_path / "run", IDENTITY, Shard(i, 2)) for i in (1, 2))
    theirs.add(outcome("zero", 1))
    file = tmp_path / "run" / "pairs-2-of-2.jsonl"
    half = file.read_bytes() + b'{"row": "zero", "pa'
    file.write_bytes(half)
    mine.add(outcome("zero", 0))
    assert set(mine.outcomes()) == {("zero", 0), ("zero", 1)}
    assert file.read_bytes() == half


def test_a_shard_that_comes_while_the_first_begins_the_folder_may_join(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / f".{RUN}.4711000123").write_text('{"manif')
    open_store(run, IDENTITY, Shard(2, 2)).add(outcome("zero", 0))
    assert set(open_store(run, IDENTITY).outcomes()) == {("zero", 0)}


def test_copying_the_folders_of_shards_together_merges_them(tmp_path: Path) -> None:
    for index in (1, 2, 3):
        store = open_store(tmp_path / str(index), IDENTITY, Shard(index, 3))
        store.add(outcome("zero", index))
        shutil.copytree(tmp_path / str(index), tmp_path / "all", dirs_exist_ok=True)
    merged = open_store(tmp_path / "all", IDENTITY).outcomes()
    assert set(merged) == {("zero", 1), ("zero", 2), ("zero", 3)}


def test_a_shard_of_another_run_cannot_be_merged_in(tmp_path: Path) -> None:
    """Its run.json is copied over ours or ours over its: the lines themselves know better."""
    for index, seed in ((1, 0), (2, 7)):
        store = open_store(tmp_path / str(index), {**IDENTITY, "seed": seed}, Shard(index, 2))
        store.add(outcome("zero", index))
        shutil.copytree(tmp_path / str(index), tmp_path / "all", dirs_exist_ok=True)
    merged = open_store(tmp_path / "all", {**IDENTITY, "seed": 7})
    with pytest.raises(OutputError, match=r"pairs-1-of-2.jsonl line 1 is of a run with other sett"):
        merged.outcomes()


def test_a_run_from_before_lines_said_where_they_are_from_goes_on(tmp_path: Path) -> None:
    store = open_store(tmp_path / "run", IDENTITY)
    line = '{"row": "zero", "pair": 4, "terminal": true, "anytime": true, "distance_m": [0.1],'
    line += ' "latency_ms": [], "evaluations_per_decision": 0}\n'
    (tmp_path / "run" / PAIRS).write_text(line)
    again = open_store(tmp_path / "run", {**IDENTITY, "mujoco": "4.0.0"})
    assert set(again.outcomes()) == {("zero", 4)}
    store.add(outcome("zero", 5), on="a big machine")
    assert next(origin.hardware for _, origin in store.entries().values()) == "a big machine"
