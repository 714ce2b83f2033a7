"""World models behind one interface: `encode` pictures, `rollout` plans in latent space.

Encoders and predictors are found by name (`goalsight.registry`); importing this makes those that
ship known.
"""

from goalsight.models import (
    action_predictor,
    encoder,
    grid,
    pixels,
    predictor,
    pretrained,
    video_encoder,
)
from goalsight.models.config import SIZES, Widths, WorldModelConfig
from goalsight.models.world_model import WorldModel

__all__ = [
    "SIZES",
    "Widths",
    "WorldModel",
    "WorldModelConfig",
    "action_predictor",
    "encoder",
    "grid",
    "pixels",
    "predictor",
    "pretrained",
    "video_encoder",
]
