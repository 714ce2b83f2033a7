"""Optional heads of a world model, by name: small networks on its latents, trained afterwards.

A head is a module built as `HEADS[name](model_config, patches, dim, **options)`. Its options stand
under its name in `WorldModelConfig.heads`, its weights in the model's checkpoint, and agent and
diagnostics find it in `WorldModel.heads`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from goalsight.models.config import WorldModelConfig
from goalsight.models.heads.actor import Actor
from goalsight.models.heads.ensemble import Ensemble
from goalsight.models.heads.probe import ProbeHead

HEADS: dict[str, Callable[..., nn.Module]] = {
    "actor": Actor,
    "ensemble": Ensemble,
    "gcbc": Actor,
    "probe": ProbeHead,
}
"""How each head is built."""


def build_heads(
    config: WorldModelConfig, patches: int, dim: int, wanted: Mapping[str, Mapping[str, Any]]
) -> nn.ModuleDict:
    """Untrained heads.

    Args:
        config: of the world model.
        patches: P, tokens of a frame.
        dim: D, dimensions of a token.
        wanted: options of each head, by name.

    Raises:
        ValueError: if there is no such head or an option does not fit it.
    """
    for name in wanted:
        if name not in HEADS:
            raise ValueError(f"no head {name!r}; there are: {', '.join(sorted(HEADS)) or 'none'}")
    try:
        return nn.ModuleDict(
            {name: HEADS[name](config, patches, dim, **options) for name, options in wanted.items()}
        )
    except TypeError as error:
        raise ValueError(f"options of a head do not fit: {error}") from None
