"""A memory on disk: built once, whole or not at all, and only for the encoder it was built with."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from goalsight.data import Dataset, open_dataset
from goalsight.data.collect import CollectConfig, collect
from goalsight.errors import MemoryFileError, OutputError, UserError
from goalsight.memory import Memory, encoder_digest, load_memory, search_for
from goalsight.memory.build import build_memory, save_memory
from goalsight.memory.search import ExactSearch, build_index
from goalsight.models import WorldModel, WorldModelConfig

FAKES = str(Path(__file__).parents[1] / "data")
if FAKES not in sys.path:
    sys.path.insert(0, FAKES)  # `fake_env:Fake/Square-v0` must be importable


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    out = tmp_path_factory.mktemp("memory") / "data"
    collect(
        CollectConfig(
            env="fake_env:Fake/Square-v0", episodes=3, out=out, size=32, steps=11, video="none"
        )
    )
    return open_dataset(out)


@pytest.fixture(scope="module")
def model() -> WorldModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return WorldModel(WorldModelConfig(image_size=32, action_dim=2, frameskip=4)).eval()


def built(model: WorldModel, dataset: Dataset, every: int = 1) -> Memory:
    return build_memory(model, dataset, checkpoint_sha256="c", every=every)


def test_every_row_is_the_latent_of_its_frame(model: WorldModel, dataset: Dataset) -> None:
    memory = built(model, dataset, every=2)
    assert memory.lengths.tolist() == [6, 6, 6]
    path = next((dataset.path / "cache").rglob("episode-000001.npy"))
    frames = torch.from_numpy(np.load(path)[::2]).permute(0, 3, 1, 2)
    with torch.no_grad():
        torch.testing.assert_close(memory.latents[6:12], model.encode(frames), atol=1e-5, rtol=0)
    assert memory.rows_per_block == 2


def test_a_memory_comes_back_as_it_was_saved(
    model: WorldModel, dataset: Dataset, tmp_path: Path
) -> None:
    memory = built(model, dataset)
    path = tmp_path / "deep" / "push.memory"
    save_memory(memory, path)
    found = load_memory(path, model)
    assert torch.equal(found.latents, memory.latents)
    assert found.facts() == memory.facts()
    assert found.sha256() == memory.sha256()
    assert found.source == {"data": dataset.fingerprint(), "checkpoint": "c"}
    with pytest.raises(OutputError, match="is there already"):
        save_memory(memory, path)


def test_a_memory_is_for_one_encoder_whatever_else_the_model_learns(
    model: WorldModel, dataset: Dataset, tmp_path: Path
) -> None:
    save_memory(built(model, dataset), tmp_path / "m")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        other = WorldModel(model.config).eval()
        longer = WorldModel(replace(model.config, frameskip=8)).eval()
    with pytest.raises(MemoryFileError, match="latents of another encoder"):
        load_memory(tmp_path / "m", other)
    other.encoder.load_state_dict(model.encoder.state_dict())
    longer.encoder.load_state_dict(model.encoder.state_dict())
    assert encoder_digest(other) == encoder_digest(model)
    assert load_memory(tmp_path / "m", other).rows == 33
    with pytest.raises(MemoryFileError, match="blocks of 4 control steps, the model's have 8"):
        load_memory(tmp_path / "m", longer)


def test_what_is_missing_damaged_or_something_else_is_one_line(
    model: WorldModel, dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(MemoryFileError, match=r"no memory at .*goalsight memory build"):
        load_memory(tmp_path / "nowhere")
    save_memory(built(model, dataset), tmp_path / "m")
    whole = (tmp_path / "m").read_bytes()
    changed = whole[:-1] + bytes([whole[-1] ^ 1])
    for content, message in (
        (changed, "is not the memory that was saved"),
        (whole[: len(whole) // 2], "is no memory or a damaged one"),
        (b"{}", "is no memory or a damaged one"),
    ):
        (tmp_path / "damaged").write_bytes(content)
        with pytest.raises(MemoryFileError, match=message):
            load_memory(tmp_path / "damaged")


def test_frames_that_do_not_meet_the_ends_of_blocks_are_refused(
    model: WorldModel, dataset: Dataset
) -> None:
    with pytest.raises(UserError, match="--every must divide the model's block of 4"):
        built(model, dataset, every=3)


def test_without_the_library_every_row_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, model: WorldModel, dataset: Dataset
) -> None:
    monkeypatch.setattr("goalsight.memory.search.find_spec", lambda name: None)
    memory = built(model, dataset)
    indexed = Memory(**{**vars(memory), "index": torch.zeros(1, dtype=torch.uint8)})
    assert type(search_for(indexed)) is ExactSearch
    assert build_index(memory.latents.flatten(1)) == ("", None)
    with pytest.raises(UserError, match=r"pip install 'goalsight\[memory\]'"):
        build_index(memory.latents.flatten(1), "faiss")


def test_the_energies_of_the_exact_search_are_mean_squared_distances() -> None:
    latents = torch.randn(50, 2, 3, generator=torch.Generator().manual_seed(0))
    memory = Memory(
        latents=latents, lengths=torch.tensor([50]), every=1, frameskip=1, variance=1.0, encoder=""
    )
    search = ExactSearch(memory, torch.device("cpu"))
    wanted = (latents - latents[7]).square().mean((1, 2))
    query = latents[7].flatten()
    torch.testing.assert_close(search.energy(query), wanted, atol=1e-5, rtol=1e-4)
    rows = torch.tensor([3, 7, 20])
    torch.testing.assert_close(search.energy(query, rows), wanted[rows])
