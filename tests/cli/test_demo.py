"""The whole loop as one command, microscopic: it runs to its end, and again at once."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from goalsight.benchmark import Outcome
from goalsight.cli.demo import BENCHES, Shown, commands, is_trained, pair_to_show, plan_command
from goalsight.cli.main import main

ARGUMENTS = (
    "--episodes",
    "2",
    "--pairs",
    "1",
    "--workers",
    "1",
    "--train-time",
    "00:00:00:02",
)


def test_the_demo_runs_end_to_end_and_a_second_run_reuses_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through the commands that a user would type; the folder's name has a space in it."""
    out = tmp_path / "my demo"
    assert main(["demo", "--out", str(out), *ARGUMENTS]) == 0
    first = capsys.readouterr().out
    for line in ("collect --env", "train --config", "bench --checkpoint", "plan --checkpoint"):
        assert f"== goalsight {line}" in first
    results = {name: (out / name / "results.json").read_text() for name in BENCHES}
    for name, text in results.items():
        assert f"report: {out / name / 'report.html'}" in first
        assert (out / name / "report.html").read_text().startswith("<!")
        rows = [row["row"] for row in json.loads(text)["rows"]]
        assert rows == ["random", "zero", "expert", "agent"]
    assert (out / "plan" / "rollout.mp4").is_file()
    shown = json.loads((out / "plan" / "plan.json").read_text())
    played = {o["row"]: o for o in json.loads(results[shown["manifest"]["name"]])["pairs"]}
    assert shown["success"] is played["agent"]["terminal"]
    assert shown["distance_m"] == played["agent"]["distance_m"]
    assert f"shown     pair 0 of {shown['manifest']['name']}, " in first
    assert is_trained(out / "model")
    weights = out / "model" / "checkpoint" / "model.safetensors"
    before = (weights.stat().st_mtime_ns, results)
    capsys.readouterr()

    assert main(["demo", "--out", str(out), *ARGUMENTS]) == 0
    second = capsys.readouterr().out
    assert "2 episodes, 200 frames; all of them were there before" in second
    assert f"{out / 'model'} is trained already" in second
    again = {name: json.loads((out / name / "results.json").read_text()) for name in BENCHES}
    assert weights.stat().st_mtime_ns == before[0]
    for name, text in results.items():
        assert again[name]["pairs"] == json.loads(text)["pairs"]  # latencies too: none was played


def test_the_demo_stops_at_the_first_command_that_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.tex").write_text("years of work")
    assert main(["demo", "--out", str(tmp_path), *ARGUMENTS]) == 2
    printed = capsys.readouterr()
    assert printed.out.count("== goalsight") == 1
    assert "already holds something else (thesis.tex)" in printed.err
    assert [entry.name for entry in tmp_path.iterdir()] == ["data"]


def test_a_run_that_has_not_come_to_its_end_is_not_taken_for_a_trained_model(
    tmp_path: Path,
) -> None:
    assert not is_trained(tmp_path)
    card = tmp_path / "checkpoint" / "card.json"
    card.parent.mkdir()
    for finished in (False, True):
        card.write_text(json.dumps({"finished": finished}))
        assert is_trained(tmp_path) is finished


def test_every_path_reaches_its_command_whole() -> None:
    """A blank in the folder's name used to cut it in two."""
    out = Path("my runs") / "the 'demo'"
    shown = Shown(manifest="push-near", pair=0, solved=0, pairs=1)
    for command in [*commands(out, 2, 1, 1, "00:00:00:02"), plan_command(out, shown)]:
        assert all(str(out) in argument for argument in command if "my runs" in argument)
        assert shlex.split(shlex.join(command)) == command
        assert command[command.index("--out") + 1].startswith(str(out))


def pairs(*terminal: bool) -> list[Outcome]:
    return [
        Outcome(
            row="agent",
            pair=pair,
            terminal=solved,
            anytime=True,
            distance_m=(0.1, 0.0),
            latency_ms=(),
            evaluations_per_decision=0,
        )
        for pair, solved in enumerate(terminal)
    ]


def test_the_pair_it_shows_was_solved_if_any_was_and_it_says_how_many_were() -> None:
    """It used to end on a start of its own that the agent did not solve, and called it a plan."""
    solved = pair_to_show({"easy": pairs(True, True), "hard": pairs(False, False, True, True)})
    assert str(solved) == "pair 2 of hard, one of the 2 of 4 that it solved there"
    easier = pair_to_show({"easy": pairs(False, True), "hard": pairs(False, False)})
    assert str(easier) == "pair 1 of easy, one of the 1 of 2 that it solved there"
    none = pair_to_show({"easy": pairs(False), "hard": pairs(False, False)})
    assert str(none) == "pair 0 of hard, of whose 2 pairs it solved none"
