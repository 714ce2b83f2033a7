"""Pretraining a video encoder: its losses, its run, and the command as it is typed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from pytorch_lightning import Callback
from torch import Tensor

from goalsight.checkpoint import load_checkpoint, load_video_encoder, save_checkpoint
from goalsight.cli.main import main
from goalsight.cli.train import PretrainCLI
from goalsight.data import Dataset
from goalsight.errors import CheckpointError
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.models.mask_predictor import MaskPredictor, MaskPredictorConfig
from goalsight.models.video_encoder import VideoEncoder, VideoEncoderConfig
from goalsight.training import pretrain as masked
from goalsight.training.data import WindowsConfig
from goalsight.training.module import OptimiserConfig
from goalsight.training.pretrain import (
    MaskedObjectiveConfig,
    PretrainConfig,
    follow,
    masked_losses,
    pretrain,
)
from goalsight.training.trainer import TrainSummary

CONFIGS = sorted((Path(__file__).parents[2] / "configs" / "pretrain").glob("*.yaml"))
ENCODER = VideoEncoderConfig(image_size=32, patch=8, width=24, depth=2, heads=2)
PREDICTOR = MaskPredictorConfig(width=12, depth=1, heads=1)
DENSE = MaskedObjectiveConfig(context=0.5, context_warmup_steps=4, levels=2, momentum=0.9)
TRAINER = {"accelerator": "cpu", "precision": "32-true", "enable_progress_bar": False}


def networks(levels: int = 1) -> tuple[VideoEncoder, VideoEncoder, MaskPredictor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = VideoEncoder(ENCODER)
        predictor = MaskPredictor(ENCODER, PREDICTOR, levels=levels)
    return encoder, copy.deepcopy(encoder).requires_grad_(False), predictor


def video(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, 4, 3, 32, 32), dtype=torch.uint8, generator=generator)


def losses(config: MaskedObjectiveConfig, step: int = 0, levels: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return masked_losses(*networks(levels), video(), config, generator=generator, step=step)


def test_targets_get_no_gradient_and_everything_else_does() -> None:
    encoder, target, predictor = networks(levels=2)
    terms = masked_losses(
        encoder, target, predictor, video(), DENSE, generator=torch.Generator().manual_seed(0)
    )
    terms["loss"].backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is None for p in target.parameters())
    silent = [
        name
        for network in (encoder, predictor)
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    assert silent == []


def test_visible_tokens_count_more_as_the_warm_up_goes_on() -> None:
    first, last = losses(DENSE, step=0, levels=2), losses(DENSE, step=3, levels=2)
    for terms, weight in ((first, 0.125), (last, 0.5)):
        wanted = terms["prediction"] + weight * terms["context"]
        torch.testing.assert_close(terms["loss"], wanted)
        assert terms["context"] > 0
    plain = losses(MaskedObjectiveConfig())
    assert plain["loss"] == plain["prediction"]
    assert plain["context"] == 0


def test_an_untrained_predictor_is_off_by_the_mean_of_a_standard_normal() -> None:
    """Targets have mean 0 and spread 1 and predictions start near 0: the error is about 0.8."""
    assert losses(MaskedObjectiveConfig())["prediction"].item() == pytest.approx(0.8, abs=0.1)


@pytest.mark.parametrize("config", [MaskedObjectiveConfig(), DENSE], ids=["masked", "dense"])
def test_two_processes_lose_on_average_what_one_with_both_batches_loses(
    monkeypatch: pytest.MonkeyPatch, config: MaskedObjectiveConfig
) -> None:
    """They draw the same masks and take their own rows; a trainer averages their gradients."""
    both = torch.cat((video(0), video(1)))

    def loss(batch: Tensor) -> float:
        generator = torch.Generator().manual_seed(0)
        terms = masked_losses(*networks(config.levels), batch, config, generator=generator, step=9)
        return terms["loss"].item()

    alone, parts = loss(both), []
    monkeypatch.setattr(masked, "rank_count", lambda: 2)
    for rank, batch in enumerate((both[:3], both[3:])):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        parts.append(loss(batch))
    assert sum(parts) / 2 == pytest.approx(alone, abs=1e-6)
    assert parts[0] != pytest.approx(parts[1], abs=1e-6)


@pytest.mark.parametrize(("momentum", "share"), [(1.0, 0.0), (0.0, 1.0), (0.75, 0.25)])
def test_the_target_encoder_follows_by_its_momentum(momentum: float, share: float) -> None:
    slow, fast = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    wanted = slow.weight.detach() + share * (fast.weight - slow.weight).detach()
    follow(slow, fast, momentum)
    torch.testing.assert_close(slow.weight.detach(), wanted)


def test_what_a_hidden_part_shows_is_learned_from_the_visible_ones() -> None:
    """Videos of one colour each: whoever looks at the context knows what is hidden."""
    encoder, target, predictor = networks()
    colours = torch.randint(0, 256, (8, 1, 3, 1, 1), generator=torch.Generator().manual_seed(0))
    plain = colours.to(torch.uint8).expand(8, 4, 3, 32, 32)
    parameters = [*encoder.parameters(), *predictor.parameters()]
    optimiser, seen = torch.optim.AdamW(parameters, lr=1e-2), []
    generator = torch.Generator().manual_seed(0)
    for _ in range(80):
        terms = masked_losses(
            encoder, target, predictor, plain, MaskedObjectiveConfig(), generator=generator
        )
        optimiser.zero_grad()
        terms["loss"].backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        seen.append(terms["loss"].item())
    tokens = target(plain)[:, 0]
    wanted = torch.nn.functional.layer_norm(tokens, tokens.shape[-1:])
    blind = (wanted - wanted.median(dim=0).values).abs().mean().item()  # knows all but which video
    assert sum(seen[-10:]) / 10 < 0.5 * blind


def config(**changes: Any) -> PretrainConfig:
    values: dict[str, Any] = {
        "encoder": ENCODER,
        "predictor": PREDICTOR,
        "objective": DENSE,
        "optimiser": OptimiserConfig(lr=1e-2, warmup_steps=2),
        "windows": WindowsConfig(frames=4, batch=8, validation=0.25),
        "threads": 1,
        "save_every_s": 1e9,
    }
    return PretrainConfig(**values | changes)


def run(dataset: Dataset, out: Path, *callbacks: Callback, **changes: Any) -> TrainSummary:
    arguments = {**TRAINER, "max_steps": 6, "callbacks": list(callbacks), "log_every_n_steps": 2}
    return pretrain(dataset, out, config(**changes), trainer=arguments, settings={"a": 1})


class CtrlC(Callback):
    """Asks the run to stop after three steps."""

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == 3:
            import signal

            signal.raise_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def in_one_go(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    run(dataset, out)
    return out


def test_stopped_and_resumed_gives_the_same_encoder_as_one_go(
    dataset: Dataset, in_one_go: Path, tmp_path: Path
) -> None:
    assert run(dataset, tmp_path / "run", CtrlC()).interrupted
    summary = run(dataset, tmp_path / "run")
    assert (summary.resumed_at, summary.steps, summary.interrupted) == (3, 6, False)
    one, other = (
        load_video_encoder(out / "checkpoint")[0].state_dict()
        for out in (in_one_go, tmp_path / "run")
    )
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def test_the_checkpoint_is_the_target_encoder_and_says_where_it_comes_from(
    dataset: Dataset, in_one_go: Path
) -> None:
    encoder, card = load_video_encoder(in_one_go / "checkpoint")
    assert encoder.config == ENCODER
    assert card["dataset"]["fingerprint"] == dataset.fingerprint()
    assert (card["steps"], card["finished"], card["labels_used"]) == (6, True, [])
    assert card["training"]["objective"]["levels"] == 2
    assert {"train/prediction", "train/context", "validation/prediction"} <= set(card["metrics"])
    state = torch.load(in_one_go / "last.ckpt", weights_only=True)["state_dict"]
    name = "blocks.0.fc1.weight"
    assert torch.equal(encoder.state_dict()[name], state[f"model.{name}"])
    assert not torch.equal(state[f"encoder.{name}"], state[f"model.{name}"])


def test_a_world_model_and_a_video_encoder_are_not_taken_for_each_other(
    in_one_go: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="goalsight train --encoder-from"):
        load_checkpoint(in_one_go / "checkpoint")
    save_checkpoint(tmp_path / "world", WorldModel(WorldModelConfig()), {})
    with pytest.raises(CheckpointError, match="holds no video encoder"):
        load_video_encoder(tmp_path / "world")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"windows": WindowsConfig(frames=5)}, "multiple of 2 frames"),
        ({"objective": replace(DENSE, levels=3)}, "levels must be at most 2"),
        ({"stride": 0}, "stride must be at least 1"),
    ],
)
def test_runs_that_cannot_be_are_refused_before_they_start(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        config(**changes)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_config_can_be_built(path: Path) -> None:
    cli = PretrainCLI(["--config", path.stem, "--data", "d", "--out", "o"])
    given, values = cli.config_init, yaml.safe_load(path.read_text(encoding="utf-8"))
    built = PretrainConfig(
        encoder=VideoEncoderConfig(size=given.encoder.size),
        objective=given.objective,
        windows=given.windows,
        optimiser=given.optimiser,
    )
    assert built.encoder.size == values["encoder"]["size"] == path.stem
    assert built.optimiser.weight_decay == 0.04
    assert given.trainer.max_steps == values["trainer"]["max_steps"]


@pytest.fixture
def typed(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    def call(*argv: str) -> tuple[int, str, str]:
        paths = ["--data", str(dataset.path), "--out", str(tmp_path / "run")]
        small = ["--encoder.patch", "8", "--encoder.depth", "1", "--windows.batch", "8"]
        fast = ["--trainer.accelerator", "cpu", "--trainer.max-steps", "2", "--windows.frames", "4"]
        status = main(["pretrain", "--config", "tiny", *paths, *small, *fast, *argv])
        return status, *capsys.readouterr()

    return call


def test_the_command_leaves_an_encoder_of_the_datasets_size(
    typed: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    status, out, _ = typed("--json")
    assert status == 0
    encoder, _ = load_video_encoder(Path(json.loads(out)["checkpoint"]))
    assert (encoder.config.image_size, encoder.config.depth, encoder.config.width) == (32, 1, 96)
    settings = yaml.safe_load((tmp_path / "run" / "settings.yaml").read_text())
    assert settings["objective"]["momentum"] == 0.996


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--windows.frames", "3"], "multiple of 2 frames"),
        (["--encoder.heads", "5"], "width must be a multiple of heads, got 96 and 5"),
        (["--objective.momentum", "2"], r"momentum must be in \[0, 1\]"),
        (["--model.size", "tiny"], "model"),
    ],
)
def test_what_is_mistyped_is_refused_in_one_line(
    typed: Callable[..., tuple[int, str, str]], argv: list[str], message: str
) -> None:
    status, out, err = typed(*argv)
    assert (status, out, err.count("\n")) == (2, "", 1)
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(err)


def test_published_weights_become_a_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.VJEPA2Config(
        crop_size=32,
        patch_size=8,
        hidden_size=24,
        num_attention_heads=2,
        num_hidden_layers=1,
        pred_hidden_size=12,
        pred_num_attention_heads=1,
        pred_num_hidden_layers=1,
    )
    transformers.VJEPA2Model(config).save_pretrained(tmp_path / "published")
    capsys.readouterr()
    out = tmp_path / "ours"
    assert main(["encoder", "import", str(tmp_path / "published"), "--out", str(out)]) == 0
    assert "16 tokens of 24 numbers" in capsys.readouterr().out
    assert load_video_encoder(out)[0].config.width == 24
    assert main(["encoder", "import", str(tmp_path / "no"), "--out", str(out)]) == 2
    assert "add --download" in capsys.readouterr().err
