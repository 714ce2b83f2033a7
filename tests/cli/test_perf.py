"""`goalsight perf` runs and stands beside its floor; the numbers themselves are for people."""

from __future__ import annotations

import json
from collections.abc import Iterator

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
        ["perf", "plan", "--samples", "8", "--iterations", "2", "--horizon", "2"],
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
