"""`goalsight envs`: what may vary, and pictures of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from goalsight.cli import envs
from goalsight.cli.envs import factor_cells, short_name, write_pictures
from goalsight.cli.main import main
from goalsight.collecting import read_factors
from goalsight_envs.factors import FACTORS, LEVELS


def test_factors_are_listed_with_units_levels_and_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["envs", "--factors", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows.keys() == FACTORS.keys()
    assert rows["cube.mass"]["unit"] == "kg"
    assert rows["drawer.damping"]["tasks"] == ["Goalsight/Drawer-v0", "Goalsight/Scene-v0"]
    assert rows["arm.gain"]["levels"]["ood-physics"] == [0.5, 1.5]
    drawn = dict(zip(LEVELS, factor_cells(rows["table.texture"])[-len(LEVELS) :], strict=True))
    assert drawn["looks"] == "plain, checker, gradient"
    assert drawn["ood-visual"] == "plain, checker, gradient, noise"
    assert main(["envs", "--factors"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in (*FACTORS, *LEVELS))


def test_a_sheet_has_a_picture_for_every_seed_and_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(envs, "SEEDS", 2)
    (path,) = write_pictures(tmp_path / "sheets", ["Goalsight/PickPlace-v0"], 32)
    assert path.name == "pick-place.png"
    with Image.open(path) as picture:
        width, height = picture.size
    assert height >= 32 * (3 + len(LEVELS))
    assert width >= 2 * 32
    assert [found.name for found in path.parent.iterdir()] == ["pick-place.png"]


def test_tasks_are_named_as_their_manifests_are() -> None:
    assert short_name("Goalsight/Push-v0") == "push"
    assert short_name("Goalsight/PickPlace-v0") == "pick-place"


def test_factors_come_from_a_level_or_a_yaml_file(tmp_path: Path) -> None:
    path = tmp_path / "wide.yaml"
    path.write_text("cube.size: [0.025, 0.035]\ntable.texture: checker\n")
    assert read_factors("") is None
    assert read_factors("mild") == "mild"
    assert read_factors(str(path)) == {"cube.size": [0.025, 0.035], "table.texture": "checker"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- cube.size", "is not a file of factors with values or ranges"),
        ("a: [", "is not a file of factors with values or ranges"),
    ],
)
def test_a_file_that_names_no_factors_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    arguments = ["--env", "Goalsight/Push-v0", "--episodes", "1", "--out", str(tmp_path / "out")]
    assert main(["collect", *arguments, "--factors", str(path)]) == 2
    assert message in capsys.readouterr().err
    assert main(["collect", *arguments, "--factors", "mlid"]) == 2
    assert "give a YAML file or one of: mild, looks, ood-visual" in capsys.readouterr().err
