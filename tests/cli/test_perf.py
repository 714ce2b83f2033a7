"""`goalsight perf` runs and stands beside its floor; the numbers themselves are for people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from goalsight.cli.main import main


@pytest.fixture(autouse=True)
def keep_threads() -> Iterator[None]:
    """The command sets PyTorch's threads for its process, which here is everybody's."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    "argv",
    [
        ["perf", "collect", "--episodes", "1", "--size", "32", "--video", "none"],
        ["perf", "plan", "--samples", "8", "--iterations", "2", "--horizon", "2", "--batch", "2"],
    ],
)
def test_a_loop_is_reported_beside_its_floor(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*argv, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["floor_milliseconds"] > 0
    assert report["overhead"] == pytest.approx(
        report["milliseconds"] / report["floor_milliseconds"]
    )


def test_a_search_that_cannot_be_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["perf", "plan", "--samples", "1"]) == 2
    assert "elites must be in [2, samples]" in capsys.readouterr().err


SMALL = ["perf", "plan", "--samples", "8", "--iterations", "2", "--horizon", "2"]


def rows_of(argv: list[str], capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    assert main([*SMALL, *argv, "--decisions", "2", "--json"]) == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["rows"]
    return rows


def test_every_planner_and_way_has_a_row_and_what_is_faster_finds_the_same_plan(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = rows_of(["--planner", "cem,icem", "--batch", "3"], capsys)
    assert [(row["planner"], row["way"]) for row in rows] == [
        ("cem", "plain"), ("cem", "once"), ("icem", "plain"), ("icem", "once"),
    ]  # fmt: skip
    for row in rows:
        assert (row["evaluations"], row["size"]) == (16 if row["planner"] == "cem" else 14, "tiny")
        assert 0 < row["p50_ms"] <= row["p95_ms"]
        assert row["batch_ms"] > 0
        assert 0 < row["rate"] < 1.5  # a share; short measurements are rough
        assert row["off"] < 1e-4


def test_the_transformer_of_the_peer_saves_what_the_count_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """15 frames through all layers a plan the plain way; see docs/planning.md for the count."""
    rows = rows_of(["--size", "peer", "--planner", "cem", "--horizon", "5", "--batch", "0"], capsys)
    plain, once = rows
    assert plain["gflop"] / once["gflop"] == pytest.approx(1.5, abs=0.05)
    assert once["batch_ms"] is None
    assert once["off"] < 1e-4


def test_people_get_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "--planner", "cem", "--decisions", "1", "--batch", "2"]) == 0
    shown = capsys.readouterr().out
    assert "times the floor" in shown
    assert "| tiny | cem | plain |" in shown
    assert "| tiny | cem | once |" in shown


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--size", "huge"], "no size 'huge'; there are: tiny, small, base, peer"),
        (["--planner", "adam"], "no planner 'adam'; there are: cem"),
        (["--ways", "quick"], "no way 'quick'; there are: plain, once"),
        (["--decisions", "0"], "--decisions must be at least 1"),
        (["--ways", "graph", "--batch", "0", "--planner", "cem"], "execution=graph records CUDA"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SMALL, *argv]) == 2
    assert message in capsys.readouterr().err


def test_reading_is_printed_beside_copying(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["perf", "data", "--size", "40", "--clips", "8", "--rounds", "1"]) == 0
    printed = capsys.readouterr().out
    for source in ("decord", "pyav", "cache", "memcpy"):
        assert source in printed
    assert main(["perf", "data", "--rounds", "0"]) == 2
    assert "--rounds must be at least 1" in capsys.readouterr().err


def test_a_sub_goal_is_found_and_timed_beside_the_exact_search(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["perf", "memory", "--rows", "3000", "--dim", "16", "--decisions", "9"]) == 0
    assert "a sub-goal in" in capsys.readouterr().out
    argv = ["perf", "memory", "--rows", "3000", "--dim", "16", "--decisions", "9", "--json"]
    assert main(argv) == 0
    exact = json.loads(capsys.readouterr().out)["answers"][-1]
    assert (exact["search"], exact["same"], exact["excess"]) == ("exact", 1.0, 0.0)
    assert exact["found"] > 0
    assert 0 < exact["p50_ms"] <= exact["p95_ms"]
