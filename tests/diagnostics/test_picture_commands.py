"""`goalsight inspect` similarity and energy as a person meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from goalsight.checkpoint import save_checkpoint
from goalsight.cli.main import main
from goalsight.data import Dataset
from goalsight.models import WorldModel, WorldModelConfig


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("commands") / "model"
    save_checkpoint(
        folder, WorldModel(WorldModelConfig(image_size=32, action_dim=2, frameskip=3)), {}
    )
    return folder


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a token grid."""
    config = WorldModelConfig(
        image_size=32, action_dim=2, frameskip=3, encoder="conv-grid", predictor="grid"
    )
    folder = tmp_path_factory.mktemp("commands") / "grid"
    save_checkpoint(folder, WorldModel(config), {})
    return folder


@pytest.mark.parametrize(
    ("member", "extra", "key"),
    [
        ("similarity", ["--frames", "2"], "maps"),
        ("energy", ["--windows", "3", "--grid", "3"], "energies"),
    ],
)
def test_a_command_writes_numbers_and_a_picture(
    member: str,
    extra: list[str],
    key: str,
    grid: Path,
    squares: Dataset,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = ["--checkpoint", str(grid), "--data", str(squares.path), "--out", str(tmp_path)]
    assert main(["inspect", member, *given, *extra, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    written = json.loads((tmp_path / f"{member}.json").read_text())
    assert key in written
    assert key not in printed  # arrays are for the file
    assert written["checkpoint"] == printed["checkpoint"]
    assert (tmp_path / f"{member}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["similarity", "--patch", "a"], "--patch takes row and column"),
        (["energy", "--axes", "dx"], "--axes takes two action axes"),
        (["energy", "--grid", "1"], "grid must be at least 2"),
        (["similarity"], "no patches to compare"),
    ],
)
def test_a_wrong_flag_is_one_line(
    argv: list[str],
    message: str,
    checkpoint: Path,
    squares: Dataset,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = ["--checkpoint", str(checkpoint), "--data", str(squares.path), "--out", str(tmp_path)]
    assert main(["inspect", argv[0], *given, *argv[1:]]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
