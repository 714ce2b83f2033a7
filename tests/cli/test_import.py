"""From somebody's videos to a model and its numbers, with no simulator installed."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from goalsight.cli.main import main
from goalsight.data.video import VideoWriter

NO_SIMULATOR = """
import sys
for name in ("mujoco", "goalsight_envs"):
    sys.modules[name] = None  # to import it is an ImportError from here on
from goalsight.cli.main import main
data, run, log = sys.argv[1:]
few = ["--blocks", "2", "--windows", "8", "--moments", "4", "--plans", "10", "--json"]
for argv in (
    ["data", "import", log, "--out", data, "--size", "32"],
    ["train", "--config", "tiny", "--data", data, "--out", run, "--trainer.max-steps", "3",
     "--model.frameskip", "2", "--windows.batch", "8", "--trainer.accelerator", "cpu",
     "--windows.validation", "0.3", "--cache-gb", "0.0003"],
    ["eval-offline", "--checkpoint", run, "--data", data, *few],
):
    assert main(argv) == 0, argv
"""


def film(folder: Path, episodes: int = 6, length: int = 40) -> Path:
    """A square that the action moves; actions in millimetres."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(episodes):
        writer = VideoWriter(folder / f"run-{number}.mp4", 36, 10)
        with (folder / f"run-{number}.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["timestamp", "action", "state.x"])
            x = 10.0
            for t in range(length):
                action = float(rng.uniform(-40, 40))
                frame = np.full((36, 36, 3), 40, np.uint8)
                frame[12:22, int(x) : int(x) + 10] = 220
                writer.add(frame)
                table.writerow([t / 10, action, x])
                x = float(np.clip(x + action / 10, 0, 26))
        writer.close()
    return folder


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("film") / "log")


def test_import_and_export_say_what_they_did(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "d")
    given = ["data", "import", str(log), "--out", out, "--action-low=-50", "--action-high", "50"]
    assert main(given) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{out}: 6 episodes, 240 frames of video at 10 Hz",
        "actions are scaled to [-1, 1] by the bounds given",
    ]
    assert main([*given, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kept"] == 6
    assert main(["data", "export", out, "--out", str(tmp_path / "plain")]) == 0
    assert "observation.images.video" in capsys.readouterr().out
    assert main(["data", "info", out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["policy"] == "logged"


def test_a_log_is_imported_trained_on_and_judged_without_a_simulator(
    log: Path, tmp_path: Path
) -> None:
    """One process for the three: their imports take longer than they do."""
    places = [str(tmp_path / "data"), str(tmp_path / "run"), str(log)]
    done = subprocess.run(
        [sys.executable, "-c", NO_SIMULATOR, *places], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout[done.stdout.index("\n{") :])
    assert report["dataset"]["held_out"] == "the training run's validation episodes"
    assert report["planned"]["moments"] == 4


def test_a_dataset_of_somebody_else_is_told_how_to_be_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/info.json").write_text('{"codebase_version": "v2.1"}')
    assert main(["data", "info", str(tmp_path)]) == 2
    assert f"goalsight data import {tmp_path} --out FOLDER" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--action-low", "x", "--action-high", "1"], "--action-low takes numbers"),
        (["--action-high", "1"], "action bounds come in pairs"),
        (["--size", "8"], "size must be at least 16 pixels"),
        (["--state", "state.y"], "has no column 'state.y', did you mean 'state.x'? it has:"),
    ],
)
def test_a_wrong_flag_is_one_line(
    extra: list[str], message: str, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "import", str(log), "--out", str(tmp_path / "d"), *extra]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
