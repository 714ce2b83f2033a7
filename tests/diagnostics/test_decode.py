"""Pictures of what is imagined: the decoder learns, the model does not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from goalsight.checkpoint import save_checkpoint
from goalsight.cli.main import main
from goalsight.data import Dataset, Windows
from goalsight.diagnostics.decode import (
    DecodedRollouts,
    DecoderConfig,
    compare,
    decode,
    draw_decode,
    drawer,
    fit_decoder,
)
from goalsight.models import WorldModel, WorldModelConfig

POOLED = WorldModelConfig(image_size=32, action_dim=2, frameskip=2)
PIXEL = replace(POOLED, encoder="pixels", predictor="pixel", inverse=False)


def built(config: WorldModelConfig) -> WorldModel:
    torch.manual_seed(0)
    return WorldModel(config).eval()


def windows(dataset: Dataset, frames: int) -> Windows:
    return Windows(dataset, range(len(dataset.episodes)), frames, 2)


def rollouts(real: Tensor, imagined: Tensor) -> DecodedRollouts:
    return DecodedRollouts(real=real, encoded=real, imagined=imagined)


def moving(frames: int = 3) -> Tensor:
    """Noise that is new in every frame, (2, frames, 3, 16, 16)."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, frames, 3, 16, 16), dtype=torch.uint8, generator=generator)


def test_a_decoder_learns_to_draw_and_the_model_stays_as_it_is(squares: Dataset) -> None:
    model, seen = built(POOLED), windows(squares, 1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    errors = []
    for steps in (1, 100):
        decoder = fit_decoder(model, seen, DecoderConfig(steps=steps, batch=16))
        pictures = decode(model, windows(squares, 2), drawer(model, decoder), blocks=1)
        errors.append(compare(pictures).encoded_rmse[0])
    assert errors[1] < 0.7 * errors[0]
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_the_same_seed_gives_the_same_decoder(squares: Dataset) -> None:
    model, seen = built(POOLED), windows(squares, 1)
    one, other = (fit_decoder(model, seen, DecoderConfig(steps=3, batch=8)) for _ in range(2))
    for left, right in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(left, right)


def test_a_model_of_pixels_needs_no_decoder_and_draws_what_it_saw(squares: Dataset) -> None:
    model = built(PIXEL)
    pictures = decode(model, windows(squares, 4), drawer(model, None), blocks=3, count=40)
    assert pictures.real.shape == (40, 4, 3, 32, 32)
    assert torch.equal(pictures.encoded, pictures.real)
    assert torch.equal(pictures.imagined[:, 0], pictures.real[:, 0])
    assert not torch.equal(pictures.imagined[:, 3], pictures.real[:, 3])


def test_latents_without_a_decoder_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="need a decoder"):
        drawer(built(POOLED), None)


def test_perfect_imagination_has_no_error_and_all_the_edges() -> None:
    real = moving()
    report = compare(rollouts(real, real))
    assert report.imagined_rmse == (0.0, 0.0, 0.0)
    assert report.imagined_edges == pytest.approx((1.0, 1.0, 1.0))
    assert report.copy_last_rmse[0] == 0.0
    assert report.copy_last_rmse[2] > 50


def test_an_error_of_so_many_grey_levels_is_reported_as_such() -> None:
    real = moving().clamp(max=200)
    off = real.clone()
    off[:, 2] += 7
    assert compare(rollouts(real, off)).imagined_rmse == pytest.approx((0.0, 0.0, 7.0))


def test_blur_shows_as_lost_edges_and_noise_does_not_make_up_for_it() -> None:
    real = moving()
    flat = functional.avg_pool2d(real.flatten(0, 1).float(), 5, stride=1, padding=2)
    blurred = flat.round().to(torch.uint8).reshape(real.shape)
    assert compare(rollouts(real, blurred)).imagined_edges[1] < 0.4
    noise = moving(6)[:, 3:]
    assert abs(compare(rollouts(real, noise)).imagined_edges[1]) < 0.2


def test_what_stands_still_does_not_count_as_an_edge() -> None:
    """A sharp background is no merit of a model that copies it."""
    real = torch.zeros(1, 3, 3, 16, 16, dtype=torch.uint8)
    real[..., :8, ::2] = 200  # stripes that never change
    real[:, 1, :, 10:14, 4:8] = 255  # a square that appears
    empty = real.clone()
    empty[:, :, :, 8:] = 0
    report = compare(rollouts(real, empty))
    assert report.encoded_edges[1] == pytest.approx(1.0)
    assert report.imagined_edges[1] == 0.0


def test_the_figure_has_a_row_for_each_source_and_a_column_for_each_frame_shown() -> None:
    shown = rollouts(moving(11), moving(11))
    figure = draw_decode(shown, compare(shown))
    assert len(figure.axes) == 2 * 3 * 6  # windows x sources x frames


@pytest.mark.parametrize("config", [POOLED, PIXEL], ids=["latent", "pixel"])
def test_the_command_writes_numbers_and_a_filmstrip(
    config: WorldModelConfig, squares: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint(tmp_path / "model", built(config), {})
    argv = [
        "inspect",
        "decode",
        "--checkpoint",
        str(tmp_path / "model"),
        "--data",
        str(squares.path),
        "--out",
        str(tmp_path / "look"),
        "--blocks",
        "2",
        "--steps",
        "2",
        "--windows",
        "8",
    ]
    assert main([*argv, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report["imagined_rmse"]) == 3
    assert (tmp_path / "look" / "decode.png").stat().st_size > 10_000
    decoder = tmp_path / "look" / "decoder.safetensors"
    assert decoder.is_file() == (config.encoder == "conv")
    if decoder.is_file():
        written = decoder.stat().st_mtime_ns
        assert main(argv) == 0
        assert decoder.stat().st_mtime_ns == written, "a decoder that is there is used again"
        assert "error after 2 blocks" in capsys.readouterr().out
