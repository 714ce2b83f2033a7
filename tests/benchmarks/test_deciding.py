"""`benchmarks.deciding`: every way to decide has a row, and what is faster finds the same plan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.deciding import count_flop, deciding, make_config
from benchmarks.models import Decisions, make_untrained
from benchmarks.timing import run
from goalsight.checkpoint import save_checkpoint
from goalsight.models import WorldModel, WorldModelConfig

SMALL = "planner.samples=60,planner.iterations=2,planner.horizon=2,actor.proposals=2"


def rows_of(argv: list[str], capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    assert run(deciding, ["--settings", SMALL, *argv, "--rounds", "2", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ratio"] == report["milliseconds"] / report["floor_milliseconds"]
    rows: list[dict[str, Any]] = report["rows"]
    return rows


def test_all_that_decides_has_a_row_and_what_is_faster_finds_the_same_plan(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = rows_of(["--who", "cem,icem,actor,hybrid", "--batch", "3"], capsys)
    names = ["cem", "icem", "actor", "hybrid"]
    assert [(row["who"], row["way"]) for row in rows] == [
        (name, way) for name in names for way in ("plain", "once")
    ]
    # hybrid: its own plan and 2 others are the actor's, and imagined before the search
    evaluations = dict(zip(names, (120, 108, 1, 120 + 1 + 2), strict=True))
    for row in rows:
        assert (row["evaluations"], row["size"]) == (evaluations[row["who"]], "tiny")
        assert row["timing"]["milliseconds"] == row["timing"]["least"] == pytest.approx(10)
        assert row["floor"]["milliseconds"] == pytest.approx(10)  # of all iterations and blocks
        assert (row["of_many"] is None) == (row["way"] == "plain")
        assert row["of_many"] is None or row["of_many"]["milliseconds"] == pytest.approx(10 / 3)
        assert row["off"] < 1e-4
    counted = {row["who"]: row["gflop"] for row in rows if row["way"] == "once"}
    assert counted["actor"] < counted["icem"] < counted["cem"] < counted["hybrid"]


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
        rows = rows_of([*given, "--who", "actor,cem"], capsys)
        assert {row["size"] for row in rows} == {f"mine{number}"}
        counted.append(rows[0]["gflop"])
    assert counted[1] < counted[0]


@torch.inference_mode()
def test_a_decision_of_twice_the_plans_is_twice_the_work() -> None:
    """Beside the look at the picture, which both take once."""
    checkpoint = make_untrained("tiny", "cpu")
    one, two, three = (
        count_flop(Decisions(checkpoint, make_config("cem", f"planner.samples={many}"), 1).decide)
        for many in (50, 100, 150)
    )
    assert three - two == pytest.approx(two - one, rel=1e-3)
    assert two > 1.5 * one


def test_the_transformer_of_the_peer_saves_what_the_count_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """15 frames through all layers a plan the plain way: docs/results/2026-11-22-speed.md."""
    settings = SMALL.replace("planner.horizon=2", "planner.horizon=5")
    argv = ["--size", "peer", "--who", "cem", "--settings", settings, "--batch", "0"]
    plain, once = rows_of(argv, capsys)
    assert plain["gflop"] / once["gflop"] == pytest.approx(1.5, abs=0.05)
    assert once["of_many"] is None
    assert once["off"] < 1e-4


def test_people_get_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--settings", SMALL, "--who", "cem,hybrid", "--rounds", "1", "--batch", "2"]
    assert run(deciding, argv) == 0
    shown = capsys.readouterr().out
    assert "floor: the predictor's matrix products" in shown
    for row in ("| tiny | cem | plain |", "| tiny | cem | once |", "| tiny | hybrid | once |"):
        assert row in shown


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--settings", "planner.samples=1"], "elites must be in [2, samples]"),
        (["--size", "huge"], "no size 'huge'; there are: tiny, small, base, peer"),
        (["--checkpoint", "runs/none"], "runs/none"),
        (["--who", "nobody"], "nobody"),
        (["--who", ","], "give at least one"),
        (["--ways", "quick"], "no way 'quick'; there are: plain, once"),
        (["--rounds", "0", "--who", "actor"], "at least 1 round"),
        (["--batch", "-1"], "--batch must be at least 0"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(deciding, argv) == 2
    assert message in capsys.readouterr().err
