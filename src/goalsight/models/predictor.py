"""Predictors: latent and action block become the next latent."""

from __future__ import annotations

from abc import abstractmethod

import torch
from einops import rearrange
from torch import Tensor, nn

from goalsight.models.config import SIZES, Widths, WorldModelConfig
from goalsight.models.rollout import Imagination, StepByStep, Unrolled
from goalsight.registry import find, register

WITHOUT_OPTIONS = {"residual", "direct", "affine", "grid", "pixel"}
"""Predictors that the size describes in full."""


class ResidualBlock(nn.Module):
    """x + f(x), f a two-layer perceptron behind a layer norm."""

    def __init__(self, width: int) -> None:
        """Build a block of `width` units."""
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) to the same shape."""
        out: Tensor = x + self.down(torch.relu(self.up(self.norm(x))))
        return out


class Predictor(nn.Module):
    """What every predictor offers. Its output at time t is its prediction of frame t + 1.

    It looks back `context` frames at most; what it predicts at t never depends on later frames.
    """

    context: int = 1
    """Frames it looks back, the present one included."""

    @abstractmethod
    def forward(
        self, z: Tensor, actions: Tensor, proprio: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """One step from every frame.

        Args:
            z: (*B, T, P, D) latents.
            actions: (*B, T, K, A) the block that runs at each frame.
            proprio: (*B, T, Q) standardised proprio, for predictors that use it.

        Returns:
            (*B, T, P, D) latents one block later, and (*B, T, Q) standardised proprio one block
            later or None.
        """

    def imagine(self, z: Tensor, past: Tensor | None, proprio: Tensor | None) -> Imagination:
        """A session of rollouts that all start from one history, for one decision.

        Args:
            z: (B, T, P, D) latents of the last frames, the present one last; T <= `context`.
            past: (B, T-1, K, A) blocks between them; None if T is 1.
            proprio: (B, T, Q) standardised proprio at them, for predictors that use it.

        Returns:
            A function of plans (B, N, H, K, A) to latents (B, N, H, P, D).
        """
        return StepByStep(self, z, past, proprio)


def build_predictor(config: WorldModelConfig, patches: int, dim: int) -> Predictor:
    """The untrained predictor that a config names, for latents (P, D).

    Raises:
        ValueError: if there is no such predictor; lists those that exist.
    """
    build = find("predictor", config.predictor)
    if config.predictor_options and config.predictor in WITHOUT_OPTIONS:
        raise ValueError(
            f"predictor_options are the transformer's, predictor {config.predictor} has none"
        )
    predictor: Predictor = build(config, patches, dim)
    return predictor


class PresentPredictor(Predictor):
    """A predictor that sees the present frame only, in two parts: the block's and the frame's."""

    @abstractmethod
    def act(self, actions: Tensor) -> tuple[Tensor, ...]:
        """What blocks (*B, T, K, A) do whatever the frame: parts (*B, T, 1, ...) for `step`."""

    @abstractmethod
    def step(
        self, z: Tensor, acted: tuple[Tensor, ...], proprio: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """As `forward`, with what `act` made of the actions; z and proprio may be broadcast."""

    def forward(
        self, z: Tensor, actions: Tensor, proprio: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """See `Predictor.forward`."""
        return self.step(z, self.act(actions), proprio)

    def imagine(self, z: Tensor, past: Tensor | None, proprio: Tensor | None) -> Imagination:
        """See `Predictor.imagine`."""
        del past
        return Unrolled(self, z[:, -1], None if proprio is None else proprio[:, -1])


class ProprioPort(nn.Module):
    """How a perceptron takes in standardised proprio and says how it changes."""

    def __init__(self, proprio: int, width: int) -> None:
        """Build the two layers.

        Args:
            proprio: Q, numbers of proprio.
            width: hidden units of the perceptron.
        """
        super().__init__()
        self.into = nn.Linear(proprio, width, bias=False)
        self.out = zero_linear(width, proprio)

    def embed(self, proprio: Tensor | None) -> Tensor:
        """(*B, T, Q) standardised proprio to (*B, T, 1, width), to be added to every token.

        Raises:
            ValueError: if there is none.
        """
        if proprio is None:
            raise ValueError("this predictor was built with proprio and was given none")
        embedded: Tensor = self.into(proprio)
        return embedded[..., None, :]

    def step(self, proprio: Tensor, hidden: Tensor) -> Tensor:
        """Proprio (*B, T, Q) one block later, from the hidden units (*B, T, P, width)."""
        change: Tensor = self.out(hidden.mean(-2))
        return proprio + change.to(proprio.dtype)


class ResidualPredictor(PresentPredictor):
    """z_next = z + f(z, a): the network only learns what an action block changes.

    The residual step is the largest single gain in plannability that was measured on arms
    (AD-WM, arXiv:2609.30264). f starts at zero, so an untrained model predicts that nothing moves.
    Every token is predicted alone, by the same layers.
    """

    def __init__(
        self,
        latent: int,
        action_values: int,
        width: int,
        depth: int,
        *,
        proprio: int = 0,
        residual: bool = True,
    ) -> None:
        """Build the layers.

        Args:
            latent: D, dimensions of a latent.
            action_values: K * A, numbers in an action block.
            width: hidden units.
            depth: residual blocks.
            proprio: Q, numbers of proprio seen and predicted; 0 for none.
            residual: if False predict z_next itself (for ablations).
        """
        super().__init__()
        self.residual = residual
        self.from_latent = nn.Linear(latent, width)
        self.from_action = nn.Linear(action_values, width, bias=False)
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(depth)))
        self.norm, self.out = nn.LayerNorm(width), zero_linear(width, latent)
        self.port = ProprioPort(proprio, width) if proprio else None

    def act(self, actions: Tensor) -> tuple[Tensor, ...]:
        """See `PresentPredictor.act`."""
        return (self.from_action(flat_blocks(actions)),)

    def step(
        self, z: Tensor, acted: tuple[Tensor, ...], proprio: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """See `PresentPredictor.step`."""
        hidden = self.from_latent(z) + acted[0]
        if self.port is not None:
            hidden = hidden + self.port.embed(proprio)
        hidden = self.norm(self.blocks(torch.relu(hidden)))
        change: Tensor = self.out(hidden).to(z.dtype)
        z_next = z + change if self.residual else change
        if self.port is None or proprio is None:
            return z_next, None
        return z_next, self.port.step(proprio, hidden)


class AffinePredictor(PresentPredictor):
    """s_next = A(a) s + b(a): affine in the state for every action block (SALT, 2609.33595).

    The state s is the latent, and beside it the proprio where there is some. The network looks at
    the action alone and A(a) = I + U diag(c(a)) V, so that a step of a rollout is two thin matrix
    products on the state, and what a block does is the same everywhere up to a linear map. U and b
    start at zero: an untrained model predicts that nothing moves.
    """

    def __init__(self, latent: int, action_values: int, width: int, *, proprio: int = 0) -> None:
        """Build the layers.

        Args:
            latent: D, dimensions of a latent.
            action_values: K * A, numbers in an action block.
            width: hidden units of the network that looks at the action; U and V have half as many
                columns.
            proprio: Q, numbers of proprio seen and predicted; 0 for none.
        """
        super().__init__()
        self.proprio, state, rank = proprio, latent + proprio, width // 2
        self.from_action = nn.Sequential(nn.Linear(action_values, width), nn.ReLU())
        self.gain, self.shift = nn.Linear(width, rank), zero_linear(width, state)
        self.into = nn.Linear(state, rank, bias=False)
        self.out = zero_linear(rank, state, bias=False)

    def act(self, actions: Tensor) -> tuple[Tensor, ...]:
        """See `PresentPredictor.act`: all of the network, which never looks at the state."""
        action = self.from_action(flat_blocks(actions))
        return 1.0 + self.gain(action), self.shift(action)

    def step(
        self, z: Tensor, acted: tuple[Tensor, ...], proprio: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """See `PresentPredictor.step`."""
        state = z if proprio is None else torch.cat((z, self._beside(z, proprio)), dim=-1)
        gain, shift = acted
        change = self.out(gain * self.into(state)) + shift
        step: Tensor = change.to(z.dtype)
        z_next = z + step[..., : z.shape[-1]]
        if proprio is None:
            return z_next, None
        return z_next, proprio + step[..., z.shape[-1] :].mean(-2)

    def _beside(self, z: Tensor, proprio: Tensor) -> Tensor:
        """Proprio (*B, T, Q) repeated for every token of z (*B, T, P, D)."""
        return proprio[..., None, :].expand(*z.shape[:-1], self.proprio)


def flat_blocks(actions: Tensor) -> Tensor:
    """Action blocks (*B, T, K, A) as (*B, T, 1, K * A), to be added to every token."""
    return rearrange(actions, "... k a -> ... 1 (k a)")


def zero_linear(inputs: int, outputs: int, bias: bool = True) -> nn.Linear:
    """A linear layer that starts at zero: behind a residual step it changes nothing at first."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    nn.init.zeros_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


class InverseDynamics(nn.Module):
    """Which action block led from one latent to the next.

    Trained into the encoder, it keeps in the latent what actions change.
    """

    def __init__(self, latent: int, action_values: int, width: int) -> None:
        """Build a perceptron on (z, z_next - z)."""
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2 * latent, width), nn.ReLU(), nn.Linear(width, action_values)
        )

    def forward(self, z: Tensor, z_next: Tensor) -> Tensor:
        """Recover the action.

        Args:
            z: (*B, D) latent before.
            z_next: (*B, D) latent after.

        Returns:
            (*B, K * A) flattened action block.
        """
        out: Tensor = self.net(torch.cat((z, z_next - z), dim=-1))
        return out


@register("predictor", "direct")
@register("predictor", "residual")
def build_residual(config: WorldModelConfig, patches: int, dim: int) -> Predictor:
    """Predictors `residual` and `direct` of a config."""
    del patches
    widths = present_widths(config)
    return ResidualPredictor(
        dim,
        action_values(config),
        widths.predictor,
        widths.depth,
        proprio=config.proprio_dim,
        residual=config.predictor == "residual",
    )


@register("predictor", "affine")
def build_affine(config: WorldModelConfig, patches: int, dim: int) -> Predictor:
    """Predictor `affine` of a config."""
    del patches
    widths = present_widths(config)
    return AffinePredictor(dim, action_values(config), widths.predictor, proprio=config.proprio_dim)


def present_widths(config: WorldModelConfig) -> Widths:
    """Widths for a predictor that does not look back.

    Raises:
        ValueError: if the config wants it to.
    """
    if config.context != 1:
        raise ValueError(
            f"predictor {config.predictor} sees the present frame only: context must be 1, got "
            f"{config.context}; predictor transformer looks back"
        )
    return SIZES[config.size]


def action_values(config: WorldModelConfig) -> int:
    """K * A, numbers in an action block."""
    return config.frameskip * config.action_dim
