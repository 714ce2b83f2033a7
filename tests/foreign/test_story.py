"""Collect, train, plan and benchmark on environments that know nothing of goalsight."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from goalsight.data import open_dataset

DOT = "toy_env:Toy/Dot-v0?goal=observation:0:2,threshold=0.05,proprio=0:2"
BALL = "toy_env:Toy/Ball-v0?camera=above"
Run = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("env", [DOT, BALL], ids=["replay", "mujoco"])
def test_it_collects_trains_plans_and_benchmarks(env: str, tmp_path: Path, run: Run) -> None:
    """One story, as a user would type it; the agent gets the dataset's pictures by the bare id."""
    data, model, bench = (str(tmp_path / name) for name in ("data", "model", "bench"))
    collect = ["collect", "--env", env, "--episodes", "4", "--out", data, "--size", "32"]
    status, _, err = run(*collect, "--steps", "30", "--workers", "1", "--video", "none")
    assert status == 0, err
    dataset = open_dataset(Path(data))
    assert (dataset.action_dim, dataset.provenance.env) == (2, env)
    assert len(dataset.episodes) == 4
    train = ["train", "--config", "tiny", "--data", data, "--out", model]
    fast = ["--trainer.max-steps", "4", "--windows.batch", "8", "--model.frameskip", "2"]
    status, _, err = run(*train, *fast, "--trainer.accelerator", "cpu")
    assert status == 0, err
    bare = env.partition("?")[0]
    search = ["--settings", "planner.samples=8,planner.iterations=1,planner.horizon=2"]
    plan = ["plan", "--checkpoint", model, "--env", bare, "--out", str(tmp_path / "plan")]
    status, out, err = run(*plan, "--steps", "4", *search)
    assert status == 0, err
    assert json.loads((tmp_path / "plan" / "plan.json").read_text())["env"] == env
    argv = ["bench", "--checkpoint", model, "--env", bare, "--out", bench, "--pairs", "2"]
    status, out, err = run(*argv, "--budget", "6", "--workers", "1", "--json", *search)
    assert status == 0, err
    assert [row["row"] for row in json.loads(out)["rows"]] == ["random", "zero", "agent"]
