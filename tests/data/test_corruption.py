"""One wrong byte in any metadata file: an error in one line, or the same data as before."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goalsight.data import FrameCache, open_dataset, validate
from goalsight.data.collect import CollectConfig, collect
from goalsight.data.collect.mix import PolicyMix
from goalsight.errors import UserError


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, made_once: dict[str, Path]) -> Path:
    """Three episodes of several policies, and a decoded cache with its index."""
    root = tmp_path_factory.mktemp("corrupted") / "data"
    mix = PolicyMix(name="two", shares={"one": 0.5, "other": 0.5})
    env = "fake_env:Fake/Square-v0"
    collect(CollectConfig(env=env, episodes=3, out=root, size=20, steps=11, mix=mix))
    FrameCache(open_dataset(root)).build(range(3))
    return root


def metadata(root: Path) -> list[Path]:
    return [
        *sorted(path for path in (root / "meta").rglob("*") if path.is_file()),
        *sorted((root / "cache").rglob("*.jsonl")),
    ]


def content(root: Path) -> tuple[Any, ...]:
    """Everything that a program gets from a dataset."""
    dataset = open_dataset(root)
    rows = dataset.columns(dataset.widths(), range(len(dataset.records)))
    cache = FrameCache(dataset)
    frames = [np.array(cache.open(e)).tobytes() for e in range(len(dataset.records))]
    acted = [record.policy for record in dataset.records]
    return dataset.provenance, acted, frames, {name: v.tobytes() for name, v in rows.items()}


@contextmanager
def wrong_byte(path: Path, position: float, byte: int) -> Iterator[bool]:
    """The file with one byte replaced; whether that is another one."""
    before = path.read_bytes()
    changed = bytearray(before)
    at = min(int(position * len(before)), len(before) - 1)
    changed[at] = byte
    path.write_bytes(bytes(changed))
    try:
        yield bytes(changed) != before
    finally:
        path.write_bytes(before)


def check(root: Path, path: Path, expected: tuple[Any, ...]) -> None:
    try:
        found = content(root)
    except UserError:
        found = None
    noticed = all_noticed(root)  # never a traceback, whatever it says
    assert found == expected or found is None, f"{path}: other data, without a word"
    assert noticed or found is not None, f"{path}: refused, but validate finds nothing wrong"


@settings(max_examples=120, deadline=None)
@given(which=st.integers(0, 99), position=st.floats(0, 1), byte=st.integers(0, 255))
def test_a_wrong_byte_gives_an_error_or_the_same_data(
    sound: Path, which: int, position: float, byte: int
) -> None:
    files = metadata(sound)
    path = files[which % len(files)]
    expected = content(sound)
    with wrong_byte(path, position, byte):
        check(sound, path, expected)


@pytest.mark.parametrize("digit", b"0159")
def test_a_wrong_digit_in_a_number_is_no_other_dataset(sound: Path, digit: int) -> None:
    """Random bytes seldom leave the JSON readable; a digit in place of a digit always does."""
    expected = content(sound)
    for name in ("info.json", "goalsight.json", "goalsight_episodes.jsonl"):
        path = sound / "meta" / name
        text = path.read_bytes()
        for at in [i for i, byte in enumerate(text) if chr(byte).isdigit()][::7]:
            with wrong_byte(path, (at + 0.5) / len(text), digit) as changed:
                check(sound, path, expected)
                if changed:
                    assert all_noticed(sound)


def all_noticed(root: Path) -> bool:
    """Whether validate says anything, or refuses to."""
    try:
        return bool(validate(root))
    except UserError:
        return True


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_bytes_all_through_every_metadata_file(sound: Path, tmp_path: Path) -> None:
    """Every byte of the small files, every fifth of the others; minutes."""
    root = Path(shutil.copytree(sound, tmp_path / "data"))
    expected = content(root)
    for path in metadata(root):
        before = path.read_bytes()
        for at in range(0, len(before), 1 if len(before) < 3000 else 5):
            for byte in (0x31, before[at] ^ 1):
                with wrong_byte(path, (at + 0.5) / len(before), byte):
                    check(root, path, expected)
