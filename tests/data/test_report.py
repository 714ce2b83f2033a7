"""`data report`: measures with known answers, warnings that can be right and wrong, one page."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goalsight.cli.main import main
from goalsight.data import open_dataset
from goalsight.data.collect import CollectConfig, PolicyMix, collect
from goalsight.data.report import judge, measure, write_page
from goalsight.data.report.measures import Measures, Movable, coverage, predictability
from goalsight.data.report.page import choose
from goalsight.data.report.verdict import unknown
from goalsight.errors import OutputError

MakeConfig = Callable[..., CollectConfig]


@pytest.fixture(scope="module")
def push(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve short Push episodes of a mix."""
    root = tmp_path_factory.mktemp("report") / "push <data>"
    mix = PolicyMix(name="both", shares={"interact": 0.7, "waypoints": 0.3})
    env = "Goalsight/Push-v0"
    collect(CollectConfig(env=env, episodes=12, out=root, size=32, steps=40, mix=mix))
    return root


def sound(**changes: Any) -> Measures:
    """Measures that nothing stands against."""
    rng = np.random.default_rng(0)
    places = rng.uniform([0.35, -0.2, 0.03], [0.65, 0.2, 0.2], (4000, 3))
    cube = Movable(name="cube", places=places, moving=0.2, moved=0.4)
    fields: dict[str, Any] = {
        "episodes": 300,
        "read": 300,
        "frames": 30_000,
        "fps": 10,
        "window": 25,
        "lengths": np.full(300, 100),
        "policies": {"play": (300, 30_000)},
        "hand": places,
        "coverage": 0.95,
        "objects": (cube,),
        "contact": 0.3,
        "moved": 0.4,
        "actions": rng.normal(size=(4000, 2)),
        "predictable": {"dx": 0.3, "dy": -0.1},
        "idle": 0.05,
        "saturated": 0.1,
        "success": 0.1,
    }
    return Measures(**{**fields, **changes})


def test_nothing_stands_against_sound_data_and_nothing_is_unknown() -> None:
    assert judge(sound()) == []
    assert unknown(sound()) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"predictable": {"dx": 0.9, "dy": 0.5}}, "gives the action away (R2 0.70"),
        ({"moved": 0.05}, "An object moves in 5 % of the windows"),
        ({"contact": 0.01}, "at an object (within 5 cm) in 1.0 % of the control steps"),
        ({"coverage": 0.2}, "been in 20 % of the 4 cm cells"),
        ({"frames": 6000}, "6,000 frames are few"),
        ({"lengths": np.full(300, 20)}, "100 % of the episodes are no longer than a window"),
        ({"idle": 0.8}, "80 % of the control steps ask for next to nothing"),
        ({"saturated": 0.7}, "70 % of the action numbers are at a bound"),
        ({"hand": np.full((10, 3), 0.4) + np.eye(10, 3) * 0.02}, "stays within 2 x 2 cm"),
    ],
)
def test_each_thing_that_stands_against_planning_is_said_alone_and_with_a_reason(
    changes: dict[str, Any], said: str
) -> None:
    [finding] = judge(sound(**changes))
    assert said in finding.title
    assert finding.why
    assert finding.todo


def test_short_branches_beside_long_episodes_are_no_fault() -> None:
    lengths = np.array([100] * 100 + [25] * 200)
    both = {"play": (100, 10_000), "branches": (200, 5000)}
    assert judge(sound(lengths=lengths, policies=both, frames=30_000)) == []


@settings(max_examples=30)  # of 4000 rows each
@given(coupling=st.floats(0, 1), seed=st.integers(0, 99))
def test_r2_is_what_the_state_explains_of_the_action(coupling: float, seed: int) -> None:
    """The action is a bent function of the state plus noise, so the R2 is known."""
    rng = np.random.default_rng(seed)
    state = rng.normal(size=(4000, 2))
    rule = np.tanh(2 * state[:, :1]) * np.sign(state[:, 1:])
    rule = (rule - rule.mean()) / rule.std()
    action = np.sqrt(coupling) * rule + np.sqrt(1 - coupling) * rng.normal(size=(4000, 1))
    found = predictability([state], action, np.arange(100, 4001, 100), ["dx"])["dx"]
    # The bend is learned to a tenth; noise of 800 held-out rows and 259 features takes the rest.
    assert coupling - 0.25 < found < coupling + 0.05


def test_an_axis_that_never_changes_has_no_r2_and_no_state_gives_none() -> None:
    state, ends = np.random.default_rng(0).normal(size=(200, 2)), np.array([100, 200])
    assert predictability([state], np.ones((200, 1)), ends, ["grip"]) == {}
    assert predictability([np.empty((200, 0))], state, ends, ["a", "b"]) == {}


def test_coverage_counts_the_cells_that_were_visited() -> None:
    line = np.linspace([0, 0, 0], [0.4, 0.4, 0.04], 5000)
    everywhere = np.random.default_rng(0).uniform(0, [0.4, 0.4, 0.04], (5000, 3))
    assert coverage(everywhere) > 0.98
    assert coverage(line) < 0.3


def test_strips_show_every_policy() -> None:
    policies = ["play"] * 50 + ["hold", "recover"] * 3
    assert {policies[episode] for episode in choose(policies, 6)} == {"play", "hold", "recover"}
    assert choose(["play"] * 3, 10) == [0, 1, 2]
    assert len(choose([str(i) for i in range(40)], 10)) == 10


def test_measures_of_real_play_agree_with_a_count_by_hand(push: Path) -> None:
    dataset = open_dataset(push)
    found = measure(dataset, window=15)
    cube = dataset.columns(["state.cube_pos"], range(12))["state.cube_pos"].reshape(12, 40, 3)
    moved = np.linalg.norm(cube[:, 15:] - cube[:, :-15], axis=2) > 0.01
    assert found.moved == pytest.approx(moved.mean())
    assert [thing.name for thing in found.objects] == ["cube"]
    assert found.policies.keys() == {"interact", "waypoints"}
    assert found.hand is not None
    assert set(found.predictable) == {"dx", "dy", "dz", "gripper"}
    assert json.loads(json.dumps(found.to_json()))["frames"] == 480


def test_the_page_needs_no_other_file_and_escapes_names(push: Path, tmp_path: Path) -> None:
    dataset = open_dataset(push)
    page = write_page(dataset, measure(dataset), [], tmp_path / "page.html").read_text()
    assert "push &lt;data&gt;" in page
    assert "<script" not in page
    outside = page.replace("http://www.w3.org/", "").replace("https://www.w3.org/", "")
    for address in ("http://purl.org/", "http://creativecommons.org/"):  # names in SVG metadata
        outside = outside.replace(address, "")
    assert "http" not in outside.replace("https://matplotlib.org/", "")


def test_a_dataset_without_positions_gets_its_page_and_is_told_what_cannot_be_said(
    made_once: dict[str, Path], tmp_path: Path
) -> None:
    dataset = open_dataset(made_once["h264"])
    found = measure(dataset)
    assert (found.hand, found.objects, found.moved, found.contact) == (None, (), None, None)
    said = " ".join(unknown(found))
    assert "Where the hand has been" in said
    assert "no object's position" in said
    page = write_page(dataset, found, [], tmp_path / "page.html").read_text()
    assert "What this dataset cannot tell" in page


def test_the_command_prints_what_stands_against_it_and_writes_over_its_own_page_only(
    push: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.html"
    for _ in range(2):
        assert main(["data", "report", str(push), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "480 frames are few" in printed
    assert out.read_text().count("data:image/webp") == 10
    assert main(["data", "report", str(push), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["against"][0]["title"] == "480 frames are few"
    out.write_text("my own notes")
    assert main(["data", "report", str(push), "--out", str(out)]) == 2
    assert "is no report of a dataset" in capsys.readouterr().err
    assert out.read_text() == "my own notes"
    assert main(["data", "report", str(push), "--out", str(tmp_path)]) == 2
    assert main(["data", "report", str(push), "--window", "0", "--out", str(tmp_path / "b")]) == 2


def test_a_folder_as_the_page_is_refused(push: Path, tmp_path: Path) -> None:
    dataset = open_dataset(push)
    with pytest.raises(OutputError, match="is a folder"):
        write_page(dataset, measure(dataset), [], tmp_path)
