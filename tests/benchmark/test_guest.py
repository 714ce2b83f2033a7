"""A policy of somebody else: a row of the table like any other."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from goalsight.benchmark import Manifest, load_results, save_manifest
from goalsight.benchmark.policies import (
    PolicySpec,
    own_metadata,
    own_policy,
    picture_size,
    with_player,
)
from goalsight.cli.main import main
from goalsight.errors import UserError
from goalsight.policy import checked_action

STILL = """
import numpy as np

class Still:
    image_size = 48

    def reset(self, goal, seed):
        assert goal.shape == (48, 48, 3) and goal.dtype == np.uint8
        self.left = 3

    def act(self, observation):
        assert observation["pixels"].shape == (48, 48, 3)
        assert observation["observation"].shape == (11,)
        self.left -= 1
        return np.zeros(4)

def player(spec):
    return Still()

def mute(spec):
    return object()

class Older(Still):
    def act(self, pixels, proprio):
        return np.zeros(4)

def older(spec):
    return Older()
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module `still_life` of the user's that Python can import here."""
    path = tmp_path / "theirs" / "still_life.py"
    path.parent.mkdir()
    path.write_text(STILL, encoding="utf-8")
    monkeypatch.syspath_prepend(str(path.parent))
    monkeypatch.delitem(sys.modules, "still_life", raising=False)
    return path


def spec_of(player: str, checkpoint: Path | None = None, settings: str = "") -> PolicySpec:
    return PolicySpec(checkpoint=checkpoint, device="cpu", settings=settings, player=player)


def test_a_player_that_never_moves_does_what_hold_does(
    module: Path, reach: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the digit: same pairs, same simulator. A rerun plays nothing, other code is refused."""
    path, out = save_manifest(reach, tmp_path / "pairs"), tmp_path / "run"
    command = ["bench", "--player", "still_life:player", "--manifest", str(path), "--rows", "zero"]
    command += ["--pairs", "1", "--workers", "1", "--out", str(out)]
    assert main(command) == 0
    results = load_results(out / "results.json")
    by_row = {row: [o for o in results.pairs if o.row == row] for row in ("zero", "player")}
    assert [o.distance_m for o in by_row["zero"]] == [o.distance_m for o in by_row["player"]]
    assert len(by_row["player"][0].latency_ms) == reach.budget
    assert results.player is not None
    assert results.player["factory"] == "still_life:player"
    assert json.loads((out / "run.json").read_text())["player"] == results.player
    assert "player" in capsys.readouterr().out
    assert main(command) == 0
    module.write_text(STILL + "# changed\n", encoding="utf-8")
    capsys.readouterr()
    assert main(command) == 2
    assert "holds a run with player" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("player", "message"),
    [
        ("nowhere_at_all:player", "No module named 'nowhere_at_all'; give module:function"),
        ("still_life:missing", "has no attribute 'missing'; give module:function"),
        ("still_life", "is not of the form module:function"),
        ("still_life:mute", "returned a object without reset; it needs reset"),
        ("still_life:older", "Older with act(pixels, proprio); it is called with one argument now"),
    ],
)
def test_what_cannot_play_is_refused_in_one_line(
    module: Path, player: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["bench", "--manifest", "reach-near-dev", "--pairs", "1", "--rows", "zero"]
    assert main([*command, "--player", player, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_row_needs_somebody_who_plays_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["bench", "--manifest", "reach-near-dev", "--rows", "player"]
    assert main([*command, "--out", str(tmp_path)]) == 2
    assert "the player row needs --player module:function" in capsys.readouterr().err


@pytest.mark.parametrize("answer", [np.zeros(3), np.full(4, np.nan), None, "left"])
def test_an_answer_that_is_no_action_is_refused(answer: Any) -> None:
    with pytest.raises(UserError, match=r"row player answers .* array of 4 finite numbers"):
        checked_action(answer, 4, "row player")


def test_a_player_is_its_code_its_weights_and_its_settings(module: Path, tmp_path: Path) -> None:
    def told(weights: Path | None = None, settings: str = "") -> dict[str, Any]:
        spec = spec_of("still_life:player", weights, settings)
        return own_metadata(own_policy(spec), spec)

    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"1")
    one = told(weights)
    weights.write_bytes(b"2")
    assert told(weights) != one
    assert told()["weights_sha256"] is None
    assert told(settings="brave=1")["settings"] == "brave=1"


def test_agent_and_player_see_pictures_of_one_size(module: Path) -> None:
    player = own_policy(spec_of("still_life:player"))
    agent: Any = SimpleNamespace(image_size=64)
    other: Any = SimpleNamespace(image_size=32)
    assert picture_size(None, player) == 48
    assert picture_size(other, None) == 32
    assert picture_size(None, None) == 64
    with pytest.raises(UserError, match="pictures of 48 and 64 pixels; bench them into two"):
        picture_size(agent, player)


def test_the_agent_stays_where_it_was_asked_for_or_has_a_checkpoint(tmp_path: Path) -> None:
    rows, weights = ("random", "agent"), tmp_path / "weights.pt"
    weights.write_bytes(b"1")
    assert with_player(rows, "", chosen=False, checkpoint=None) == rows
    assert with_player(rows, "a:b", chosen=True, checkpoint=None) == (*rows, "player")
    assert with_player(rows, "a:b", chosen=False, checkpoint=tmp_path) == (*rows, "player")
    assert with_player(rows, "a:b", chosen=False, checkpoint=weights) == ("random", "player")
    assert with_player(("player",), "a:b", chosen=True, checkpoint=None) == ("player",)
