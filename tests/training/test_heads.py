"""Heads are trained beside a model and written beside it, never over it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from goalsight.checkpoint import load_checkpoint, save_checkpoint
from goalsight.cli.main import main
from goalsight.data import Dataset
from goalsight.diagnostics.context import Latents
from goalsight.errors import DatasetError, OutputError
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.models.heads.probe import ProbeHead
from goalsight.training.heads import choose, fit_head, readable, save_with_head

CONFIG = WorldModelConfig(image_size=32, action_dim=2, frameskip=2)
OPTIONS = {"variables": {"state.square": {"width": 2, "unit": ""}}, "kind": "linear"}
CARD = {
    "labels_used": ["old"],
    "statistics": {"latent": {"variance": 2.0}},
    "metrics": {"loss": 1.0},
    "steps": 7,
}
Head = Callable[..., tuple[int, str, str]]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = WorldModel(CONFIG).eval()
    save_checkpoint(tmp_path / "run" / "checkpoint", model, CARD)
    return tmp_path / "run"


def test_a_new_run_holds_the_whole_model_and_the_head_and_the_old_one_stays(
    saved: Path, tmp_path: Path
) -> None:
    before = {file.name: file.read_bytes() for file in (saved / "checkpoint").iterdir()}
    head = ProbeHead(CONFIG, 1, 64, **OPTIONS)  # type: ignore[arg-type]
    head.mean.fill_(3.0)
    folder = save_with_head(
        saved,
        tmp_path / "new",
        "probe",
        OPTIONS,
        head.state_dict(),
        how={"minutes": 1.5},
        labels_used=["state.square", "old"],
        metrics={"probe/r2": 0.9},
    )
    assert {file.name: file.read_bytes() for file in (saved / "checkpoint").iterdir()} == before
    old, new = load_checkpoint(saved / "checkpoint"), load_checkpoint(folder)
    for name, tensor in old.model.state_dict().items():
        assert torch.equal(new.model.state_dict()[name], tensor), name
    for name, tensor in head.state_dict().items():
        assert torch.equal(new.model.heads["probe"].state_dict()[name], tensor), name
    assert new.card["labels_used"] == ["old", "state.square"]
    assert new.card["metrics"] == {"loss": 1.0, "probe/r2": 0.9}
    assert (new.card["steps"], new.card["statistics"]) == (7, {"latent": {"variance": 2.0}})
    assert new.card["heads"] == {"probe": {"minutes": 1.5, "trained_on": old.sha256}}


def test_a_second_head_of_the_name_replaces_the_first_in_the_copy(
    saved: Path, tmp_path: Path
) -> None:
    place = saved
    for number, width in enumerate((2, 3)):
        options = {"variables": {"state.square": {"width": width}}, "kind": "linear"}
        head = ProbeHead(CONFIG, 1, 64, **options)  # type: ignore[arg-type]
        out = tmp_path / f"new{number}"
        save_with_head(place, out, "probe", options, head.state_dict(), how={})
        place = out
    model = load_checkpoint(place / "checkpoint").model
    assert model.heads["probe"](torch.zeros(1, 1, 64)).shape == (1, 3)


def test_a_folder_that_holds_anything_is_refused_untouched(saved: Path, tmp_path: Path) -> None:
    head = ProbeHead(CONFIG, 1, 64, **OPTIONS)  # type: ignore[arg-type]
    with pytest.raises(OutputError, match=r"already holds something.*never over it"):
        save_with_head(saved, saved, "probe", OPTIONS, head.state_dict(), how={})
    with pytest.raises(ValueError, match="the weights are not those of such a head"):
        save_with_head(saved, tmp_path / "new", "probe", OPTIONS, {}, how={})
    assert not (tmp_path / "new").exists()


def known(count: int, first: int, shape: tuple[int, int] = (1, 6)) -> Latents:
    """A label that is linear in the latent; imagination shifts every latent by 1."""
    z = noise(count, 4, *shape, seed=first)
    labels = {
        "state.cube_pos": 0.1 * z.flatten(-2)[..., :3] + 0.5,
        "state.cube_quat": noise(count, 4, 4, seed=first + 1),
        "state.still": torch.full((count, 4, 1), 0.7),
        "proprio.opening": z.flatten(-2)[..., 3:4],
    }
    return Latents(z, z[:, 1:] + 0.0, labels, first + torch.arange(count) % 20)


def test_what_moves_is_read_unless_it_is_a_rotation_or_not_a_label() -> None:
    assert readable(known(100, 0)) == ["state.cube_pos"]


def test_choosing_keeps_some_labels_and_refuses_those_that_are_not_there() -> None:
    latents = known(20, 0)
    assert list(choose(latents, ["proprio.opening"]).labels) == ["proprio.opening"]
    with pytest.raises(DatasetError, match=r"no variable 'state\.moon'; it has state\.cube"):
        choose(latents, ["state.moon"])
    with pytest.raises(DatasetError, match="records no simulator truth that moves"):
        choose(latents, [])


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_the_head_reads_what_the_report_says_that_it_reads(kind: str) -> None:
    names = ["state.cube_pos", "proprio.opening"]
    fit, test = choose(known(500, 0), names), choose(known(100, 100), names)
    fitted = fit_head(CONFIG, fit, test, kind=kind)  # type: ignore[arg-type]
    read = fitted.head.read(test.encoded)
    error = (read["state.cube_pos"] - test.labels["state.cube_pos"]).square().sum(-1).mean().sqrt()
    reading = fitted.report.find("state.cube_pos", kind)  # type: ignore[arg-type]
    assert float(error) == pytest.approx(reading.rmse, rel=1e-3)
    assert (reading.r2 or 0) > 0.95
    assert fitted.labels_used == ["state.cube_pos"]
    assert fitted.options["variables"]["state.cube_pos"] == {"width": 3, "unit": "m"}
    assert set(fitted.metrics()) == {
        f"probe/{name}/r2_{source}" for name in names for source in ("encoded", "imagined")
    }
    # In standard deviations of the training data, which are those of the labels.
    standard = fitted.head(fit.encoded)[..., :3].flatten(0, 1)
    torch.testing.assert_close(standard.std(0), torch.ones(3), atol=0.1, rtol=0)


def test_it_learns_from_imagined_latents_too() -> None:
    """Imagination forgets one of two numbers that say the same: only the other can be trusted."""

    def forgetful(count: int, first: int) -> Latents:
        x = noise(count, 4, 1, 1, seed=first)
        noisy = x + 0.3 * noise(count, 4, 1, 1, seed=first + 1)
        encoded = torch.cat((x, noisy), dim=-1)
        imagined = torch.cat((torch.zeros_like(x), noisy), dim=-1)[:, 1:]
        return Latents(encoded, imagined, {"state.x": x[:, :, 0]}, first + torch.arange(count) % 20)

    fit, test = forgetful(1000, 0), forgetful(300, 100)
    imagined = fit_head(CONFIG, fit, test, kind="mlp").report.find("state.x", "mlp", "imagined", 3)
    blind = Latents(fit.encoded, fit.encoded[:, 1:], fit.labels, fit.episodes)
    seen_only = fit_head(CONFIG, blind, test, kind="mlp").report
    assert (imagined.r2 or 0) > 0.8
    assert (seen_only.find("state.x", "mlp", "imagined", 3).r2 or 0) < 0.5


@pytest.fixture
def head(saved: Path, dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Head:
    """Runs `goalsight head probe`; later flags win over the given ones."""

    def call(*more: str) -> tuple[int, str, str]:
        given = ["--checkpoint", str(saved), "--data", str(dataset.path)]
        given += ["--out", str(tmp_path / "out"), "--blocks", "2", "--windows", "40"]
        status = main(["head", "probe", *given, *more])
        return status, *capsys.readouterr()

    return call


def test_the_command_writes_a_run_that_can_plan_by_the_decoded_state(
    head: Head, tmp_path: Path
) -> None:
    status, out, err = head("--kind", "linear")
    assert (status, err) == (0, "")
    assert "simulator labels used: state.square, state.speed" in out
    folder = tmp_path / "out"
    assert {file.name for file in folder.iterdir()} == {"checkpoint", "probe.json", "probe.png"}
    card = load_checkpoint(folder / "checkpoint").card
    assert card["labels_used"] == ["old", "state.square", "state.speed"]
    assert card["heads"]["probe"]["blocks"] == 2
    assert "probe/state.square/r2_imagined" in card["metrics"]


def test_variables_may_be_chosen_and_proprio_is_no_simulator_label(
    head: Head, tmp_path: Path
) -> None:
    status, out, _ = head("--variables", "proprio.x+proprio.y", "--json")
    assert status == 0
    assert {reading["variable"] for reading in json.loads(out)["readings"]} == {
        "proprio.x",
        "proprio.y",
    }
    assert load_checkpoint(tmp_path / "out" / "checkpoint").card["labels_used"] == ["old"]


def test_what_does_not_fit_is_one_line_and_nothing_is_written(
    head: Head, saved: Path, tmp_path: Path
) -> None:
    wrong = [
        (("--variables", "state.moon"), "no variable 'state.moon'; it has state."),
        (("--out", str(saved)), "already holds something"),
        (("--kind", "forest"), "forest"),
        (("--blocks", "0"), "--blocks must be at least 1"),
    ]
    for flags, message in wrong:
        status, out, err = head(*flags)
        assert (status, out) == (2, ""), flags
        assert message in err
        assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()
