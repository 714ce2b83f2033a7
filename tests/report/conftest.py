"""A small finished run, made up: two rows, one of them filmed in full."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from goalsight.benchmark.results import (
    CheckpointRef,
    Film,
    ManifestRef,
    Outcome,
    Results,
    compare,
    row_result,
    save_film,
    stretches,
    to_json,
)
from goalsight.benchmark.run import open_store
from goalsight.io import replace_json

BUDGET, THRESHOLD, SIZE = 10, 0.04, 16


def outcome(row: str, pair: int, distances: Sequence[float]) -> Outcome:
    inside = [distance <= THRESHOLD for distance in distances[1:]]
    return Outcome(
        row=row,
        pair=pair,
        terminal=all(inside[-5:]),
        anytime=any(inside),
        distance_m=tuple(distances),
        latency_ms=(40.0, 60.0) if row == "agent" else (),
        evaluations_per_decision=1000 if row == "agent" else 0,
        inside=stretches(inside),
    )


def outcomes() -> list[Outcome]:
    """Of the agent: held, missed, reached but lost, missed by more. Holding solves nothing."""
    falling = np.linspace(0.2, 0.01, BUDGET + 1).clip(0.02).tolist()
    curves = {
        "zero": [[0.1 + 0.1 * pair] * (BUDGET + 1) for pair in range(4)],
        "agent": [
            [0.1] * 3 + [0.03] * (BUDGET - 2),
            [0.2] * BUDGET + [0.15],
            [*falling[:-1], 0.09],
            [0.4] * (BUDGET + 1),
        ],
    }
    return [outcome(row, i, curve) for row in curves for i, curve in enumerate(curves[row])]


@pytest.fixture(scope="session")
def results() -> Results:
    """Results of the made-up run; its names try to break the page."""
    played = outcomes()
    rows = ("zero", "agent")
    return Results(
        schema=1,
        goalsight="0.1.0",
        commit="abc123",
        command="goalsight bench --out '<b>'",
        hardware="a processor",
        device="cpu",
        agent={"planner": {"samples": 200}, "replan": 1},
        renderer="egl",
        mujoco="4.0.0",
        seed=0,
        manifest=ManifestRef(
            name="push-near",
            sha256="f00d",
            env="Goalsight/Push-v0",
            tier="near",
            budget=BUDGET,
            threshold=THRESHOLD,
            control_dt=0.1,
        ),
        checkpoint=CheckpointRef(
            name="<script>alert(1)</script>", sha256="beef", labels_used=["cube_pos"], card={}
        ),
        rows=[row_result(row, [o for o in played if o.row == row]) for row in rows],
        mcnemar=compare(rows, played),
        pairs=played,
    )


@pytest.fixture(scope="session")
def run(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the made-up run, with films."""
    path = tmp_path_factory.mktemp("report") / "run"
    open_store(path, {})
    rng = np.random.default_rng(0)
    for played in results.pairs:
        steps = np.arange(BUDGET + 1) if played.row == "agent" else np.array([0, 5, 10])
        frames = rng.integers(0, 256, (len(steps), SIZE, SIZE, 3)).astype(np.uint8)
        save_film(path, played, Film(frames=frames, steps=steps, goal=frames[-1]))
    replace_json(path / "results.json", to_json(results))
    return path
