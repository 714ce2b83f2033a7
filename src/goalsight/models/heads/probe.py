"""The probe head: state variables read off a latent, encoded or imagined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from goalsight.models.config import WorldModelConfig

ProbeNet = Literal["linear", "mlp"]
WIDEST = 2048
"""Features a probe sees at most; wider latents are sketched down to this many."""


class ProbeHead(nn.Module):
    """Named state variables out of the flattened latent, by a linear map or one hidden layer.

    It standardises what it sees and says everything in standard deviations of the training data;
    `read` gives SI units. What it knows of its data travels in buffers.
    """

    feature_mean: Tensor
    feature_std: Tensor
    mean: Tensor
    std: Tensor
    sums: Tensor
    signs: Tensor

    def __init__(
        self,
        config: WorldModelConfig,
        patches: int,
        dim: int,
        *,
        variables: Mapping[str, Mapping[str, Any]],
        kind: ProbeNet = "mlp",
        hidden: int = 256,
    ) -> None:
        """Build an unfitted probe.

        Args:
            config: of the world model; nothing in it matters here.
            patches: P, tokens of a frame.
            dim: D, dimensions of a token.
            variables: by name `width`, how many numbers it has, and `unit`, SI.
            kind: linear or mlp.
            hidden: units of the MLP.

        Raises:
            ValueError: if there are no variables, or no such kind.
        """
        super().__init__()
        del config
        if kind not in get_args(ProbeNet):
            raise ValueError(f"a probe is {' or '.join(get_args(ProbeNet))}, got {kind!r}")
        if not variables:
            raise ValueError("a probe needs at least one variable to read")
        self.widths = {name: int(about["width"]) for name, about in variables.items()}
        self.units = {name: str(about.get("unit", "")) for name, about in variables.items()}
        latent, labels = patches * dim, sum(self.widths.values())
        features = min(latent, WIDEST)
        sums, signs = torch.zeros(0, dtype=torch.long), torch.zeros(0)
        if latent > WIDEST:
            sums, signs = count_sketch(latent, WIDEST)
        self.register_buffer("sums", sums)
        self.register_buffer("signs", signs)
        self.register_buffer("feature_mean", torch.zeros(features))
        self.register_buffer("feature_std", torch.ones(features))
        self.register_buffer("mean", torch.zeros(labels))
        self.register_buffer("std", torch.ones(labels))
        self.net: nn.Module = (
            nn.Linear(features, labels)
            if kind == "linear"
            else nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, labels))
        )

    def features(self, z: Tensor) -> Tensor:
        """What the probe sees of latents, before it standardises.

        Wide latents are sketched down to `WIDEST` numbers, see `count_sketch`.

        Args:
            z: (*B, P, D).

        Returns:
            (*B, F) with F = P * D or `WIDEST`, whichever is less.
        """
        flat = z.flatten(-2)
        if not len(self.sums):
            return flat
        empty = flat.new_zeros(*flat.shape[:-1], WIDEST)
        return empty.index_add(-1, self.sums, flat * self.signs)

    def forward(self, z: Tensor) -> Tensor:
        """Standardised variables (*B, L) of latents (*B, P, D), side by side in their order."""
        out: Tensor = self.net((self.features(z) - self.feature_mean) / self.feature_std)
        return out

    @torch.no_grad()
    def read(self, z: Tensor) -> dict[str, Tensor]:
        """Variables of latents (*B, P, D) by name, each (*B, width) in its unit."""
        values = self(z) * self.std + self.mean
        parts = values.split(list(self.widths.values()), dim=-1)
        return dict(zip(self.widths, parts, strict=True))

    def columns(self, names: Sequence[str] = ()) -> list[int]:
        """Where some variables stand in what `forward` returns; all of them if none is named.

        Raises:
            KeyError: if the probe reads no such variable; lists those that it does.
        """
        wanted: list[int] = []
        if unknown := [name for name in names if name not in self.widths]:
            raise KeyError(f"the probe reads no {unknown[0]!r}; it reads {', '.join(self.widths)}")
        at = 0
        for name, width in self.widths.items():
            if not names or name in names:
                wanted += range(at, at + width)
            at += width
        return wanted


def count_sketch(wide: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """How many features become few: each is added, with a random sign, to one of `width` sums.

    Charikar et al. 2002, Weinberger et al. 2009, arXiv:0902.2206: inner products stay what they
    were, in the mean, and no matrix of F x width is needed.

    Args:
        wide: F, features there are.
        width: sums wanted.
        seed: of sums and signs.

    Returns:
        (F,) the sum that each feature goes to, and its sign.
    """
    generator = torch.Generator().manual_seed(seed)
    signs = 2.0 * torch.randint(2, (wide,), generator=generator) - 1
    return torch.randperm(wide, generator=generator) % width, signs
