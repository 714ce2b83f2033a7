import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from goalsight.cli.compare import (
    Comparison,
    Row,
    commands,
    duration,
    find_comparison,
    make,
    read_comparison,
    table,
    write_page,
)
from goalsight.cli.parsing import parse
from goalsight.errors import UserError

PLAN = Comparison(
    collect="--env Goalsight/Push-v0 --episodes 4",
    minutes=3.0,
    pairs=10,
    benches=("push-near",),
    rows={
        "plain": Row(train="--config tiny"),
        "two stages": Row(
            train="--config vjepa-ac", pretrain="--config tiny", settings="planner.samples=9"
        ),
    },
)


def lines(name: str, tmp_path: Path) -> list[str]:
    return [shlex.join(line) for line, _ in commands(PLAN, name, tmp_path / "data", tmp_path / "x")]


def test_pretraining_shares_the_budget_with_training(tmp_path: Path) -> None:
    pretrain, train, *_ = lines("two stages", tmp_path)
    assert pretrain.startswith("pretrain --config tiny")
    assert train.startswith("train --config vjepa-ac")
    assert f"--encoder-from {tmp_path / 'x' / 'encoder'}" in train
    assert all("--trainer.max_time 00:00:01:30" in line for line in (pretrain, train))
    assert "--trainer.max_time 00:00:03:00" in lines("plain", tmp_path)[0]


def test_the_agents_settings_reach_the_benchmark_alone(tmp_path: Path) -> None:
    assert [
        line.split()[0] for line in lines("two stages", tmp_path) if "planner.samples=9" in line
    ] == ["bench"]


@pytest.mark.parametrize(("minutes", "text"), [(0.5, "00:00:00:30"), (90, "00:01:30:00")])
def test_minutes_become_lightnings_durations(minutes: float, text: str) -> None:
    assert duration(minutes) == text


@pytest.mark.parametrize("name", ["models", "plannability"])
def test_every_shipped_comparison_names_arguments_that_bench_knows(name: str) -> None:
    from goalsight.agent.config import agent_config
    from goalsight.cli.bench import bench

    plan = read_comparison(find_comparison(name))
    for row in plan.rows:
        agent_config(plan.rows[row].settings)
        for line, path in commands(plan, row, Path("data"), Path("x")):
            if line[0] == "bench":
                parse("goalsight bench", bench, [*line[1:], "--out", str(path)])


def test_a_comparison_that_is_none_says_so(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("rows: {a: {train: x, sleep: 3}}\n", encoding="utf-8")
    with pytest.raises(UserError, match="is not a comparison"):
        read_comparison(file)
    with pytest.raises(UserError, match="there are: models"):
        find_comparison("nonesuch")


def test_what_is_done_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import goalsight.cli.compare as module

    ran: list[str] = []

    def fake(command: list[str], path: Path, folder: Path) -> bool:
        ran.append(command[0])
        return len(ran) != 3  # the third fails

    monkeypatch.setattr(module, "run", fake)
    assert not make(PLAN, "plain", tmp_path / "data", tmp_path)
    assert ran == ["train", "inspect", "inspect"]
    assert make(PLAN, "plain", tmp_path / "data", tmp_path)
    assert ran[3:] == ["inspect", "inspect", "inspect", "bench"]


def reading(variable: str, r2: float) -> dict[str, Any]:
    return {"variable": variable, "probe": "mlp", "source": "encoded", "r2": r2}


def leave_results(folder: Path) -> None:
    rate = {"successes": 5, "rate": 0.5, "low": 0.24, "high": 0.76}
    files: dict[str, Any] = {
        "inspect/probe.json": {
            "readings": [reading("state.ee_pos", 0.98), reading("state.cube_pos", 0.51)]
        },
        "inspect/collapse.json": {"width": 64, "encoded": {"effective_rank": 15.2}},
        "inspect/drift.json": {"model": [0.1] * 5, "copy_last": [0.9] * 5},
        "inspect/surprise.json": {"violations": [{"auroc": 0.9}, {"auroc": 0.8}, {"auroc": 0.7}]},
        "push-near/results.json": {
            "commit": "0123456789abcdef",
            "hardware": "a processor",
            "checkpoint": {"card": {"minutes": 3.0, "steps": 700}},
            "rows": [
                {"row": "random", "terminal": rate | {"rate": 0.0}, "latency_ms": None},
                {
                    "row": "agent",
                    "terminal": rate,
                    "latency_ms": {"p50": 41.0},
                    "evaluations_per_decision": 1000,
                },
            ],
        },
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content), encoding="utf-8")


def test_the_table_shows_finished_rows_alone(tmp_path: Path) -> None:
    leave_results(tmp_path / "plain")
    text = table(PLAN, tmp_path)
    line = next(line for line in text.splitlines() if line.startswith("| plain"))
    for cell in (
        "0.98",
        "0.51",
        "15.2 of 64",
        "0.10 (copy 0.90)",
        "0.90 / 0.80 / 0.70",
        "50 % [24, 76]",
        "700",
        "41 ms",
    ):
        assert f"| {cell} " in line
    assert "two stages" not in text
    assert "| random actions |" in text


def test_the_table_replaces_its_part_of_a_page_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "a\n<!-- comparison: made -->\nold\n<!-- /comparison -->\nb\n", encoding="utf-8"
    )
    write_page(page, "comparison", "new")
    content = page.read_text(encoding="utf-8")
    assert content == "a\n<!-- comparison: made -->\n\nnew\n\n<!-- /comparison -->\nb\n"
    page.write_text("no part\n", encoding="utf-8")
    with pytest.raises(UserError, match="has no part"):
        write_page(page, "comparison", "new")
