"""Checkpoints come back as they were, and are refused by name when they do not fit."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import yaml
from torch import nn

from goalsight import checkpoint as module
from goalsight.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint
from goalsight.errors import CheckpointError, OutputError, UserError
from goalsight.models import WorldModel, WorldModelConfig

CARD = {"action_names": ["dx", "dy"], "labels_used": [], "metrics": {"loss": 0.5}}


@pytest.fixture
def model() -> WorldModel:
    torch.manual_seed(0)
    return WorldModel(WorldModelConfig(image_size=32, action_dim=2)).eval()


@pytest.fixture
def saved(model: WorldModel, tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "saved", model, CARD)
    return tmp_path / "saved"


def reseal(folder: Path) -> None:
    """Write the checksums of what is there, as somebody would who knows the format."""
    card = json.loads((folder / "card.json").read_text())
    for name in card["sha256"]:
        card["sha256"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "card.json").write_text(json.dumps(card))


@torch.no_grad()
def test_a_model_comes_back_exactly(model: WorldModel, saved: Path) -> None:
    loaded = load_checkpoint(saved)
    frames = torch.randint(0, 256, (2, 3, 3, 32, 32), dtype=torch.uint8)
    assert torch.equal(loaded.model.encode(frames), model.encode(frames))
    assert loaded.config == model.config
    assert loaded.card["metrics"] == {"loss": 0.5}
    assert loaded.card["labels_used"] == []
    assert loaded.sha256 == hashlib.sha256((saved / "model.safetensors").read_bytes()).hexdigest()
    assert not loaded.model.training


def test_loading_leaves_the_global_random_stream_alone(saved: Path) -> None:
    torch.manual_seed(5)
    load_checkpoint(saved)
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))


def test_a_number_that_is_none_stays_out_of_the_card(model: WorldModel, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_checkpoint(tmp_path / "x", model, {"loss": float("nan")})
    assert not (tmp_path / "x").exists()


def flip_a_byte(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)


def edit_config(old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / "config.yaml"
        path.write_text(path.read_text().replace(old, new))
        reseal(folder)

    return edit


def write_pickle(folder: Path) -> None:
    """A file that would run a command when it is unpickled."""

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, ("touch exploded",)

    (folder / "model.safetensors").write_bytes(pickle.dumps(Bomb()))
    reseal(folder)


def drop_a_tensor(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    del tensors[min(tensors)]
    safetensors.torch.save_file(tensors, path)
    reseal(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip_a_byte, r"model\.safetensors is not the file that was saved \(sha256"),
        (lambda f: (f / "model.safetensors").unlink(), r"model\.safetensors is missing"),
        (lambda f: (f / "config.yaml").unlink(), r"config\.yaml is missing"),
        (lambda f: (f / "card.json").unlink(), r"card\.json is missing"),
        (lambda f: (f / "card.json").write_text("{"), r"card\.json is not JSON"),
        (lambda f: (f / "card.json").write_text("{}"), r"card\.json has no sha256"),
        (edit_config("world_model", "diffusion"), "unknown kind 'diffusion'.*: world_model"),
        (edit_config("frameskip", "frame_skip"), "unknown field 'frame_skip'.*frameskip"),
        (edit_config("size: tiny", "size: huge"), "size must be one of .*'huge'"),
        (edit_config("action_dim: 2", "action_dim: 3"), r"tensor '.*' is .* where the config"),
        (write_pickle, "is not a safetensors file"),
        (drop_a_tensor, r"tensor '[\w.]+' is missing"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    saved: Path, damage: Callable[[Path], None], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(saved.parent)
    damage(saved)
    with pytest.raises(CheckpointError) as refusal:
        load_checkpoint(saved)
    assert re.search(message, str(refusal.value))
    assert "\n" not in str(refusal.value)
    assert not Path("exploded").exists()


def test_a_failed_save_keeps_the_old_checkpoint(
    model: WorldModel, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load_checkpoint(saved).sha256

    def full(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(saved, model, CARD)
    monkeypatch.undo()
    assert load_checkpoint(saved).sha256 == before
    assert [entry.name for entry in saved.parent.iterdir()] == ["saved"]


def test_a_save_killed_between_its_renames_leaves_a_checkpoint(
    model: WorldModel, saved: Path
) -> None:
    sha256 = load_checkpoint(saved).sha256
    saved.rename(saved.with_name(".saved.old"))  # where a kill would leave it
    assert load_checkpoint(saved).sha256 == sha256
    assert find_checkpoint(saved) == saved
    save_checkpoint(saved, model, CARD)
    assert [entry.name for entry in saved.parent.iterdir() if entry.name == "saved"]
    assert load_checkpoint(saved).sha256 == sha256


def test_a_folder_with_something_else_is_never_replaced(model: WorldModel, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match=r"already holds something else \(thesis.tex\)"):
        save_checkpoint(tmp_path, model, CARD)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_checkpoint_is_found_by_folder_by_run_and_by_name(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_checkpoint(saved) == saved
    run = tmp_path / "run"
    shutil.copytree(saved, run / "checkpoint")
    assert find_checkpoint(str(run)) == run / "checkpoint"
    home = tmp_path / "repository" / "checkpoints" / "push-tiny"
    shutil.copytree(saved, home)
    monkeypatch.setattr(module, "repository", lambda: tmp_path / "repository")
    monkeypatch.chdir(tmp_path)
    assert find_checkpoint("push-tiny") == home
    with pytest.raises(CheckpointError, match=r"no checkpoint 'push-huge'.*one of push-tiny"):
        find_checkpoint("push-huge")
    with pytest.raises(CheckpointError, match=r"no checkpoint in .* \(card.json is missing\)"):
        find_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent": 1_000_000}, "where the config makes"),
        ({"action_dim": 16_000_000}, "where the config makes"),
        ({"image_size": 1_600_000}, "where the config makes"),
        ({"latent": 10**12}, "is no size of a model"),
        ({"latent": float("inf")}, "is no size of a model"),
        ({"predictor": "transformer", "predictor_options": {"depth": 10**6}}, "depth is 1000000"),
        ({"heads": {"ensemble": {"members": 10**6}}}, "members is 1000000"),
        (
            {"encoder": "hf:any", "encoder_options": {"config": {"backbone": "them/net"}}},
            "backbone",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_a_few_bytes_of_config_take_no_memory_and_no_network(
    changes: dict[str, object], message: str, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the config asks for, nothing is built but on the device that holds no numbers."""
    config = yaml.safe_load((saved / "config.yaml").read_text())
    (saved / "config.yaml").write_text(yaml.safe_dump(config | changes))
    reseal(saved)
    built = []

    def look(*arguments: Any) -> None:
        built.append(torch.empty(0).device.type)
        original(*arguments)

    original = nn.Linear.reset_parameters
    monkeypatch.setattr(nn.Linear, "reset_parameters", look)
    with pytest.raises((CheckpointError, UserError), match=message):
        load_checkpoint(saved)
    assert set(built) <= {"meta"}


def test_weights_behind_a_device_or_a_pipe_are_not_waited_for(saved: Path) -> None:
    for make in (lambda path: path.symlink_to("/dev/zero"), os.mkfifo):
        (saved / "model.safetensors").unlink()
        make(saved / "model.safetensors")
        with pytest.raises(CheckpointError, match=r"model\.safetensors is no file"):
            load_checkpoint(saved)


def test_a_head_that_nothing_uses_any_more_is_left_out_with_one_line(
    model: WorldModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Version 0.1 had heads `macro` and `temporal_distance`; runs with them still plan."""
    save_checkpoint(tmp_path / "old", model, {"statistics": {}})
    text = yaml.safe_load((tmp_path / "old" / "config.yaml").read_text())
    text["heads"] = {"macro": {"blocks": 2}, "temporal_distance": {"width": 8}}
    weights = safetensors.torch.load_file(tmp_path / "old" / "model.safetensors")
    weights["heads.macro.basis"] = torch.zeros(3)
    weights["heads.temporal_distance.net.weight"] = torch.zeros(3)
    safetensors.torch.save_file(weights, tmp_path / "old" / "model.safetensors")
    (tmp_path / "old" / "config.yaml").write_text(yaml.safe_dump(text))
    card = json.loads((tmp_path / "old" / "card.json").read_text())
    for name in card["sha256"]:
        card["sha256"][name] = hashlib.sha256((tmp_path / "old" / name).read_bytes()).hexdigest()
    (tmp_path / "old" / "card.json").write_text(json.dumps(card))
    loaded = load_checkpoint(tmp_path / "old").model
    assert loaded.config.heads == {}
    for name, values in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], values)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "head macro is ignored" in said[0]
    assert "head temporal_distance is ignored" in said[1]
