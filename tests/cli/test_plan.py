"""`goalsight plan` as a user types it: what it writes, what it mends, what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from PIL import Image

from goalsight.benchmark import save_manifest
from goalsight.benchmark.manifest import Recipe, generate_manifest
from goalsight.benchmark.results import HOLD
from goalsight.checkpoint import save_checkpoint
from goalsight.cli.main import main
from goalsight.cli.plan import read_goal
from goalsight.environments import make_env
from goalsight.models import WorldModel, WorldModelConfig
from goalsight_envs.push import PushEnv

SIZE, STEPS = 32, 2
PUSH = "Goalsight/Push-v0"
Plan = Callable[..., tuple[int, str, str]]


def save_model(folder: Path, **changes: Any) -> Path:
    """An untrained model of the tiny size; how well it plans is not asked here."""
    save_checkpoint(folder, WorldModel(WorldModelConfig(image_size=SIZE, **changes)).eval(), {})
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("plan") / "model")


@pytest.fixture
def plan(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Plan:
    """Runs the command for two control steps; later flags win over the given ones."""

    def call(*more: str) -> tuple[int, str, str]:
        given = ["--checkpoint", str(checkpoint), "--env", PUSH, "--out", str(tmp_path / "out")]
        status = main(["plan", *given, "--steps", str(STEPS), *more])
        return status, *capsys.readouterr()

    return call


def refused(result: tuple[int, str, str]) -> str:
    status, out, err = result
    assert (status, out) == (2, "")
    assert err.startswith("goalsight: error: ")
    assert err.count("\n") == 1
    return err


def save_picture(path: Path, mode: str = "RGB", size: tuple[int, int] = (SIZE, SIZE)) -> Path:
    Image.new(mode, size, 128 if mode in {"L", "I;16"} else None).save(path)
    return path


def test_it_writes_the_plan_the_film_and_the_strip(plan: Plan, tmp_path: Path) -> None:
    status, out, err = plan("--seed", "3")
    assert (status, err) == (0, "")
    folder = tmp_path / "out"
    names = {entry.name for entry in folder.iterdir()}
    assert names == {"plan.json", "rollout.mp4", "filmstrip.png", "goal.png"}
    record = json.loads((folder / "plan.json").read_text())
    assert (record["env"], record["seed"], record["goal"]) == (PUSH, 3, "drawn from the task")
    assert np.shape(record["actions"]) == (STEPS, 4)
    assert len(record["distance_m"]) == len(record["energy"]) == STEPS + 1
    assert len(record["latency_ms"]) >= 1
    assert (record["success"], record["anytime"], record["manifest"]) == (False, False, None)
    assert len(record["checkpoint"]["sha256"]) == 64
    with Image.open(folder / "goal.png") as goal, Image.open(folder / "filmstrip.png") as strip:
        assert goal.size == (SIZE, SIZE)
        assert strip.width > strip.height > 384  # drawn for people, larger than what the agent sees
    assert b"ftyp" in (folder / "rollout.mp4").read_bytes()[:16]
    assert "cm (success asks for 4 cm or less)" in out
    assert "terminal failure (at each of the last 2 control steps), anytime failure" in out
    for said in ("energy", "decision", str(folder / "rollout.mp4")):
        assert said in out


def test_the_same_command_gives_the_same_actions_and_may_write_there_again(
    plan: Plan, tmp_path: Path
) -> None:
    records = []
    for _ in range(2):
        status, out, _ = plan("--json")
        assert status == 0
        record = json.loads(out)
        assert record == json.loads((tmp_path / "out" / "plan.json").read_text())
        records.append({name: record[name] for name in ("actions", "energy", "distance_m")})
    assert records[0] == records[1]


def test_the_goal_it_drew_is_a_goal_it_takes(plan: Plan, tmp_path: Path) -> None:
    """goal.png given back makes the same plan; the distance is then nobody's to know."""
    drawn = json.loads(plan("--json")[1])
    goal = tmp_path / "goal.png"
    (tmp_path / "out" / "goal.png").rename(goal)
    status, out, err = plan("--json", "--goal", str(goal))
    assert (status, err) == (0, "")
    given = json.loads(out)
    assert given["actions"] == drawn["actions"]
    assert given["goal"] == str(goal)
    for unknown in ("distance_m", "success", "anytime", "success_threshold"):
        assert given[unknown] is None
    _, out, _ = plan("--goal", str(goal))
    assert "distance" not in out
    assert "verdict" not in out


class WrittenPush(PushEnv):
    """Push whose distances [m] are written down, and whether it asks for more than distance."""

    distances: ClassVar[list[float]] = []
    asks_for_more: ClassVar[bool] = False

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.left = list(self.distances)
        return super().reset(seed=seed, options=options)

    def _info(self) -> dict[str, Any]:
        distance = self.left.pop(0)
        near = distance <= self.success_threshold
        return {"distance": distance, "is_success": near and not self.asks_for_more}


@pytest.mark.parametrize(
    ("inside", "asks_for_more", "success", "anytime"),
    [
        ([1, 1, 1, 1, 1, 1], False, True, True),
        ([0, 1, 1, 1, 1, 1], False, True, True),
        ([0, 0, 0, 0, 0, 1], False, False, True),
        ([1, 1, 1, 1, 1, 0], False, False, True),
        ([0, 0, 0, 0, 0, 0], False, False, False),
        ([1, 1, 1, 1, 1, 1], True, False, False),
    ],
)
def test_its_verdicts_are_those_of_the_benchmark(
    plan: Plan,
    monkeypatch: pytest.MonkeyPatch,
    inside: list[int],
    asks_for_more: bool,
    success: bool,
    anytime: bool,
) -> None:
    """It used to look at the last distance alone: at the goal, whatever else the task asks for."""
    written = [0.1, *(0.01 if good else 0.1 for good in inside)]
    monkeypatch.setattr(WrittenPush, "distances", written)
    monkeypatch.setattr(WrittenPush, "asks_for_more", asks_for_more)
    entry: Any = WrittenPush
    spec = EnvSpec("Goalsight/Written-v0", entry_point=entry)
    monkeypatch.setitem(gymnasium.registry, spec.id, spec)
    steps = ["--env", spec.id, "--steps", str(len(inside))]
    record = json.loads(plan(*steps, "--json")[1])
    assert (record["success"], record["anytime"]) == (success, anytime)
    assert record["distance_m"] == written
    says = {True: "success", False: "failure"}
    out = plan(*steps)[1]
    assert f"terminal {says[success]} (at each of the last {HOLD} control steps)" in out
    assert f"anytime {says[anytime]} (at one or more)" in out


def test_a_pair_of_a_manifest_is_played_as_the_benchmark_plays_it(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same actions at the same seed, so the same distances to the last digit."""
    recipe = Recipe(
        name="carried",
        env="Goalsight/PickPlace-v0",
        tier="far",
        pairs=2,
        seed_base=3_000_000,
        steps=7,
    )
    manifest = save_manifest(generate_manifest(recipe), tmp_path)
    shared = ["--checkpoint", str(checkpoint), "--manifest", str(manifest), "--seed", "4"]
    shared += ["--settings", "planner.samples=16,planner.iterations=2"]
    bench = ["--rows", "agent", "--workers", "1", "--out", str(tmp_path / "bench")]
    assert main(["bench", *shared, *bench]) == 0
    _, pair = json.loads((tmp_path / "bench" / "results.json").read_text())["pairs"]
    capsys.readouterr()
    out = tmp_path / "plan"
    assert main(["plan", *shared, "--pair", "1", "--out", str(out), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["distance_m"] == pair["distance_m"]
    assert (record["success"], record["anytime"]) == (pair["terminal"], pair["anytime"])
    assert (record["env"], record["goal"]) == ("Goalsight/PickPlace-v0", "of the pair")
    assert (record["manifest"]["name"], record["manifest"]["pair"]) == ("carried", 1)
    assert len(record["energy"]) == len(record["distance_m"]) == 8


def test_what_is_played_is_a_task_or_a_pair_of_a_manifest(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refusal(*more: str) -> str:
        given = ["plan", "--checkpoint", str(checkpoint), "--out", str(tmp_path / "out")]
        return refused((main([*given, *more]), *capsys.readouterr()))

    one = "give one of --env ID, or --manifest NAME with --pair N"
    assert one in refusal()
    assert one in refusal("--env", PUSH, "--manifest", "push-near")
    assert "--pair is one of a manifest's" in refusal("--env", PUSH, "--pair", "3")
    for own in (["--steps", "9"], ["--goal", "goal.png"]):
        assert "has its own goal and budget" in refusal("--manifest", "push-near", *own)
    for pair in ("-1", "200"):
        line = refusal("--manifest", "push-near", f"--pair={pair}")
        assert f"--pair must be in 0 to 199, the pairs of push-near, got {pair}" in line
    assert "no manifest 'push-close'" in refusal("--manifest", "push-close")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("mode", "size", "warnings"),
    [
        ("RGB", (48, 40), ["goal image is 48x40, resized to 32x32"]),
        ("RGBA", (SIZE, SIZE), ["goal image is RGBA, converted to RGB"]),
        ("L", (SIZE, SIZE), ["goal image is L, converted to RGB"]),
        ("P", (64, 64), ["goal image is P, converted", "goal image is 64x64, resized"]),
    ],
)
def test_a_picture_of_another_size_or_mode_is_made_to_fit_with_a_warning(
    plan: Plan, tmp_path: Path, mode: str, size: tuple[int, int], warnings: list[str]
) -> None:
    status, _, err = plan("--goal", str(save_picture(tmp_path / "goal.png", mode, size)))
    assert status == 0
    lines = [line for line in err.splitlines() if "warning" in line]  # a slow machine shows a bar
    assert len(lines) == len(warnings)
    for line, warning in zip(lines, warnings, strict=True):
        assert line.startswith(f"goalsight: warning: {warning}")
    with Image.open(tmp_path / "out" / "goal.png") as used:
        assert (used.mode, used.size) == ("RGB", (SIZE, SIZE))


def test_a_picture_that_fits_is_taken_to_the_pixel(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "goal.png")
    np.testing.assert_array_equal(read_goal(tmp_path / "goal.png", SIZE), pixels)
    assert capsys.readouterr().err == ""


def test_grey_stays_grey_and_colours_stay_in_their_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grey = read_goal(save_picture(tmp_path / "grey.png", "L"), SIZE)
    assert (grey == 128).all()
    Image.new("RGB", (64, 64), (200, 30, 10)).save(tmp_path / "red.png")
    assert read_goal(tmp_path / "red.png", SIZE)[5, 5].tolist() == [200, 30, 10]
    capsys.readouterr()


def test_what_is_no_picture_is_refused(plan: Plan, tmp_path: Path) -> None:
    assert "no goal image at " in refused(plan("--goal", str(tmp_path / "none.png")))
    (tmp_path / "text.png").write_text("not a picture")
    line = refused(plan("--goal", str(tmp_path / "text.png")))
    assert "text.png cannot be read as a picture" in line
    cut = save_picture(tmp_path / "cut.png", size=(200, 200))
    cut.write_bytes(cut.read_bytes()[:60])
    assert "cut.png cannot be read as a picture" in refused(plan("--goal", str(cut)))
    assert "cannot be read as a picture" in refused(plan("--goal", str(tmp_path)))
    assert not (tmp_path / "out").exists()


def test_several_goal_images_are_gone_after_in_their_order(plan: Plan, tmp_path: Path) -> None:
    """The first is what is seen at the start, so that it is passed at once."""
    start = json.loads(plan("--json", "--steps", "1")[1])
    assert start["goal_index"] == [0]
    first, second = tmp_path / "first.png", save_picture(tmp_path / "second.png")
    world = make_env(PUSH, size=SIZE, observe_pixels=True)
    Image.fromarray(world.reset(seed=0)[0]["pixels"]).save(first)
    world.close()
    shutil.rmtree(tmp_path / "out")
    status, out, err = plan("--goal", str(first), f"--goal={second}", "--json")
    assert (status, err) == (0, "")
    record = json.loads(out)
    assert record["goal"] == [str(first), str(second)]
    assert record["goal_index"] == [1] * STEPS
    names = {entry.name for entry in (tmp_path / "out").iterdir()}
    assert {"goal-1.png", "goal-2.png"} <= names
    assert "goal.png" not in names
    _, out, _ = plan("--goal", str(first), "--goal", str(second))
    assert "at the end after number 2 of 2" in out


def test_an_unknown_environment_is_refused_with_those_that_exist(
    plan: Plan, tmp_path: Path
) -> None:
    for name in ("Goalsight/Pull-v0", "Pull-v0"):
        assert f"{PUSH}, Goalsight/Reach-v0" in refused(plan("--env", name))
    line = refused(plan("--env", "CartPole-v1"))
    assert line.startswith("goalsight: error: CartPole-v1: goalsight plans actions in a Box")
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_that_is_damaged_missing_or_of_another_robot_is_refused(
    plan: Plan, tmp_path: Path
) -> None:
    damaged = save_model(tmp_path / "damaged")
    weights = bytearray((damaged / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (damaged / "model.safetensors").write_bytes(weights)
    line = refused(plan("--checkpoint", str(damaged)))
    assert "model.safetensors is not the file that was saved (sha256" in line
    assert "no checkpoint 'nowhere'" in refused(plan("--checkpoint", "nowhere"))
    other = save_model(tmp_path / "other", action_dim=6)
    line = refused(plan("--checkpoint", str(other)))
    assert "plans actions of 6 numbers, the environment takes 4" in line
    assert not (tmp_path / "out").exists()


def test_an_out_that_holds_something_else_is_refused_untouched(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    assert "already holds something else (thesis.tex)" in refused(plan())
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["thesis.tex"]
    file = tmp_path / "out" / "thesis.tex"
    assert "is a file; give a folder" in refused(plan("--out", str(file)))
    assert file.read_text() == "years of work"


def test_numbers_out_of_range_are_refused(plan: Plan, tmp_path: Path) -> None:
    assert "--steps must be at least 1, got 0" in refused(plan("--steps", "0"))
    assert "--steps" in refused(plan("--steps", "many"))
    assert "--seed must be at least 0, got -1" in refused(plan("--seed", "-1"))
    line = refused(plan("--device", "abacus"))
    assert "device 'abacus' cannot be used here: Expected one of cpu, cuda" in line
    assert not (tmp_path / "out").exists()
