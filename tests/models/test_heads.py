"""Optional heads are built by name."""

from __future__ import annotations

import pytest

from goalsight.models import WorldModel, WorldModelConfig


def test_a_model_has_no_heads_unless_asked() -> None:
    assert not WorldModel(WorldModelConfig(image_size=32)).heads


def test_an_unknown_head_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no head 'crystal_ball'"):
        WorldModel(WorldModelConfig(image_size=32, heads={"crystal_ball": {}}))
