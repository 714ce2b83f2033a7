"""From a checkpoint and a dataset to two files: the right windows, held out, and one clear line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from goalsight.checkpoint import save_checkpoint
from goalsight.cli.main import main
from goalsight.data import Dataset, Windows, split_episodes
from goalsight.data.collect import CollectConfig, collect
from goalsight.diagnostics import imagine, open_subject, report_values, split_for
from goalsight.diagnostics.drift import DriftReport
from goalsight.errors import DatasetError, UserError
from goalsight.models import WorldModel, WorldModelConfig

CONFIG = WorldModelConfig(image_size=32, action_dim=2, frameskip=2)
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def model() -> WorldModel:
    """Untrained, but every parameter has some life, so that actions matter."""
    torch.manual_seed(0)
    made = WorldModel(CONFIG)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return made.eval()


@pytest.fixture(scope="module")
def checkpoint(
    model: WorldModel, squares: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("inspect") / "checkpoint"
    card = {
        "dataset": {"fingerprint": squares.fingerprint()},
        "split": {"validation": 0.25, "seed": 5},
    }
    save_checkpoint(folder, model, card)
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*argv: str) -> tuple[int, str, str]:
        status = main(list(argv))
        return status, *capsys.readouterr()

    return call


def test_imagined_latents_are_the_rollout_of_the_recorded_actions(
    model: WorldModel, squares: Dataset
) -> None:
    windows = Windows(squares, [0, 2], frames=4, frameskip=2)
    found = imagine(model, windows, blocks=3, count=len(windows))
    clip = windows.__getitems__(range(len(windows)))
    with torch.no_grad():
        z = model.encode(clip.frames)
        imagined = model.rollout(z[:, :1], clip.actions[:, None])[:, 0]
    # Batch sizes differ, and with them the order of float32 sums.
    torch.testing.assert_close(found.encoded, z, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.imagined, imagined, atol=1e-5, rtol=1e-4)
    assert set(found.episodes.tolist()) == {0, 2}


def test_labels_are_truth_and_proprio_of_the_same_frames(
    model: WorldModel, squares: Dataset
) -> None:
    """The fake environment tells its position twice, as simulator truth and as proprio."""
    windows = Windows(squares, [0, 1], frames=4, frameskip=2)
    labels = imagine(model, windows, blocks=2, count=10).labels
    assert list(labels) == [
        "state.square",
        "state.speed",
        "proprio.x",
        "proprio.y",
        "proprio.speed",
    ]
    assert labels["state.square"].shape == (10, 3, 2)
    torch.testing.assert_close(labels["state.square"][..., :1], labels["proprio.x"])
    torch.testing.assert_close(labels["state.square"][..., 1:], labels["proprio.y"])


class Historian(nn.Module):
    """Stands for a model that looks back; keeps what it is given and predicts the present."""

    def __init__(self) -> None:
        super().__init__()
        self.config = CONFIG
        self.patches = self.latent_dim = 1
        self.register_buffer("here", torch.zeros(()))
        self.given: list[Tensor] = []

    def encode(self, frames: Tensor) -> Tensor:
        return frames.float().mean((-3, -2, -1))[..., None, None]

    def rollout(self, context: Tensor, plans: Tensor, past: Tensor, proprio: Tensor) -> Tensor:
        self.given = [context, plans, past, proprio]
        return context[:, None, -1:].expand(-1, -1, plans.shape[2], -1, -1)


def test_frames_before_the_present_are_history_with_the_actions_between_them(
    squares: Dataset,
) -> None:
    windows = Windows(squares, [1], frames=5, frameskip=2)
    historian = Historian()
    found = imagine(cast(WorldModel, historian), windows, blocks=2, count=1000)
    context, plans, past, proprio = historian.given
    clip = windows.__getitems__(range(len(windows)))
    assert context.shape[1] == proprio.shape[1] == 3
    torch.testing.assert_close(past, clip.actions[:, :2])
    torch.testing.assert_close(plans[:, 0], clip.actions[:, 2:])
    torch.testing.assert_close(proprio, clip.proprio[:, :3])
    assert found.encoded.shape[1] == 3
    torch.testing.assert_close(found.labels["proprio.x"], clip.proprio[:, 2:, :1])
    torch.testing.assert_close(found.encoded[:, :1], found.imagined[:, :1])


def test_windows_are_drawn_without_repetition_by_seed_and_kept_within_the_memory(
    model: WorldModel, squares: Dataset
) -> None:
    windows = Windows(squares, [0, 1, 2], frames=3, frameskip=2)
    one, again, other = (
        imagine(model, windows, blocks=2, count=7, seed=seed).encoded for seed in (1, 1, 2)
    )
    assert torch.equal(one, again)
    assert one.shape[0] == 7
    assert not torch.equal(one, other)
    assert len(torch.unique(one[:, 0].flatten(1), dim=0)) == 7
    small = imagine(model, windows, blocks=2, count=7, memory_limit=3 * 4 * 5 * model.latent_dim)
    assert len(small.encoded) == 3


def test_windows_that_do_not_fit_the_model_are_refused(model: WorldModel, squares: Dataset) -> None:
    with pytest.raises(ValueError, match="takes blocks of 2 control steps, the windows are cut"):
        imagine(model, Windows(squares, [0], frames=3, frameskip=3), blocks=2)
    with pytest.raises(ValueError, match="3 blocks need windows of at least 4 frames, got 3"):
        imagine(model, Windows(squares, [0], frames=3, frameskip=2), blocks=3)


def test_a_model_that_diverged_is_refused(squares: Dataset) -> None:
    broken = WorldModel(CONFIG).eval()
    with torch.no_grad():
        for weight in broken.predictor.parameters():
            weight.fill_(torch.nan)
    with pytest.raises(UserError, match="latents that are not numbers"):
        imagine(broken, Windows(squares, [0], frames=2, frameskip=2), blocks=1)


def test_what_is_held_out_is_what_the_training_run_held_out(squares: Dataset) -> None:
    card: dict[str, Any] = {
        "dataset": {"fingerprint": squares.fingerprint()},
        "split": {"validation": 0.5, "seed": 3},
    }
    found = split_for(card, squares)
    fit, held_out = split_episodes(4, 0.5, 3)
    assert (found.fit.tolist(), found.held_out.tolist()) == (fit.tolist(), held_out.tolist())
    assert found.note == "the training run's validation episodes"


@pytest.mark.parametrize(
    ("card", "note"),
    [
        ({"dataset": {"fingerprint": "other"}}, "episodes of another dataset"),
        ({}, "its card names no split"),
    ],
)
def test_a_split_says_what_it_does_not_know(
    squares: Dataset, card: dict[str, Any], note: str
) -> None:
    found = split_for(card, squares)
    assert note in found.note
    assert sorted([*found.fit, *found.held_out]) == [0, 1, 2, 3]


def test_a_training_run_that_held_nothing_out_is_not_said_to_have(squares: Dataset) -> None:
    card = {
        "dataset": {"fingerprint": squares.fingerprint()},
        "split": {"validation": 0.0, "seed": 0},
    }
    assert "may have trained on" in split_for(card, squares).note


@pytest.mark.parametrize("name", ["probe", "collapse", "drift"])
def test_a_diagnosis_writes_numbers_and_a_figure(
    run: Run, checkpoint: Path, squares: Dataset, tmp_path: Path, name: str
) -> None:
    arguments = ["--checkpoint", str(checkpoint), "--data", str(squares.path)]
    arguments += ["--out", str(tmp_path / "look"), "--blocks", "3", "--windows", "20"]
    status, printed, _ = run("inspect", name, *arguments)
    assert status == 0
    assert "judged on 1 episodes: the training run's validation episodes" in printed
    written = json.loads((tmp_path / "look" / f"{name}.json").read_text())
    assert written["dataset"]["fingerprint"] == squares.fingerprint()
    assert written["windows" if name != "collapse" else "frames"] in {20, 80}
    picture = (tmp_path / "look" / f"{name}.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    status, printed, _ = run("inspect", name, *arguments, "--json")
    assert status == 0
    assert json.loads(printed).items() <= written.items()


def test_what_cannot_be_looked_at_is_refused_in_one_line(
    run: Run, checkpoint: Path, squares: Dataset, tmp_path: Path
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    shared = ["--checkpoint", str(checkpoint), "--data", str(squares.path)]
    for argv, wanted in (
        (["drift", *shared, "--out", str(tmp_path / "a"), "--blocks", "0"], "--blocks must be at"),
        (["drift", *shared, "--out", str(tmp_path / "a"), "--blocks", "30"], "no window of 31"),
        (["collapse", *shared, "--out", str(taken)], "taken is a file; give a folder"),
    ):
        status, _, printed = run("inspect", *argv)
        assert status == 2
        assert printed.startswith("goalsight: error: ")
        assert wanted in printed
    assert taken.read_text() == "mine"
    assert not (tmp_path / "a").exists()


def test_a_model_of_another_robot_is_refused(run: Run, squares: Dataset, tmp_path: Path) -> None:
    other = tmp_path / "other"
    save_checkpoint(other, WorldModel(WorldModelConfig(image_size=32, action_dim=7)), {})
    shared = ["--data", str(squares.path), "--out", str(tmp_path / "look")]
    status, _, printed = run("inspect", "drift", "--checkpoint", str(other), *shared)
    assert status == 2
    assert "has actions of 2 and proprio of 3 numbers, the model takes 7 and no" in printed


def test_a_dataset_of_one_episode_has_nothing_to_hold_out(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "single"
    collect(
        CollectConfig(
            env="fake_env:Fake/Square-v0", episodes=1, out=out, size=32, steps=12, video="none"
        )
    )
    with pytest.raises(DatasetError, match="has a single episode"):
        open_subject(checkpoint, out)


def test_a_number_that_is_not_finite_is_null_in_the_report() -> None:
    """JSON has no NaN; a path that never moves has no cosine."""
    report = DriftReport(
        blocks=(1,),
        model=(float("nan"),),
        low=(0.0,),
        high=(float("inf"),),
        copy_last=(1.0,),
        mean=(1.0,),
        variance=1.0,
        windows=1,
        episodes=1,
    )
    values = report_values(report)
    assert (values["model"], values["high"], values["low"]) == ([None], [None], [0.0])
