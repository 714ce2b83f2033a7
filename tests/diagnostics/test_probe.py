"""Probes on labels that are known functions of the latent."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor

from goalsight.diagnostics import Latents, probe
from goalsight.diagnostics.probe import fit_probe, sketch, unit_of


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def held(count: int, first: int, blocks: int = 0, shape: tuple[int, int] = (1, 8)) -> Latents:
    """Latents with labels: one is linear, one a product, one unrelated, one never changes."""
    z = noise(count, blocks + 1, *shape, seed=first)
    flat = z.flatten(-2)
    labels = {
        "state.cube_pos": 0.1 * flat[..., :3],
        "state.product": flat[..., :1] * flat[..., 1:2],
        "state.unrelated": noise(count, blocks + 1, 1, seed=first + 1),
        "state.still": torch.full((count, blocks + 1, 1), 0.7),
    }
    return Latents(z, z[:, 1:], labels, first + torch.arange(count) % 20)


def test_a_linear_probe_reads_what_is_linear_and_an_mlp_what_is_not() -> None:
    report = probe(held(2000, 0), held(500, 100))
    assert (report.find("state.cube_pos").r2 or 0) > 0.999
    assert report.find("state.cube_pos").rmse < 0.001
    assert (report.find("state.product").r2 or 0) < 0.05
    assert (report.find("state.product", "mlp").r2 or 0) > 0.9


def test_what_is_not_in_the_latent_cannot_be_read() -> None:
    report = probe(held(2000, 0), held(500, 100))
    for kind in ("linear", "mlp"):
        r2 = report.find("state.unrelated", kind).r2
        assert r2 is not None
        assert r2 < 0.05


def test_a_label_that_never_changes_has_no_r2() -> None:
    reading = probe(held(500, 0), held(100, 100)).find("state.still")
    assert reading.r2 is None
    assert reading.rmse < 1e-4


def test_the_error_is_the_length_of_the_error_vector_in_the_labels_unit() -> None:
    """Noise of 2 cm on each of three axes is an error of sqrt(3) x 2 cm."""
    fit, test = held(4000, 0), held(1000, 100)
    for part in (fit, test):
        wobble = 0.02 * noise(*part.labels["state.cube_pos"].shape, seed=len(part.encoded))
        part.labels["state.cube_pos"] += wobble
    reading = probe(fit, test).find("state.cube_pos")
    assert reading.unit == "m"
    assert reading.rmse == pytest.approx(0.02 * 3**0.5, rel=0.05)
    assert reading.component_rmse == pytest.approx([0.02] * 3, rel=0.08)
    # Three Gaussian axes: the median length is 1.54 of their standard deviations.
    assert reading.median == pytest.approx(0.02 * 1.54, rel=0.08)


def test_a_few_frames_read_very_wrongly_leave_the_median_as_it_is() -> None:
    fit, test = held(2000, 0), held(500, 100)
    test.labels["state.cube_pos"][:5] += 0.5
    reading = probe(fit, test).find("state.cube_pos")
    assert reading.rmse > 0.05
    assert reading.median < 0.002


def test_imagined_latents_are_read_with_the_probe_of_the_encoded_ones() -> None:
    fit, test = held(2000, 0), held(500, 100, blocks=3)
    off = test.imagined.clone()
    off[:, 2, :, 0] += 1.0  # the third block is imagined 10 cm off along x
    report = probe(fit, Latents(test.encoded, off, test.labels, test.episodes))
    for block in (1, 2):
        imagined = report.find("state.cube_pos", "linear", "imagined", block)
        seen = report.find("state.cube_pos", "linear", "encoded", block)
        assert imagined.rmse == pytest.approx(seen.rmse)
    assert report.find("state.cube_pos", "linear", "imagined", 3).rmse == pytest.approx(0.1, 0.01)
    still = report.find("state.cube_pos", "linear", "copied", 1)
    assert still.rmse == pytest.approx(0.1 * 6**0.5, rel=0.1)  # two independent frames, 3 axes


def test_the_two_quaternions_of_a_rotation_are_one_label() -> None:
    fit, test = held(1000, 0), held(300, 100)
    for part in (fit, test):
        w = 1 + part.encoded[:, :, 0, :1].abs()
        signs = noise(*w.shape, seed=3).sign()
        part.labels["state.cube_quat"] = signs * torch.cat((w, part.encoded[:, :, 0, 1:4]), -1)
    reading = probe(fit, test).find("state.cube_quat")
    assert reading.unit == ""
    assert min(r2 or 0 for r2 in reading.component_r2[1:]) > 0.99


def test_wide_latents_are_sketched_and_can_still_be_read() -> None:
    """4 numbers that fill 3000 dimensions, read through 2048 sums of them."""
    mix = noise(4, 3000, seed=9)

    def wide(count: int, first: int) -> Latents:
        hidden = noise(count, 1, 4, seed=first)
        z = (hidden @ mix).reshape(count, 1, 3, 1000)
        return Latents(z, z[:, :0], {"state.x": hidden}, first + torch.arange(count) % 10)

    report = probe(wide(300, 0), wide(100, 50), kinds=("linear",))
    assert (report.features, report.seen_features) == (3000, 2048)
    assert (report.find("state.x").r2 or 0) > 0.99


def test_a_sketch_keeps_inner_products() -> None:
    z = noise(2, 1, 20_000)
    one, other = sketch(z, 2000), z.flatten(1)
    # Each is off by about sqrt(2 / 2000) of 20,000; this is four times that.
    torch.testing.assert_close(one @ one.T, other @ other.T, atol=2500, rtol=0)
    assert torch.equal(sketch(noise(3, 2, 8)), noise(3, 16))


def test_probes_must_not_be_judged_on_the_episodes_they_were_fitted_on() -> None:
    with pytest.raises(ValueError, match="episodes of their own, both have 0"):
        probe(held(50, 0), held(50, 0))


def test_the_penalty_keeps_a_probe_with_as_many_features_as_rows_from_learning_by_heart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y, groups = noise(120, 100), noise(120, 1, seed=1), torch.arange(120) % 12
    fresh = noise(500, 100, seed=2)
    chosen = fit_probe("linear", x, y, groups).read(fresh).var()
    monkeypatch.setattr(sys.modules["goalsight.diagnostics.probe"], "PENALTIES", (1e-5,))
    by_heart = fit_probe("linear", x, y, groups).read(fresh).var()
    assert chosen < 0.2 * by_heart


def test_the_same_seed_gives_the_same_probe() -> None:
    first, again = (probe(held(200, 0), held(50, 100), seed=3) for _ in range(2))
    assert first == again


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("state.ee_pos", "m"),
        ("proprio.ee_x", "m"),
        ("proprio.opening", "m"),
        ("proprio.joint7", "rad"),
        ("state.cube_quat", ""),
        ("state.colour", ""),
    ],
)
def test_units_go_by_names(name: str, unit: str) -> None:
    assert unit_of(name) == unit


def test_a_reading_that_does_not_exist_is_refused_by_name() -> None:
    report = probe(held(50, 0), held(20, 100))
    with pytest.raises(KeyError, match=r"'state\.nothing' encoded at 0 blocks; there are state\."):
        report.find("state.nothing")
