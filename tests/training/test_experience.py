"""Recorded moments for heads that learn from pairs of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from goalsight.data import Dataset
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.training.heads import experience_of


@pytest.fixture(scope="module")
def model() -> WorldModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return WorldModel(WorldModelConfig(image_size=32, action_dim=2, frameskip=4)).eval()


def test_experience_is_in_chains_a_block_apart_and_imagined_from_recorded_actions(
    model: WorldModel, dataset: Dataset
) -> None:
    """4 episodes of 30 steps in blocks of 4: chains of 8, 8, 7, 7 rows."""
    seen = experience_of(model, dataset, [1])
    assert seen.left.tolist() == [*range(7, -1, -1)] * 2 + [*range(6, -1, -1)] * 2
    frames = np.load(next((dataset.path / "cache").rglob("episode-000001.npy")))
    actions = torch.from_numpy(dataset.columns(["action"], [1])["action"])
    chain = torch.from_numpy(frames[1::4]).permute(0, 3, 1, 2)
    with torch.no_grad():
        z = model.encode(chain)
        torch.testing.assert_close(seen.latents[8:16], z, atol=1e-5, rtol=0)
        for start, blocks in ((0, 5), (5, 2)):
            plan = actions[1 + 4 * start :][: 4 * blocks].reshape(1, blocks, 4, 2)
            wanted = model.rollout(z[start : start + 1], plan)[0]
            got = seen.imagined[8 + start + 1 :][:blocks]
            torch.testing.assert_close(got, wanted, atol=1e-4, rtol=0)
    torch.testing.assert_close(seen.imagined[8], seen.latents[8])  # nothing leads to a first row
