"""The probe head: named variables out of a latent, whatever its width."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from goalsight.diagnostics.probe import sketch
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.models.heads.probe import ProbeHead

VARIABLES: dict[str, dict[str, Any]] = {
    "state.cube_pos": {"width": 3, "unit": "m"},
    "proprio.opening": {"width": 1, "unit": "m"},
}
CONFIG = WorldModelConfig(image_size=32)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_it_reads_standardised_values_and_gives_them_units(kind: str) -> None:
    head = ProbeHead(CONFIG, 2, 8, variables=VARIABLES, kind=kind, hidden=5)  # type: ignore[arg-type]
    head.mean.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    head.std.copy_(torch.tensor([0.1, 0.2, 0.3, 0.4]))
    z = noise(6, 5, 2, 8)
    standard = head(z)
    assert standard.shape == (6, 5, 4)
    found = head.read(z)
    assert head.units == {"state.cube_pos": "m", "proprio.opening": "m"}
    torch.testing.assert_close(
        found["state.cube_pos"], standard[..., :3] * head.std[:3] + head.mean[:3]
    )
    torch.testing.assert_close(found["proprio.opening"], 4 + 0.4 * standard[..., 3:])


def test_what_it_sees_is_standardised() -> None:
    head = ProbeHead(CONFIG, 1, 4, variables=VARIABLES, kind="linear")
    z = noise(3, 1, 4)
    plain = head(z)
    head.feature_mean.fill_(2.0)
    head.feature_std.fill_(5.0)
    torch.testing.assert_close(head(5 * z + 2), plain)


def test_columns_go_by_name_and_unknown_names_are_refused() -> None:
    head = ProbeHead(CONFIG, 1, 4, variables=VARIABLES)
    assert head.columns() == [0, 1, 2, 3]
    assert head.columns(["proprio.opening"]) == [3]
    assert head.columns(["proprio.opening", "state.cube_pos"]) == [0, 1, 2, 3]
    with pytest.raises(KeyError, match=r"no 'state\.drawer'; it reads state\.cube_pos, proprio"):
        head.columns(["state.drawer"])


def test_wide_latents_are_sketched_as_the_diagnostics_do() -> None:
    head = ProbeHead(CONFIG, 30, 100, variables=VARIABLES, kind="linear")
    z = noise(2, 3, 30, 100)
    assert head.features(z).shape == (2, 3, 2048)
    assert torch.equal(head.features(z), sketch(z))


def test_a_world_model_builds_it_from_plain_options_and_refuses_wrong_ones() -> None:
    model = WorldModel(WorldModelConfig(image_size=32, heads={"probe": {"variables": VARIABLES}}))
    assert isinstance(model.heads["probe"], ProbeHead)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"variables": {}}, "at least one variable"),
        ({"variables": VARIABLES, "kind": "forest"}, "linear or mlp, got 'forest'"),
        ({"variable": VARIABLES}, "options of a head do not fit"),
    ]
    for options, message in wrong:
        with pytest.raises(ValueError, match=message):
            WorldModel(WorldModelConfig(image_size=32, heads={"probe": options}))
