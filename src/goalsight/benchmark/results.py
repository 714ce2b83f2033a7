"""The result of a run: the table and every pair behind it, as `results.json`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goalsight.benchmark.statistics import PairedTest, SuccessRate, mcnemar, p_value, success_rate
from goalsight.errors import UserError
from goalsight.io import read_json

SCHEMA = 1
"""Version of the shape of `results.json`."""
HOLD = 5
"""Control steps at the end of the budget that must all be inside the threshold."""
RENAMED_ROWS = {"both": "hybrid", "hold": "zero"}
"""What rows of version 0.1 are called now; its files still load."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What happened to one pair in one row."""

    row: str
    pair: int
    terminal: bool
    """Inside the threshold at each of the last 5 control steps of the budget."""
    anytime: bool
    """Inside the threshold after some control step."""
    distance_m: tuple[float, ...]
    """Distance to the goal at the start and after each control step, budget + 1 numbers."""
    latency_ms: tuple[float, ...]
    """Time of each decision; empty for rows that do not plan."""
    evaluations_per_decision: int
    inside: tuple[tuple[int, int], ...] | None = None
    """First and last control step of each stretch of success, with all that the task asks beside
    the distance; None where a run is older than this field."""


def outcome_from_json(fields: Mapping[str, Any]) -> Outcome:
    """An outcome as it was before `asdict` and JSON.

    Raises:
        TypeError, KeyError: if the fields are not those of an outcome.
    """
    sequences = {name: tuple(fields[name]) for name in ("distance_m", "latency_ms")}
    inside = fields.get("inside")
    spans = None if inside is None else tuple((first, last) for first, last in inside)
    return Outcome(**{**fields, **sequences, "row": row_name(fields["row"]), "inside": spans})


def stretches(inside: Sequence[bool]) -> tuple[tuple[int, int], ...]:
    """First and last control step of each stretch inside the threshold; steps count from 1.

    >>> stretches([False, True, True, False, True])
    ((2, 3), (5, 5))
    """
    edges = np.flatnonzero(np.diff([False, *inside, False]))
    return tuple((int(a) + 1, int(b)) for a, b in edges.reshape(-1, 2))


@dataclass(frozen=True, kw_only=True)
class Film:
    """What it looked like."""

    frames: NDArray[np.uint8]
    """(n, H, W, 3) pictures."""
    steps: NDArray[np.int64]
    """(n,) control step of each; the first is 0, the last the budget."""
    goal: NDArray[np.uint8]
    """(H, W, 3) goal image."""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Time of a decision at batch 1 [ms]."""

    p50: float
    p95: float


@dataclass(frozen=True, kw_only=True)
class RowResult:
    """One line of the table."""

    row: str
    pairs: int
    terminal: SuccessRate
    anytime: SuccessRate
    latency_ms: Latency | None
    """None for rows that do not plan."""
    evaluations_per_decision: int
    decisions_per_episode: float


@dataclass(frozen=True, kw_only=True)
class ManifestRef:
    """Which manifest the pairs came from."""

    name: str
    sha256: str
    env: str
    tier: str
    budget: int
    threshold: float
    """[m]"""
    control_dt: float
    """Seconds per control step."""


@dataclass(frozen=True, kw_only=True)
class CheckpointRef:
    """Which model the agent row used."""

    name: str
    sha256: str
    labels_used: list[str]
    """Simulator truth that was used in training; empty if none."""
    card: dict[str, Any]
    """The checkpoint's own card."""
    taught_by: str = ""
    """What training learned from, see `goalsight.provenance.taught_by`; empty if nobody says."""


@dataclass(frozen=True, kw_only=True)
class Results:
    """Everything in `results.json`; field by field its shape."""

    schema: int
    goalsight: str
    commit: str | None
    command: str
    hardware: str
    device: str
    """Torch device the agent ran on."""
    agent: dict[str, Any] | None
    """How the agent planned, every setting of `AgentConfig`; None if no row needed one."""
    renderer: str
    mujoco: str
    seed: int
    manifest: ManifestRef
    checkpoint: CheckpointRef | None
    """None if no row needed one."""
    rows: list[RowResult]
    mcnemar: list[PairedTest]
    """Every two rows compared on terminal success."""
    pairs: list[Outcome]
    player: dict[str, Any] | None = None
    """Who the row `player` is, see `goalsight.benchmark.guest`; None if there was none."""


def row_result(row: str, outcomes: Sequence[Outcome]) -> RowResult:
    """Summarise the pairs of one row."""
    latencies = np.array([ms for outcome in outcomes for ms in outcome.latency_ms])
    latency = None
    if latencies.size:
        p50, p95 = np.percentile(latencies, [50, 95])
        latency = Latency(p50=round(float(p50), 3), p95=round(float(p95), 3))
    return RowResult(
        row=row,
        pairs=len(outcomes),
        terminal=success_rate(np.array([outcome.terminal for outcome in outcomes])),
        anytime=success_rate(np.array([outcome.anytime for outcome in outcomes])),
        latency_ms=latency,
        evaluations_per_decision=max(outcome.evaluations_per_decision for outcome in outcomes),
        decisions_per_episode=latencies.size / len(outcomes),
    )


def compare(rows: Sequence[str], outcomes: Sequence[Outcome]) -> list[PairedTest]:
    """McNemar's test on terminal success between every two rows."""
    terminal = {
        row: np.array([outcome.terminal for outcome in outcomes if outcome.row == row])
        for row in rows
    }
    return [mcnemar((a, b), terminal[a], terminal[b]) for a, b in combinations(rows, 2)]


def comparisons(results: Results, rows: Collection[str]) -> list[str]:
    """One line for every two of some rows, the later one of the table against the earlier one.

    Args:
        results: of a run.
        rows: that are worth comparing; those that were not played are left out.
    """
    tests = [test for test in results.mcnemar if set(test.rows) <= set(rows)]
    return [
        f"{test.rows[1]} against {test.rows[0]}: {test.only_second} won, {test.only_first} lost, "
        + p_value(test.p)
        for test in tests
    ]


def to_json(results: Results) -> dict[str, Any]:
    """`results.json` as plain types."""
    return asdict(results)


def load_results(path: Path) -> Results:
    """Read a `results.json`.

    Raises:
        UserError: if the file is missing or not of this schema.
    """
    try:
        content = read_json(path, advice="give the folder of a run of goalsight bench")
        if content["schema"] != SCHEMA:
            raise UserError(f"{path} has schema {content['schema']}, this goalsight reads {SCHEMA}")
        return _from_json(content)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a results.json of goalsight: {error}") from None


def row_name(name: str) -> str:
    """What a row is called now."""
    return RENAMED_ROWS.get(name, name)


def row_from_json(row: Mapping[str, Any]) -> RowResult:
    """A line of the table as it was before `asdict` and JSON."""
    return RowResult(
        **{
            **row,
            "row": row_name(row["row"]),
            "terminal": SuccessRate(**row["terminal"]),
            "anytime": SuccessRate(**row["anytime"]),
            "latency_ms": Latency(**row["latency_ms"]) if row["latency_ms"] else None,
        }
    )


def paired_from_json(test: Mapping[str, Any]) -> PairedTest:
    """A comparison of two rows as it was before `asdict` and JSON."""
    return PairedTest(**{**test, "rows": tuple(map(row_name, test["rows"]))})


def _from_json(content: dict[str, Any]) -> Results:
    checkpoint = content["checkpoint"]
    return Results(
        **{
            "agent": None,  # runs from before it was written down
            **content,
            "manifest": ManifestRef(**content["manifest"]),
            "checkpoint": CheckpointRef(**checkpoint) if checkpoint else None,
            "rows": [row_from_json(row) for row in content["rows"]],
            "mcnemar": [paired_from_json(test) for test in content["mcnemar"]],
            "pairs": [outcome_from_json(pair) for pair in content["pairs"]],
        }
    )
