"""The action-conditioned world model: encode pictures, roll plans out in latent space."""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from goalsight.models.build import build_encoder, build_predictor
from goalsight.models.config import SIZES, WorldModelConfig
from goalsight.models.heads import build_heads
from goalsight.models.predictor import InverseDynamics


class WorldModel(nn.Module):
    """Everything an agent needs: `encode` pictures, `rollout` plans.

    Latents are float32; under autocast the matrix products inside run in the lower precision.
    """

    proprio_mean: Tensor
    proprio_std: Tensor

    def __init__(self, config: WorldModelConfig) -> None:
        """Build an untrained model.

        Raises:
            ValueError: if the config names an encoder or a predictor that does not exist.
        """
        super().__init__()
        self.config = config
        self.encoder = build_encoder(config)
        self.patches, self.latent_dim = self.encoder.patches, self.encoder.dim
        self.predictor = build_predictor(config, self.patches, self.latent_dim)
        self.inverse = self._inverse_head() if config.inverse else None
        self.heads = build_heads(config, self.patches, self.latent_dim, config.heads)
        self.register_buffer("proprio_mean", torch.zeros(config.proprio_dim))
        self.register_buffer("proprio_std", torch.ones(config.proprio_dim))
        if config.freeze_encoder:
            # At once: a trainer that never calls `train` must not move its batch statistics.
            self.encoder.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> WorldModel:
        """Training mode for all but a frozen encoder."""
        super().train(mode)
        if self.config.freeze_encoder:
            self.encoder.eval()
        return self

    def encode(self, frames: Tensor) -> Tensor:
        """Latents of frames, each encoded alone.

        Args:
            frames: (*B, T, C, H, W) uint8 RGB.

        Returns:
            (*B, T, P, D) float32 latents.

        Raises:
            ValueError: if the frames are not of the model's image size.
        """
        size = self.config.image_size
        if frames.shape[-3:] != (3, size, size):
            raise ValueError(
                f"this model sees pictures of (3, {size}, {size}), got {tuple(frames.shape[-3:])}"
            )
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.freeze_encoder):
            z: Tensor = self.encoder(frames.flatten(0, -4))
        return z.reshape(*frames.shape[:-3], *z.shape[1:])

    def predict(
        self, z: Tensor, actions: Tensor, proprio: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """One step from every frame, each from true latents (teacher forcing).

        Args:
            z: (*B, T, P, D) latents.
            actions: (*B, T, K, A) the block that runs at each frame.
            proprio: (*B, T, Q) proprio at each frame, SI units; models with `proprio_dim` need it.

        Returns:
            (*B, T, P, D) predicted latents one block later, and their (*B, T, Q) *standardised*
            proprio or None.

        Raises:
            ValueError: if a model that sees proprio is given none.
        """
        out: tuple[Tensor, Tensor | None] = self.predictor(z, actions, self.standardise(proprio))
        return out

    def rollout(
        self,
        context: Tensor,
        plans: Tensor,
        past: Tensor | None = None,
        proprio: Tensor | None = None,
    ) -> Tensor:
        """Imagine plans from one observed history.

        Args:
            context: (*B, T, P, D) latents of the frames seen so far; the last is now. Encoded
                once, shared by all plans. Frames the predictor does not look back to are ignored.
            plans: (*B, N, H, K, A) candidate plans.
            past: (*B, T-1, K, A) blocks between the frames seen so far; needed where T > 1 and
                the predictor looks back.
            proprio: (*B, T, Q) proprio at those frames, SI units; models with `proprio_dim` need
                it.

        Returns:
            (*B, N, H, P, D) predicted latents after each block.

        Raises:
            ValueError: if a model that sees proprio is given none.
        """
        seen = 1 if past is None else self.predictor.context
        plan_axis = plans.shape[-4]
        z = repeat(context[..., -seen:, :, :], "... t p d -> ... n t p d", n=plan_axis)
        known = self.standardise(proprio)
        if known is not None:
            known = repeat(known[..., -seen:, :], "... t q -> ... n t q", n=plan_axis)
        actions = plans[..., :0, :, :]
        if past is not None and z.shape[-3] > 1:
            actions = repeat(
                past[..., 1 - z.shape[-3] :, :, :], "... t k a -> ... n t k a", n=plan_axis
            )
        predicted = []
        for block in torch.split(plans, 1, dim=-3):
            actions = torch.cat((actions, block), dim=-3)
            z_next, known_next = self.predictor(z, actions, known)
            predicted.append(z_next[..., -1, :, :])
            z = self._recent(z, z_next, -3)
            actions = actions[..., actions.shape[-3] - z.shape[-3] + 1 :, :, :]
            if known is not None:
                known = self._recent(known, known_next, -2)
        return torch.stack(predicted, dim=-3)

    def standardise(self, proprio: Tensor | None) -> Tensor | None:
        """Proprio (*B, Q) in units of the training data's spread; None for models without it.

        Raises:
            ValueError: if a model that sees proprio is given none, or of another width.
        """
        wanted = self.config.proprio_dim
        if not wanted:
            return None
        if proprio is None or proprio.shape[-1] != wanted:
            got = "none" if proprio is None else f"{proprio.shape[-1]}"
            raise ValueError(f"this model needs {wanted} numbers of proprio, got {got}")
        return (proprio - self.proprio_mean) / self.proprio_std

    def recover_actions(self, z: Tensor, z_next: Tensor) -> Tensor:
        """Inverse dynamics: two latents (*B, P, D) to the (*B, K, A) block between them.

        Raises:
            ValueError: if the model was built without that head.
        """
        if self.inverse is None:
            raise ValueError(
                "this model has no inverse head; give it --model.inverse true, or switch "
                "--objective.inverse_encoded and --objective.inverse_predicted off with 0"
            )
        flat: Tensor = self.inverse(z.flatten(-2), z_next.flatten(-2))
        blocks: Tensor = rearrange(flat, "... (k a) -> ... k a", k=self.config.frameskip)
        return blocks

    def _inverse_head(self) -> InverseDynamics:
        values = self.config.frameskip * self.config.action_dim
        width = SIZES[self.config.size].predictor
        return InverseDynamics(self.patches * self.latent_dim, values, width)

    def _recent(self, past: Tensor, predicted: Tensor, axis: int) -> Tensor:
        """The frames to look back to after one more block; `predicted` ends with the new one."""
        newest = predicted.narrow(axis, predicted.shape[axis] - 1, 1)
        if self.predictor.context == 1:
            return newest
        frames = torch.cat((past, newest), dim=axis)
        keep = min(frames.shape[axis], self.predictor.context)
        return frames.narrow(axis, frames.shape[axis] - keep, keep)
