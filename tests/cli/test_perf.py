"""`goalsight perf` runs and stands beside its floor; the numbers themselves are for people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.clock import Clock
from torch.utils.flop_counter import FlopCounterMode

from goalsight.checkpoint import save_checkpoint
from goalsight.cli.main import main
from goalsight.cli.search_speed import Decisions
from goalsight.cli.search_ways import make_config, make_untrained
from goalsight.models import WorldModel, WorldModelConfig


@pytest.fixture(autouse=True)
def keep_threads() -> Iterator[None]:
    """The command sets PyTorch's threads for its process, which here is everybody's."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each turn takes 10 ms, and a large matrix product does 1e9 operations a second."""
    for module in ("perf", "perf_memory", "search_speed"):
        monkeypatch.setattr(f"goalsight.cli.{module}.time", Clock(tick=0.01))
    monkeypatch.setattr("goalsight.cli.search_speed.matmul_rate", lambda *_: 1e9)


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
    floor = 10 * (2 * 2 if "plan" in argv else 1)  # iterations x blocks, or a control step
    assert report["floor_milliseconds"] == pytest.approx(floor)
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
    rows = rows_of(["--planner", "cem,icem,actor,both", "--batch", "3"], capsys)
    names = ["cem", "icem", "actor", "both, cem"]
    assert [(row["planner"], row["way"]) for row in rows] == [
        (name, way) for name in names for way in ("plain", "once")
    ]
    # both: its own plan and a quarter of 8 samples are the actor's, and imagined before the search
    evaluations = dict(zip(names, (16, 14, 1, 16 + 1 + 2), strict=True))
    for row in rows:
        assert (row["evaluations"], row["size"]) == (evaluations[row["planner"]], "tiny")
        assert (row["p50_ms"], row["p95_ms"]) == pytest.approx((10, 10))
        assert (row["batch_ms"] is None) == (row["way"] == "plain")
        assert row["rate"] == pytest.approx(row["gflop"] / 0.01)
        assert row["off"] < 1e-4
    counted = {row["planner"]: row["gflop"] for row in rows if row["way"] == "once"}
    assert counted["actor"] < counted["icem"] < counted["cem"] < counted["both, cem"]


def test_a_checkpoint_is_measured_in_place_of_an_untrained_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its own actor, or lent one; a model that looks back and feels is given both."""
    looks_back = WorldModelConfig(
        image_size=32, action_dim=2, frameskip=3, context=2, proprio_dim=3, predictor="transformer"
    )
    with_actor = WorldModelConfig(
        image_size=32, action_dim=2, frameskip=3, heads={"actor": {"width": 16, "depth": 1}}
    )
    counted = []
    for number, config in enumerate((looks_back, with_actor)):
        save_checkpoint(tmp_path / f"mine{number}", WorldModel(config), {})
        given = ["--checkpoint", str(tmp_path / f"mine{number}"), "--batch", "2"]
        rows = rows_of([*given, "--planner", "actor,cem"], capsys)
        assert {row["size"] for row in rows} == {f"mine{number}"}
        assert {row["mode"] for row in rows} == {"actor", "search"}
        counted.append(rows[0]["gflop"])
    assert counted[1] < counted[0]


@torch.inference_mode()
def test_the_count_of_a_decision_is_that_of_all_its_plans() -> None:
    """One decision under PyTorch's own counter, which `perf plan` extrapolates from a short one."""
    for who in ("icem", "both", "actor"):
        _, config = make_config(who, ["icem"], samples=12, iterations=3, horizon=2)
        decisions = Decisions(make_untrained("tiny", "cpu"), config, 1)
        with FlopCounterMode(display=False) as counter:
            decisions.decide()
        # what an iteration does once whatever its plans is counted in the short one alone
        assert decisions.count_flop() == pytest.approx(counter.get_total_flops(), rel=1e-2)


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
    assert main([*SMALL, "--planner", "cem,both", "--decisions", "1", "--batch", "2"]) == 0
    shown = capsys.readouterr().out
    assert "| tiny | both, cem | once |" in shown
    assert "times the floor" in shown
    assert "| tiny | cem | plain |" in shown
    assert "| tiny | cem | once |" in shown


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--size", "huge"], "no size 'huge'; there are: tiny, small, base, peer"),
        (["--checkpoint", "runs/none"], "runs/none"),
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
    assert exact["recall"] == 1
    # between two looks at the clock, one at the processor's
    assert (exact["p50_ms"], exact["p95_ms"]) == pytest.approx((20, 20))
