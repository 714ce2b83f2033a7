"""`goalsight memory build`, and the commands that plan with one, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from goalsight.checkpoint import save_checkpoint
from goalsight.cli.main import main
from goalsight.data import open_dataset, validate
from goalsight.models import WorldModel, WorldModelConfig

PUSH = "Goalsight/Push-v0"
QUICK = (
    "planner.samples=4,planner.elites=2,planner.iterations=1,planner.horizon=2,"
    "subgoals.aim_blocks=1,subgoals.match_radius=100"
)
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, two episodes of play, and their memory."""
    root = tmp_path_factory.mktemp("memory")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = WorldModel(WorldModelConfig(image_size=32)).eval()
    save_checkpoint(root / "model", model, {})
    collect(root / "data", "--policy", "play", "--episodes", "2")
    assert main(["memory", "build", *paths(root), "--out", str(root / "m")]) == 0
    return root


def paths(root: Path) -> list[str]:
    return ["--checkpoint", str(root / "model"), "--data", str(root / "data")]


def collect(out: Path, *more: str) -> int:
    given = ["--env", PUSH, "--out", str(out), "--size", "32", "--steps", "20"]
    return main(["collect", *given, "--video", "none", "--workers", "1", *more])


def refused(status: int, capsys: Capture) -> str:
    printed = capsys.readouterr()
    assert (status, printed.out) == (2, "")
    assert printed.err.startswith("goalsight: error: ")
    assert printed.err.count("\n") == 1
    return printed.err


def test_building_says_what_it_made_and_overwrites_nothing(
    home: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "m"
    capsys.readouterr()
    assert main(["memory", "build", *paths(home), "--out", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["episodes"], said["frames"], said["index"]) == (2, 40, "exact")
    before = out.read_bytes()
    status = main(["memory", "build", *paths(home), "--out", str(out)])
    assert "is there already" in refused(status, capsys)
    assert out.read_bytes() == before


def test_a_plan_says_what_each_decision_aimed_at(
    home: Path, tmp_path: Path, capsys: Capture
) -> None:
    command = ["plan", "--checkpoint", str(home / "model"), "--env", PUSH, "--steps", "10"]
    given = ["--out", str(tmp_path / "plan"), "--settings", QUICK, "--memory", str(home / "m")]
    frames = np.load(next((home / "data/cache").rglob("episode-000000.npy")))
    Image.fromarray(frames[-1]).save(tmp_path / "end.png")  # an episode leads there
    given += ["--goal", str(tmp_path / "end.png")]
    assert main([*command, *given, "--json"]) == 0
    aims = json.loads(capsys.readouterr().out)["subgoals"]
    assert len(aims) == 2
    for aim in aims:
        assert aim is None or aim["start"] < aim["aim"] < aim["end"]
    assert any(aims)


def test_a_benchmark_keeps_memory_and_none_apart(
    home: Path, tmp_path: Path, capsys: Capture
) -> None:
    given = ["--checkpoint", str(home / "model"), "--manifest", "push-near", "--rows", "agent"]
    command = ["bench", *given, "--pairs", "1", "--workers", "1", "--out", str(tmp_path / "run")]
    command += ["--settings", QUICK]
    assert main([*command, "--memory", str(home / "m")]) == 0
    agent = json.loads((tmp_path / "run/results.json").read_text())["agent"]
    assert len(agent["memory"]) == 64
    capsys.readouterr()
    assert "holds a run with agent" in refused(main(command), capsys)


def test_a_memory_of_another_model_or_none_is_refused(
    home: Path, tmp_path: Path, capsys: Capture
) -> None:
    torch.manual_seed(1)  # other weights than those of the memory's model
    save_checkpoint(tmp_path / "other", WorldModel(WorldModelConfig(image_size=32)).eval(), {})
    command = ["plan", "--checkpoint", str(tmp_path / "other"), "--env", PUSH]
    command += ["--out", str(tmp_path / "plan"), "--memory"]
    capsys.readouterr()
    assert "another encoder" in refused(main([*command, str(home / "m")]), capsys)
    assert "no memory at" in refused(main([*command, str(tmp_path / "none")]), capsys)
    assert not (tmp_path / "plan").exists()


def test_an_agent_collects_and_each_episode_keeps_its_goal(home: Path, tmp_path: Path) -> None:
    out, agent = tmp_path / "own", ["--policy", "agent", "--checkpoint", str(home / "model")]
    agent += ["--settings", QUICK, "--memory", str(home / "m")]
    assert collect(out, "--episodes", "1", *agent) == 0
    assert collect(out, "--episodes", "2", *agent) == 0
    dataset = open_dataset(out)
    assert dataset.provenance.agent is not None
    assert dataset.provenance.agent["settings"] == QUICK
    assert [record.goal is not None for record in dataset.records] == [True, True]
    assert validate(out) == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--policy", "agent"], "--policy agent needs --checkpoint"),
        (["--policy", "play", "--checkpoint", "MODEL"], "add --policy agent"),
        (["--policy", "agent", "--checkpoint", "MODEL", "--size", "64"], "collect with --size 32"),
        (["--policy", "agent", "--checkpoint", "MODEL", "--settings", "x=1"], "no agent setting"),
    ],
)
def test_flags_of_the_agent_that_do_not_fit_are_refused(
    home: Path, tmp_path: Path, capsys: Capture, flags: list[str], message: str
) -> None:
    given = [str(home / "model") if flag == "MODEL" else flag for flag in flags]
    capsys.readouterr()
    status = collect(tmp_path / "own", "--episodes", "1", *given)
    assert message in refused(status, capsys)
    assert not (tmp_path / "own").exists()
