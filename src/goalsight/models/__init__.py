"""World models behind one interface: `encode` pictures, `rollout` plans in latent space."""

from goalsight.models.world_model import SIZES, Widths, WorldModel, WorldModelConfig

__all__ = ["SIZES", "Widths", "WorldModel", "WorldModelConfig"]
