"""Parts by name: what somebody registers trains by the command and loads again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from goalsight import registry
from goalsight.checkpoint import load_checkpoint
from goalsight.cli.main import main
from goalsight.errors import CheckpointError, UserError
from goalsight.registry import MODULES, find, names, register
from goalsight.training.objective import ObjectiveConfig

THEIRS = """
import torch
from torch import nn
from goalsight import register
from goalsight.models.encoder import Encoder
from goalsight.models.predictor import Predictor

@register("encoder", "mean-colour")
class MeanColour(Encoder):
    def __init__(self, config):
        super().__init__()
        self.patches, self.dim = 1, config.encoder_options.get("dim", 8)
        self.net = nn.Linear(3, self.dim)

    def forward(self, pictures):
        return self.net(pictures.float().mean((2, 3)) / 255)[:, None]

@register("predictor", "linear")
class Linear(Predictor):
    def __init__(self, config, patches, dim):
        super().__init__()
        self.net = nn.Linear(dim + config.frameskip * config.action_dim, dim)

    def forward(self, z, actions, proprio=None):
        known = actions.flatten(-2)[..., None, :].expand(*z.shape[:-1], -1)
        return z + self.net(torch.cat((z, known), -1)), None

@register("loss", "spread")
def spread(z, predicted, config, generator):
    weight = config.anti_collapse_options["weight"]
    return {"spread": weight * (1 - z.flatten(0, 1).std(0)).abs().mean()}
"""


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A registry that forgets what a test adds to it."""
    monkeypatch.setattr(registry, "_parts", dict(registry._parts))
    registry._ask_others.cache_clear()
    yield
    registry._ask_others.cache_clear()


@pytest.fixture
def theirs(fresh: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of somebody else on the path."""
    (tmp_path / "their_parts.py").write_text(THEIRS)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "their_parts"
    sys.modules.pop("their_parts", None)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from goalsight.data.collect import CollectConfig, collect

    sys.path.insert(0, str(Path(__file__).parent / "data"))
    out = tmp_path_factory.mktemp("registry") / "data"
    collect(
        CollectConfig(
            env="fake_env:Fake/Square-v0", episodes=3, out=out, size=32, steps=20, video="none"
        )
    )
    return out


def command(data: Path, out: Path) -> list[str]:
    return [
        "train",
        "--data",
        str(data),
        "--out",
        str(out),
        "--max-steps",
        "2",
        "--device",
        "cpu",
        "--windows.batch",
        "8",
        "--model.frameskip",
        "2",
        "--trainer.logger",
        "false",
        "--model.encoder",
        "mean-colour",
        "--model.encoder_options",
        "{dim: 6}",
        "--model.predictor",
        "linear",
        "--objective.anti_collapse",
        "spread",
        "--objective.anti_collapse_options",
        "{weight: 0.5}",
    ]


def test_parts_of_ones_own_train_by_the_command_and_load_again(
    theirs: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MODULES, theirs)
    out = tmp_path / "run"
    assert main(command(data, out)) == 0
    loaded = load_checkpoint(out / "checkpoint")
    assert (loaded.config.encoder, loaded.model.latent_dim) == ("mean-colour", 6)
    assert loaded.card["metrics"]["train/spread"] > 0
    look = (
        "import sys; from pathlib import Path; from goalsight.checkpoint import load_checkpoint\n"
        f"print(load_checkpoint(Path({str(out / 'checkpoint')!r})).model.latent_dim)"
    )
    env = {"PYTHONPATH": f"{tmp_path}:{':'.join(sys.path)}", MODULES: theirs}
    done = subprocess.run(
        [sys.executable, "-c", look], env=env, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("6\n", 0), done.stderr


def test_a_checkpoint_imports_nothing_and_says_which_part_is_missing(
    theirs: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MODULES, theirs)
    assert main(command(data, tmp_path / "run")) == 0
    monkeypatch.delenv(MODULES)
    kept = {key: part for key, part in registry._parts.items() if part.__module__ != theirs}
    monkeypatch.setattr(registry, "_parts", kept)
    registry._ask_others.cache_clear()
    with pytest.raises(CheckpointError, match=r"encoder must be one of conv,.*got 'mean-colour'"):
        load_checkpoint(tmp_path / "run" / "checkpoint")


def test_an_entry_point_registers_when_a_name_is_not_known(
    theirs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Entry:
        name, value = "parts", theirs

        def load(self) -> Any:
            return import_module(self.value)

    monkeypatch.setattr(registry, "entry_points", lambda group: [Entry()] * (group == "goalsight"))
    assert find("loss", "sigreg") is not None
    assert theirs not in sys.modules
    assert find("loss", "spread").__module__ == theirs
    assert ObjectiveConfig(anti_collapse="spread").anti_collapse == "spread"


def test_a_name_means_one_part(fresh: None) -> None:
    def other(*_: torch.Tensor) -> dict[str, torch.Tensor]:
        return {}

    with pytest.raises(ValueError, match=r"loss 'sigreg' is .*sigreg_terms already"):
        register("loss", "sigreg")(other)
    register("loss", "mine")(other)
    assert "mine" in names("loss")
    register("loss", "mine")(other)  # the same again, as a module that is run and imported does
    with pytest.raises(ValueError, match="kind must be one of encoder, predictor, loss"):
        register("wheel", "mine")
    with pytest.raises(ValueError, match="no colon, got 'a:b'"):
        register("loss", "a:b")


def test_a_module_that_cannot_be_imported_is_one_line(
    fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MODULES, "nowhere_at_all")
    with pytest.raises(UserError, match="GOALSIGHT_MODULES names 'nowhere_at_all'"):
        find("encoder", "mine")
