"""A run may begin with an encoder that was trained before, and feel the arm it drives."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from goalsight.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from goalsight.cli.main import main
from goalsight.data import Dataset, Windows
from goalsight.errors import CheckpointError, DatasetError, UserError
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.models.video_encoder import VideoEncoder, VideoEncoderConfig
from goalsight.training.data import (
    EncodedWindows,
    WindowsConfig,
    latent_variance,
    latents_of,
    worth_remembering,
)
from goalsight.training.objective import ObjectiveConfig
from goalsight.training.run import TrainConfig, train_model

PLAIN: dict[str, Any] = {"image_size": 32, "action_dim": 2, "frameskip": 2}
FROZEN: dict[str, Any] = {
    **PLAIN,
    "freeze_encoder": True,
    "predictor": "transformer",
    "inverse": False,
}
PREDICT = ObjectiveConfig(
    anti_collapse="none", distance="l1", inverse_encoded=0.0, inverse_predicted=0.0
)


def run(
    dataset: Dataset, out: Path, model: dict[str, Any], steps: int = 3, **changes: Any
) -> Checkpoint:
    """Train for a few steps."""
    values = {"windows": WindowsConfig(batch=8, validation=0.25), **changes}
    trainer = {
        "max_steps": steps,
        "accelerator": "cpu",
        "precision": "32-true",
        "logger": False,
        "enable_progress_bar": False,
        "val_check_interval": 1000,
    }
    config = TrainConfig(model=WorldModelConfig(**model), **values)
    return load_checkpoint(train_model(dataset, out, config, trainer=trainer).checkpoint)


def encoder_state(checkpoint: Checkpoint) -> dict[str, Tensor]:
    return checkpoint.model.encoder.state_dict()


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def first(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with an encoder of its own."""
    out = tmp_path_factory.mktemp("encoders") / "first"
    run(dataset, out, PLAIN)
    return out


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a pretraining run leaves, of a video encoder for pictures of another size."""
    config = VideoEncoderConfig(image_size=16, patch=8, width=32, depth=1, heads=2)
    torch.manual_seed(5)
    folder = tmp_path_factory.mktemp("pretrained") / "video" / "checkpoint"
    save_checkpoint(folder, VideoEncoder(config), {"minutes": 1.5})
    return folder


def test_a_frozen_encoder_of_another_run_comes_out_as_it_went_in(
    dataset: Dataset, first: Path, tmp_path: Path
) -> None:
    """Batch norms as well: their statistics are not to follow the new run."""
    made = run(dataset, tmp_path / "run", FROZEN, objective=PREDICT, encoder_from=first)
    source = load_checkpoint(first / "checkpoint")
    assert same(encoder_state(made), encoder_state(source))
    origin = made.card["training"]["encoder"]
    assert (origin["name"], origin["sha256"]) == ("first", source.sha256)
    assert origin["dataset"] == dataset.fingerprint()
    assert str(first) not in str(made.card)


def test_an_encoder_that_is_not_frozen_goes_on_learning(
    dataset: Dataset, first: Path, tmp_path: Path
) -> None:
    made = run(dataset, tmp_path / "run", PLAIN, encoder_from=first)
    fresh = run(dataset, tmp_path / "fresh", PLAIN)
    started = encoder_state(load_checkpoint(first / "checkpoint"))
    assert not same(encoder_state(made), started)
    learned = dict(made.model.encoder.named_parameters())
    gaps = [(weight - started[name]).abs().max() for name, weight in learned.items()]
    assert max(gaps) < 0.05  # three steps away from where it began
    assert not same(encoder_state(made), encoder_state(fresh))


@torch.no_grad()
def test_the_second_stage_sees_what_the_pretrained_video_encoder_sees(
    dataset: Dataset, pretrained: Path, tmp_path: Path
) -> None:
    made = run(dataset, tmp_path / "run", FROZEN, objective=PREDICT, encoder_from=pretrained.parent)
    assert made.config.encoder == "vjepa"
    assert made.card["training"]["encoder"]["name"] == "video"
    assert made.card["training"]["encoder"]["minutes"] == 1.5
    torch.manual_seed(5)
    video = VideoEncoder(VideoEncoderConfig(image_size=16, patch=8, width=32, depth=1, heads=2))
    grey = torch.full((1, 1, 3, 32, 32), 77, dtype=torch.uint8)
    tokens = video.eval()(grey[:, :, :, :16, :16].expand(1, 2, 3, 16, 16))
    wanted = F.layer_norm(tokens, tokens.shape[-1:])
    torch.testing.assert_close(made.model.encode(grey)[0], wanted, atol=1e-4, rtol=1e-4)


def test_a_resumed_run_takes_the_same_encoder_and_ends_where_one_go_ends(
    dataset: Dataset, pretrained: Path, tmp_path: Path
) -> None:
    whole = run(dataset, tmp_path / "whole", FROZEN, 4, objective=PREDICT, encoder_from=pretrained)

    class Killed(BaseException):
        pass

    from pytorch_lightning import Callback

    class Kill(Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step == 3:
                raise Killed

    config = TrainConfig(
        model=WorldModelConfig(**FROZEN),
        objective=PREDICT,
        encoder_from=pretrained,
        windows=WindowsConfig(batch=8, validation=0.25),
        save_every_s=0.0,
    )
    trainer = {
        "max_steps": 4,
        "accelerator": "cpu",
        "precision": "32-true",
        "logger": False,
        "enable_progress_bar": False,
        "val_check_interval": 1000,
        "callbacks": [Kill()],
    }
    with pytest.raises(Killed):
        train_model(dataset, tmp_path / "run", config, trainer=trainer)
    resumed = train_model(dataset, tmp_path / "run", config, trainer={**trainer, "callbacks": []})
    assert resumed.resumed_at == 2
    made = load_checkpoint(resumed.checkpoint)
    assert same(made.model.state_dict(), whole.model.state_dict())


@torch.no_grad()
def test_remembered_latents_are_those_of_the_windows_frames(dataset: Dataset) -> None:
    """At the ends of episodes too, where rows of windows and of frames could part."""
    windows = Windows(dataset, [0, 2, 3], 4, 2)
    model = WorldModel(WorldModelConfig(**FROZEN)).eval()
    remembered = EncodedWindows(windows, model)
    indices = [0, 7, len(windows) // 3 - 1, len(windows) // 3, len(windows) - 1]
    clip = remembered.__getitems__(indices)
    torch.testing.assert_close(clip.latents, model.encode(clip.frames), atol=1e-5, rtol=1e-5)
    assert torch.equal(clip.frames, windows.__getitems__(indices).frames)
    assert latents_of(model, clip) is clip.latents


def test_a_run_that_remembers_latents_ends_where_one_that_encodes_anew_ends(
    dataset: Dataset, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both with a source of their own count of encodings: the short way must be taken."""
    from goalsight.models.video_encoder import FrameEncoder
    from goalsight.training import data

    seen: list[int] = []
    forward = FrameEncoder.forward

    def counted(self: FrameEncoder, pictures: Tensor) -> Tensor:
        seen.append(len(pictures))
        return forward(self, pictures)

    monkeypatch.setattr(FrameEncoder, "forward", counted)
    steps: dict[str, Any] = {"steps": 6, "objective": PREDICT, "encoder_from": pretrained}
    short = run(dataset, tmp_path / "short", FROZEN, **steps)
    once = sum(seen)
    seen.clear()
    monkeypatch.setattr(data, "worth_remembering", lambda *_: False)
    long = run(dataset, tmp_path / "long", FROZEN, **steps)
    assert once < sum(seen)
    for name, weight in short.model.state_dict().items():
        torch.testing.assert_close(weight, long.model.state_dict()[name], atol=1e-4, rtol=1e-3)


def test_few_steps_are_not_worth_encoding_a_whole_dataset_for(dataset: Dataset) -> None:
    windows = Windows(dataset, [0, 1], 4, 2)
    model = WorldModel(WorldModelConfig(**FROZEN))
    rows = int(dataset.episodes[:2].sum())
    assert windows.total_rows == rows
    assert not worth_remembering(model, windows, rows)
    assert worth_remembering(model, windows, rows + 1)


def test_proprio_is_standardised_by_the_training_split_alone(
    dataset: Dataset, tmp_path: Path
) -> None:
    """Recomputed from the files; the held-out episodes change the numbers."""
    from goalsight.data import format as layout
    from goalsight.data import split_episodes

    made = run(dataset, tmp_path / "run", {**PLAIN, "proprio_dim": 3, "predictor": "transformer"})
    training, _ = split_episodes(len(dataset.episodes), 0.25, 0)
    rows = dataset.columns([layout.PROPRIO], training.tolist())[layout.PROPRIO]
    np.testing.assert_allclose(made.model.proprio_mean.numpy(), rows.mean(0), rtol=1e-4)
    np.testing.assert_allclose(made.model.proprio_std.numpy(), rows.std(0), rtol=1e-4)
    np.testing.assert_allclose(made.card["statistics"]["proprio"]["mean"], rows.mean(0), rtol=1e-4)
    everything = dataset.columns([layout.PROPRIO], range(4))[layout.PROPRIO]
    assert not np.allclose(rows.mean(0), everything.mean(0), rtol=1e-4)


def test_proprio_of_another_width_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    wrong = {**PLAIN, "proprio_dim": 7, "predictor": "transformer"}
    with pytest.raises(
        DatasetError, match=r"3 numbers of proprio, .*proprio_dim is 7; give --prop"
    ):
        run(dataset, tmp_path / "run", wrong)


def test_the_second_stage_from_the_command_line(
    dataset: Dataset, pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The preset as it ships: frozen encoder, transformer, proprio of the dataset's width."""
    status = main(
        [
            "train",
            "--config",
            "vjepa-ac",
            "--data",
            str(dataset.path),
            "--out",
            str(tmp_path / "r"),
            "--encoder-from",
            str(pretrained),
            "--trainer.accelerator",
            "cpu",
            "--trainer.max-steps",
            "2",
            "--windows.batch",
            "8",
            "--model.frameskip",
            "2",
            "--trainer.enable-progress-bar",
            "false",
        ]
    )
    assert (status, capsys.readouterr().err) == (0, "")
    made = load_checkpoint(tmp_path / "r" / "checkpoint")
    config = made.config
    assert (config.encoder, config.predictor, config.proprio_dim) == ("vjepa", "transformer", 3)
    assert config.freeze_encoder
    assert made.model.inverse is None


def test_an_encoder_that_does_not_fit_is_refused_with_the_way_out(
    dataset: Dataset, first: Path, pretrained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with pytest.raises(UserError, match=r"encoder of first is of another size \(model.size tiny"):
        run(dataset, out, {**PLAIN, "size": "small"}, encoder_from=first)
    with pytest.raises(UserError, match="an encoder of kind vjepa, not conv-grid; leave"):
        run(dataset, out, {**PLAIN, "encoder": "conv-grid"}, encoder_from=pretrained)
    with pytest.raises(UserError, match=r"pictures as they are; leave --model\.standardise out"):
        run(dataset, out, {**PLAIN, "standardise": True}, encoder_from=first)
    with pytest.raises(CheckpointError, match="no checkpoint 'nowhere'"):
        run(dataset, out, PLAIN, encoder_from=Path("nowhere"))


def test_a_frozen_encoder_that_nobody_trained_is_worth_a_line(
    dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="goalsight"):
        run(dataset, tmp_path / "run", FROZEN, objective=PREDICT, steps=1)
    assert "conv is frozen and was never trained; give --encoder-from" in caplog.text


def test_the_spread_of_the_latents_is_measured_and_the_model_left_as_it_was(
    dataset: Dataset,
) -> None:
    model = WorldModel(WorldModelConfig(**PLAIN)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    windows = Windows(dataset, [0, 1], 2, 2, 32)
    found = latent_variance(model, windows)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    with torch.no_grad():
        z = model.eval().encode(windows.pictures(np.arange(windows.total_rows)[None]))[0]
    assert found == pytest.approx(float(z.var(0).mean()), rel=1e-4)


def test_a_checkpoint_says_in_which_unit_its_energies_are(dataset: Dataset, tmp_path: Path) -> None:
    card = run(dataset, tmp_path / "run", PLAIN).card
    assert card["statistics"]["latent"]["variance"] > 0
