"""World models behind one interface: `encode` pictures, `rollout` plans in latent space."""

from goalsight.models.config import SIZES, Widths, WorldModelConfig
from goalsight.models.world_model import WorldModel

__all__ = ["SIZES", "Widths", "WorldModel", "WorldModelConfig"]
