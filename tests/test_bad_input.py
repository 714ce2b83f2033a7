"""Bad input across the commands: one clear line, exit status 2, nothing overwritten or lost.

What a single part refuses is tested beside that part; here are the ways through several.
"""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from goalsight.checkpoint import load_checkpoint, save_checkpoint
from goalsight.cli.main import main
from goalsight.data import validate
from goalsight.data.collect import CollectConfig, collect
from goalsight.io import replace_json
from goalsight.models import WorldModel, WorldModelConfig

FULL = Path("/dev/full")
PUSH = "Goalsight/Push-v0"
Run = Callable[..., tuple[int, str, str]]
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*argv: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(list(argv))
        return status, *capsys.readouterr()

    return call


def refused(result: tuple[int, str, str]) -> str:
    """The line of a refusal; a progress bar may have been drawn before it."""
    status, out, err = result
    line = err.splitlines()[-1]
    assert (status, out) == (2, "")
    assert line.startswith("goalsight: error: ")
    assert err.count("goalsight: error") == 1
    assert "Traceback" not in err
    return line


def model_in(folder: Path, **changes: Any) -> Path:
    model = WorldModel(WorldModelConfig(image_size=32, **changes)).eval()
    save_checkpoint(folder, model, {"labels_used": []})
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two short episodes of the real task, with videos."""
    config = CollectConfig(env=PUSH, episodes=2, out=tmp_path / "data", size=32, steps=20)
    collect(config)
    return config.out


def full(path: Path, *_: object) -> None:
    """Stands for a writer on a disk without room."""
    raise OSError(errno.ENOSPC, "No space left on device", str(path))


def training(data: Path, out: Path) -> list[str]:
    small = ["--windows.batch", "4", "--model.frameskip", "2", "--windows.frames", "2"]
    return ["train", "--data", str(data), "--out", str(out), "--trainer.accelerator", "cpu", *small]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def write_something_else(path: Path) -> None:
    path.write_text("not a video")


def take_the_other_episodes(path: Path) -> None:
    path.write_bytes(path.with_name("file-001.mp4").read_bytes())


@pytest.mark.parametrize("damage", [truncate, write_something_else, take_the_other_episodes])
def test_training_refuses_a_truncated_or_foreign_video(
    run: Run, data: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    damage(next(data.rglob("file-000.mp4")))
    line = refused(run(*training(data, tmp_path / "run")))
    assert "file-000.mp4 is not the file that was written" in line
    assert not (tmp_path / "run" / "checkpoint").exists()


def test_training_refuses_a_table_without_a_column(run: Run, data: Path, tmp_path: Path) -> None:
    table = next((data / "data").rglob("*.parquet"))
    pq.write_table(pq.read_table(table).drop_columns(["observation.state"]), table)
    line = refused(run(*training(data, tmp_path / "run")))
    assert "has no column 'observation.state'" in line
    assert not (tmp_path / "run" / "checkpoint").exists()


def test_a_benchmark_refuses_checkpoints_that_are_damaged_missing_or_of_another_robot(
    run: Run, tmp_path: Path
) -> None:
    def bench(checkpoint: Path | str) -> str:
        arguments = ["--manifest", "push-near", "--pairs", "1", "--out", str(tmp_path / "out")]
        return refused(run("bench", "--checkpoint", str(checkpoint), *arguments))

    other = model_in(tmp_path / "other", action_dim=6)
    assert "plans actions of 6 numbers, the task takes 4" in bench(other)
    weights = other / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert "model.safetensors is not the file that was saved (sha256" in bench(other)
    assert "no checkpoint" in bench(tmp_path / "nowhere")
    assert not (tmp_path / "out").exists()


def test_a_model_that_diverged_is_refused_before_anything_is_written(
    run: Run, tmp_path: Path
) -> None:
    model = WorldModel(WorldModelConfig(image_size=32)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.fill_(torch.nan)
    save_checkpoint(tmp_path / "model", model, {})
    arguments = ["--checkpoint", str(tmp_path / "model"), "--env", PUSH, "--steps", "2"]
    line = refused(run("plan", *arguments, "--out", str(tmp_path / "out")))
    assert "predicts latents that are not numbers" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("device", ["abacus", "cuda:99"])
def test_a_device_that_is_not_there_is_refused_by_every_command_that_takes_one(
    run: Run, tmp_path: Path, device: str
) -> None:
    model, out = model_in(tmp_path / "model"), tmp_path / "out"
    shared = ["--checkpoint", str(model), "--out", str(out), "--device", device]
    for command in (["plan", "--env", PUSH], ["bench", "--manifest", "push-near"]):
        line = refused(run(*command, *shared))
        assert f"device '{device}' cannot be used here" in line
    assert not out.exists()


@needs_full
def test_a_full_disk_ends_a_plan_in_one_line(run: Run, tmp_path: Path) -> None:
    """/dev/full answers every write as a full disk does."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "goal.png").symlink_to(FULL)
    arguments = ["--checkpoint", str(model_in(tmp_path / "model")), "--env", PUSH, "--steps", "2"]
    assert "the disk is full" in refused(run("plan", *arguments, "--out", str(out)))
    assert not (out / "plan.json").exists()
    (out / "goal.png").unlink()
    assert run("plan", *arguments, "--out", str(out))[0] == 0


@pytest.mark.parametrize(
    "writer",
    ["goalsight.training.trainer.save_checkpoint", "pytorch_lightning.Trainer.save_checkpoint"],
)
def test_a_full_disk_ends_a_training_in_one_line_and_the_same_command_goes_on(
    run: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str
) -> None:
    """Full at the last save: a next run that found no step to do used to leave no model."""
    out = tmp_path / "run"
    command = [*training(data, out), "--trainer.max-steps", "3"]
    monkeypatch.setattr(writer, full)
    assert "the disk is full" in refused(run(*command))
    monkeypatch.undo()
    assert run(*command)[0] == 0
    card = load_checkpoint(out / "checkpoint").card
    assert (card["steps"], card["finished"]) == (3, True)


def test_a_full_disk_ends_a_benchmark_in_one_line_and_finished_pairs_are_kept(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    rows = ["--manifest", "reach-near", "--rows", "zero", "--pairs", "1", "--workers", "1"]
    write = replace_json

    def full_at_the_end(path: Path, content: Any) -> None:
        (full if path.name == "results.json" else write)(path, content)

    monkeypatch.setattr("goalsight.benchmark.run.replace_json", full_at_the_end)
    assert "the disk is full" in refused(run("bench", *rows, "--out", str(out)))
    assert not (out / "results.json").exists()
    played = (out / "pairs.jsonl").read_text()
    monkeypatch.undo()
    assert run("bench", *rows, "--out", str(out))[0] == 0
    assert (out / "pairs.jsonl").read_text() == played


def test_ctrl_c_during_training_leaves_a_run_that_goes_on(data: Path, tmp_path: Path) -> None:
    """A process, as a terminal stops it; its folder then holds all that a resume needs."""
    out = tmp_path / "run"
    limit = ["--trainer.max-steps", "100000", "--trainer.log-every-n-steps", "1"]
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from goalsight.cli.main import entry; entry()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, *training(data, out), *limit],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not list(out.glob("csv/*/metrics.csv")):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    finally:
        process.kill()
    assert process.returncode == 130
    assert err.splitlines()[-1] == "goalsight: stopped; the same command goes on from here"
    assert "Traceback" not in err
    card = load_checkpoint(out / "checkpoint").card
    assert card["steps"] > 0
    assert not card["finished"]
    assert (out / "last.ckpt").is_file()
    assert validate(data) == []
    assert np.isfinite(list(card["statistics"]["action"]["mean"])).all()
