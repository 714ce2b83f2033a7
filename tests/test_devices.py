"""`auto` is a device that works, and what is asked for by name is never another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from goalsight import devices
from goalsight.checkpoint import load_checkpoint, save_checkpoint
from goalsight.cli.main import main
from goalsight.devices import resolve_device
from goalsight.errors import UserError
from goalsight.models import WorldModel, WorldModelConfig


@pytest.fixture(autouse=True)
def looked_up_anew() -> Iterator[None]:
    devices._best.cache_clear()
    yield
    devices._best.cache_clear()


def test_auto_is_the_processor_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == "cpu"


def test_auto_is_the_processor_where_the_gpu_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A card that is too old, or too new, for this build of PyTorch says so at its first kernel."""

    def no_kernel(*_: object, **__: object) -> torch.Tensor:
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "zeros", no_kernel)
    assert resolve_device("auto") == "cpu"


def test_auto_is_the_gpu_where_a_number_can_be_put_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = torch.zeros
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "zeros", lambda size, device: real(size))
    assert resolve_device("auto") == "cuda"


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:1", "mps"])
def test_a_device_asked_for_by_name_stays(name: str) -> None:
    assert resolve_device(name) == name


def test_a_bare_number_is_refused_with_what_to_write() -> None:
    with pytest.raises(UserError, match="cuda:1"):
        resolve_device("1")


def test_a_checkpoint_goes_where_auto_is(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "model", WorldModel(WorldModelConfig(image_size=32)), {})
    loaded = load_checkpoint(tmp_path / "model", "auto").model
    assert next(loaded.parameters()).device.type == resolve_device("auto")


def test_a_benchmark_records_what_auto_became(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    rows = ["--manifest", "reach-near", "--rows", "random", "--pairs", "1", "--workers", "1"]
    assert main(["bench", *rows, "--out", str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out/results.json").read_text())["device"] == "cpu"
