"""The action-conditioned world model: encode pictures, roll plans out in latent space."""

from __future__ import annotations

from dataclasses import replace

import torch
from einops import rearrange
from torch import Tensor, nn

from goalsight.models.config import OWN, SIZES, WorldModelConfig
from goalsight.models.encoder import Encoder, build_encoder
from goalsight.models.heads import build_heads
from goalsight.models.predictor import InverseDynamics, Predictor, build_predictor
from goalsight.models.rollout import Imagination, Precision, Start, executor


class WorldModel(nn.Module):
    """Everything an agent needs: `encode` pictures, `rollout` plans.

    Latents are float32; under autocast the matrix products inside run in the lower precision.
    """

    proprio_mean: Tensor
    proprio_std: Tensor

    def __init__(
        self, config: WorldModelConfig, own: tuple[Encoder, Predictor] | None = None
    ) -> None:
        """Build an untrained model.

        Args:
            config: what it is made of.
            own: encoder and predictor made elsewhere, in place of those that the config names; the
                rest of it still describes pictures, actions and proprio. Such a model plans like
                any other; its checkpoint could not be loaded again.

        Raises:
            ValueError: if the config names an encoder or a predictor that does not exist.
        """
        super().__init__()
        if own is not None:
            config = replace(config, encoder=OWN)
        self.config = config
        self.encoder = build_encoder(config) if own is None else own[0]
        self.patches, self.latent_dim = self.encoder.patches, self.encoder.dim
        self.predictor = (
            build_predictor(config, self.patches, self.latent_dim) if own is None else own[1]
        )
        self._start: Start | None = None
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
        return self.imagine(context, past, proprio)(plans)

    def imagine(
        self, context: Tensor, past: Tensor | None = None, proprio: Tensor | None = None
    ) -> Imagination:
        """Begin to imagine plans from one observed history: what they share is computed here.

        Args:
            context: as `rollout`'s, like all others.
            past: blocks between the frames.
            proprio: at the frames.

        Returns:
            A function of plans, to call as often as wanted: what `rollout` returns for them.

        Raises:
            ValueError: if a model that sees proprio is given none.
        """
        seen = 1 if past is None else min(self.predictor.context, context.shape[-3])
        batch = context.shape[:-3]
        known = self.standardise(proprio)
        start = self._start or self.predictor.imagine
        imagination = start(
            _flat(context[..., -seen:, :, :], 3),
            None if past is None or seen == 1 else _flat(past[..., 1 - seen :, :, :], 3),
            None if known is None else _flat(known[..., -seen:, :], 2),
        )

        def imagine(plans: Tensor) -> Tensor:
            z = imagination(_flat(plans, 4))
            return z.reshape(*batch, *z.shape[1:])

        return imagine

    def prepare(self, *, compiled: bool = False, precision: Precision = "float32") -> None:
        """Say how plans are imagined from now on; the checkpoint does not keep it.

        Args:
            compiled: whether through `torch.compile`, see `goalsight.models.rollout.executor`.
            precision: of the matrix products.
        """
        self._start = executor(self.predictor, compiled=compiled, precision=precision)

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


def _flat(x: Tensor, own: int) -> Tensor:
    """(*B, ...) with `own` last axes to (B, ...): all problems in one axis."""
    return x if x.ndim == own + 1 else x.reshape(-1, *x.shape[-own:])
