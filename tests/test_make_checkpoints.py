"""Recipes of shipped checkpoints: steps run once, go on when interrupted, and are on the card."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from pathlib import Path

import pytest
from scripts.make_checkpoints import (
    Recipe,
    Step,
    load_recipe,
    make,
    read_done,
    recipes,
    ship,
)

from goalsight.agent.config import agent_config
from goalsight.checkpoint import find_checkpoint, load_checkpoint, read_card, save_checkpoint
from goalsight.cli.commands import COMMANDS
from goalsight.errors import UserError
from goalsight.models import WorldModel, WorldModelConfig

COLLECT = "collect --env Goalsight/Reach-v0 --episodes 1 --steps 6 --size 32 --workers 1 --out "


def recipe(*runs: tuple[str, str]) -> Recipe:
    steps = tuple(Step(name=name, run=run) for name, run in runs)
    return Recipe(name="small", about="nothing much", ships="model", steps=steps, agent={})


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_names_commands_that_exist_and_folders_of_its_own(name: str) -> None:
    made = load_recipe(name)
    for step in made.steps:
        words = shlex.split(step.run)
        assert words[0] in COMMANDS or " ".join(words[:2]) in COMMANDS
        assert words[words.index("--out") + 1].startswith("{out}/")
    assert any(f"{{out}}/{made.ships}" in step.run for step in made.steps)


def test_an_unknown_recipe_or_step_lists_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="arm-tiny"):
        load_recipe("arm-huge")
    with pytest.raises(UserError, match="data"):
        make(recipe(("data", COLLECT)), tmp_path, only="date")


def test_a_step_runs_once_and_is_remembered_with_what_ran_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    wanted = recipe(("data", COLLECT + "{out}/data"))
    assert make(wanted, tmp_path, only="data")
    done = read_done(tmp_path / "small")["data"]
    assert done.finished
    assert done.hardware
    assert (tmp_path / "small/data/meta/info.json").is_file()
    capfd.readouterr()
    assert make(wanted, tmp_path, only="data")
    assert capfd.readouterr().out == ""


def test_a_step_that_is_out_of_time_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its 6 s are over, on any machine, when it has begun to write episodes down."""
    long = recipe(("data", COLLECT.replace("--episodes 1", "--episodes 5000") + "{out}/data"))
    info = tmp_path / "small/data/meta/info.json"

    class Process(subprocess.Popen[bytes]):
        def wait(self, timeout: float | None = None) -> int:
            if timeout is None:
                return super().wait()
            assert timeout == 6
            while not info.is_file() and self.poll() is None:
                time.sleep(0.05)
            raise subprocess.TimeoutExpired(self.args, timeout)

    monkeypatch.setattr("scripts.make_checkpoints.subprocess.Popen", Process)
    assert not make(long, tmp_path, only="data", minutes=0.1)
    assert not read_done(tmp_path / "small")["data"].finished
    assert 0 < json.loads(info.read_text())["total_episodes"] < 5000


def test_a_step_that_fails_stops_the_recipe_and_is_not_called_done(tmp_path: Path) -> None:
    wrong = recipe(("data", "data info {out}/nothing"))
    with pytest.raises(UserError, match="step data of small ended with status 2"):
        make(wrong, tmp_path)
    assert not read_done(tmp_path / "small")["data"].finished


def test_a_step_that_ends_beside_another_leaves_that_one_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = recipe(("data", "collect"), ("more", "collect"))

    def run(step: Step, folder: Path, minutes: float) -> int:
        if step.name == "data":
            make(wanted, tmp_path, only="more")
        return 0

    monkeypatch.setattr("scripts.make_checkpoints._run", run)
    assert make(wanted, tmp_path, only="data")
    assert [step.finished for step in read_done(tmp_path / "small").values()] == [True, True]


def test_what_is_shipped_is_the_model_with_its_recipe_on_the_card(tmp_path: Path) -> None:
    model = WorldModel(WorldModelConfig(size="tiny", image_size=32))
    save_checkpoint(tmp_path / "small/model", model, card={"labels_used": []})
    ran = {"command": "collect", "minutes": 1.5, "finished": True}
    content = {"left-out-since": ran, "data": ran}
    (tmp_path / "small/done.json").write_text(json.dumps(content))
    ship(recipe(("data", "collect")), tmp_path / "small", tmp_path / "shipped")
    shipped = load_checkpoint(tmp_path / "shipped/small")
    assert shipped.sha256 == load_checkpoint(tmp_path / "small/model").sha256
    assert [step["step"] for step in shipped.card["recipe"]] == ["data"]
    assert shipped.card["recipe"][0]["minutes"] == 1.5
    assert shipped.card["about"] == "nothing much"


@pytest.mark.parametrize("name", recipes())
def test_a_shipped_model_plans_as_its_recipe_says(name: str) -> None:
    card = read_card(find_checkpoint(name))
    made = load_recipe(name)
    assert card["agent"] == made.agent
    for tier in ("near", "far"):
        for mode in ("search", "actor", "hybrid"):
            assert agent_config("", card, tier=tier, mode=mode).mode == mode
