"""The whole benchmark on real pairs, with the rows that need no model."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from goalsight.benchmark import (
    BenchmarkConfig,
    Manifest,
    load_results,
    run_benchmark,
    save_manifest,
)
from goalsight.benchmark.run import PAIRS, _check_agent
from goalsight.cli.main import main
from goalsight.errors import CheckpointError, UserError

SCRIPTED = ("random", "zero", "expert")


@pytest.fixture(scope="module")
def run(reach: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pairs of three rows, one worker."""
    out = tmp_path_factory.mktemp("bench") / "run"
    run_benchmark(reach, BenchmarkConfig(out=out, rows=SCRIPTED, pairs=2))
    return out


def test_results_have_the_shape_that_scripts_rely_on(run: Path, reach: Manifest) -> None:
    """Key for key as PROTOCOL writes it down."""
    content = json.loads((run / "results.json").read_text())
    top = "schema goalsight commit command hardware renderer manifest checkpoint rows pairs"
    assert set(top.split()) <= set(content)
    assert {"name", "sha256", "env", "tier", "budget"} <= set(content["manifest"])
    assert content["manifest"]["sha256"] == reach.hash
    row = content["rows"][0]
    keys = "row pairs terminal anytime latency_ms evaluations_per_decision"
    assert set(keys.split()) <= set(row)
    assert set(row["terminal"]) == set(row["anytime"]) == {"successes", "rate", "low", "high"}
    assert [row["row"] for row in content["rows"]] == list(SCRIPTED)
    pair = content["pairs"][0]
    assert {"row", "pair", "terminal", "anytime", "distance_m"} <= set(pair)
    assert len(pair["distance_m"]) == reach.budget + 1
    assert len(content["mcnemar"]) == 3


def test_the_expert_reaches_what_standing_still_does_not(run: Path) -> None:
    rates = {row.row: row.terminal.rate for row in load_results(run / "results.json").rows}
    assert rates["expert"] == 1
    assert rates["zero"] == 0


def test_standing_still_keeps_its_distance(run: Path, reach: Manifest) -> None:
    """The hold row starts where the manifest says and ends where it starts, to a centimetre."""
    held = [o for o in load_results(run / "results.json").pairs if o.row == "zero"]
    for outcome, pair in zip(held, reach.pairs, strict=False):
        assert outcome.distance_m[0] == pytest.approx(pair.displacement, abs=1e-6)
        assert outcome.distance_m[-1] == pytest.approx(pair.displacement, abs=0.02)


def test_workers_and_interruptions_change_nothing(
    run: Path, reach: Manifest, tmp_path: Path
) -> None:
    """Two workers, first half of it, a lost line, then the rest: the same pairs to the digit."""
    out = tmp_path / "other"
    run_benchmark(reach, BenchmarkConfig(out=out, rows=("random",), pairs=1, workers=2))
    run_benchmark(reach, BenchmarkConfig(out=out, rows=SCRIPTED[:2], pairs=2, workers=2))
    second = out / "pairs.2.jsonl"
    lines = second.read_text().splitlines(keepends=True)
    second.write_text("".join(lines[:-1]) + lines[-1][:20])
    steps: list[tuple[int, int]] = []
    config = BenchmarkConfig(out=out, rows=SCRIPTED, pairs=2, workers=2)
    again = run_benchmark(reach, config, lambda done, total: steps.append((done, total)))
    assert again.pairs == load_results(run / "results.json").pairs
    assert steps == [(3, 6), (4, 6), (5, 6), (6, 6)]


def test_a_finished_run_is_read_not_played(run: Path, reach: Manifest) -> None:
    steps: list[tuple[int, int]] = []
    config = BenchmarkConfig(out=run, rows=SCRIPTED, pairs=2)
    run_benchmark(reach, config, lambda done, total: steps.append((done, total)))
    assert steps == [(6, 6)]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"rows": ("random", "magic")},
            "unknown row 'magic'; there are: random, zero, expert, ora",
        ),
        ({"rows": ()}, "named once each"),
        ({"rows": ("zero", "zero")}, "named once each"),
        ({"pairs": 0}, "pairs must be at least 1, got 0"),
        ({"workers": -1}, "workers must be at least 0, got -1"),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
    ],
)
def test_a_config_out_of_range_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        BenchmarkConfig(**{"out": Path("nowhere"), **changed})


def test_actions_of_another_width_are_refused_by_both_widths() -> None:
    agent, env = SimpleNamespace(name="so101", action_dim=6), SimpleNamespace()
    env.action_space = SimpleNamespace(shape=(4,))
    with pytest.raises(CheckpointError, match="so101 plans actions of 6 numbers, the task takes 4"):
        _check_agent(agent, env)  # type: ignore[arg-type]


def test_the_command_prints_the_table_and_where_the_report_is(
    run: Path, reach: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save_manifest(reach, tmp_path)
    argv = ["bench", "--manifest", str(path), "--out", str(run), "--pairs", "2"]
    assert main([*argv, "--rows", "random,zero,expert"]) == 0
    printed = capsys.readouterr().out
    assert "expert   100 % [34, 100]" in printed
    assert f"report: {run / 'report.html'}" in printed
    assert main([*argv, "--rows", "zero, expert", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [row["row"] for row in content["rows"]] == ["zero", "expert"]
    assert Path(content["report"]).is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "agent"], "an agent needs a checkpoint: add --checkpoint DIR"),
        (["--rows", "zero,dance"], "unknown row 'dance'; there are: random, zero, expert, oracl"),
        (["--rows", "zero", "--seed", "7"], "holds a run with seed 0, this one has 7"),
        (["--rows", "zero", "--manifest", "push-naer"], "'push-naer', did you mean 'push-near'?"),
    ],
)
def test_what_a_user_can_mend_is_one_line(
    run: Path,
    reach: Manifest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    path = save_manifest(reach, tmp_path)
    before = (run / "results.json").read_bytes()
    assert main(["bench", "--out", str(run), "--manifest", str(path), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert (run / "results.json").read_bytes() == before


def test_workers_end_with_a_run_that_was_killed(tmp_path: Path) -> None:
    """They used to play on, all that was queued, for nobody."""
    command = [sys.executable, "-m", "goalsight.cli.main", "bench", "--manifest", "reach-near"]
    options = ["--rows", "expert", "--workers", "1", "--out", str(tmp_path / "run")]
    run = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)
    pairs = tmp_path / "run" / PAIRS
    wait_until(
        lambda: (
            run.poll() is not None or (pairs.is_file() and len(pairs.read_text().splitlines()) > 1)
        )
    )
    workers = children_of(run.pid)
    assert workers
    run.kill()
    run.wait()
    wait_until(lambda: not any(Path(f"/proc/{pid}/task").exists() for pid in workers))


def children_of(pid: int) -> list[int]:
    """Processes that a process started."""
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=True
    )
    return [int(line) for line in listed.stdout.split()]


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait as long as it takes; pytest ends a test that hangs."""
    while not condition():
        time.sleep(0.1)
