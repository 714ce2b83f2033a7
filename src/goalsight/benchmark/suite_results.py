"""The result of a suite: every task's table in one file, as `suite.json`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from goalsight.benchmark.results import ManifestRef, RowResult, paired_from_json, row_from_json
from goalsight.benchmark.statistics import PairedTest
from goalsight.errors import UserError
from goalsight.io import read_json

SCHEMA = 1
"""Version of the shape of `suite.json`."""
SUITE = "suite.json"


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """One manifest of the suite; its pairs are in its own folder's `results.json`."""

    folder: str
    """Name of its folder in the suite's."""
    manifest: ManifestRef
    rows: list[RowResult]
    mcnemar: list[PairedTest]
    """Rows that act by a learned model, every two of them, on terminal success."""
    left_out: str
    """Which rows are not there and why; empty where all are."""


@dataclass(frozen=True, kw_only=True)
class ModelRef:
    """Which model the agent's rows used."""

    name: str
    sha256: str
    labels_used: list[str]
    """Simulator truth that was used in training; empty if none."""
    taught_by: str = ""
    """What training learned from, see `goalsight.provenance.taught_by`; empty if nobody says."""


@dataclass(frozen=True, kw_only=True)
class SuiteResults:
    """Everything in `suite.json`; field by field its shape."""

    schema: int
    suite: str
    """Name of the suite."""
    goalsight: str
    commit: str | None
    """Of goalsight when the pairs were played; several, separated by commas, if it changed."""
    command: str
    hardware: str
    """Of every machine that played."""
    device: str
    agent: dict[str, Any] | None
    """How the agent planned; None if no row needed one."""
    renderer: str
    mujoco: str
    seed: int
    checkpoint: ModelRef | None
    tasks: list[TaskResult]


def suite_to_json(results: SuiteResults) -> dict[str, Any]:
    """`suite.json` as plain types."""
    return asdict(results)


def load_suite_results(path: Path) -> SuiteResults:
    """Read a `suite.json`.

    Raises:
        UserError: if the file is missing or not of this schema.
    """
    try:
        content = read_json(path, advice="give the folder of a run of goalsight bench --suite")
        if content["schema"] != SCHEMA:
            raise UserError(f"{path} has schema {content['schema']}, this goalsight reads {SCHEMA}")
        model = content["checkpoint"]
        tasks = [_task(task) for task in content["tasks"]]
        return SuiteResults(
            **{**content, "checkpoint": ModelRef(**model) if model else None, "tasks": tasks}
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a suite.json of goalsight: {error}") from None


def _task(task: dict[str, Any]) -> TaskResult:
    return TaskResult(
        **{
            **task,
            "manifest": ManifestRef(**task["manifest"]),
            "rows": [row_from_json(row) for row in task["rows"]],
            "mcnemar": [paired_from_json(test) for test in task["mcnemar"]],
        }
    )
