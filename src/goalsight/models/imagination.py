"""Imagining plans from one observed history: what all plans share is computed once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from einops import repeat
from torch import Tensor

if TYPE_CHECKING:
    from goalsight.models.predictor import Predictor, PresentPredictor

Imagination = Callable[[Tensor], Tensor]
"""Plans (B, N, H, K, A) to the latents (B, N, H, P, D) after each block, from a history that is
set: the session of one decision, which a planner asks once an iteration."""

Start = Callable[[Tensor, Tensor | None, Tensor | None], Imagination]
"""Begins one: `Predictor.imagine`, or the same run otherwise, see `goalsight.models.execution`."""


class StepByStep:
    """The plain way: every step of every plan from scratch, by the predictor's `forward`.

    Any predictor can be rolled out like this. It is what the faster ways must equal, and what
    `benchmarks.deciding` compares them with.
    """

    def __init__(
        self, predictor: Predictor, z: Tensor, past: Tensor | None, proprio: Tensor | None
    ) -> None:
        """Set the history; arguments are those of `Predictor.imagine`."""
        self._predictor, self._history = predictor, (z, past, proprio)

    def __call__(self, plans: Tensor) -> Tensor:
        """Latents (B, N, H, P, D) after each block of plans (B, N, H, K, A)."""
        count = plans.shape[1]
        z, past, known = (
            None if x is None else repeat(x, "b t ... -> b n t ...", n=count) for x in self._history
        )
        assert z is not None
        actions = plans[:, :, :0] if past is None else past
        predicted = []
        for block in torch.split(plans, 1, dim=2):
            actions = torch.cat((actions, block), dim=2)
            z_next, known_next = self._predictor(z, actions, known)
            predicted.append(z_next[:, :, -1])
            z = self._recent(z, z_next)
            actions = actions[:, :, actions.shape[2] - z.shape[2] + 1 :]
            known = None if known is None else self._recent(known, known_next)
        return torch.stack(predicted, dim=2)

    def _recent(self, past: Tensor, predicted: Tensor | None) -> Tensor:
        """The frames to look back to after one more block; `predicted` ends with the new one."""
        assert predicted is not None
        return torch.cat((past, predicted[:, :, -1:]), dim=2)[:, :, -self._predictor.context :]


class Unrolled:
    """Plans through a predictor that sees the present frame only.

    What the actions alone decide is computed for all blocks of all plans at once, and the first
    step's look at the present frame, from which all plans start, once for all of them.
    """

    def __init__(self, predictor: PresentPredictor, z: Tensor, proprio: Tensor | None) -> None:
        """Set the present: (B, P, D) latents and (B, Q) standardised proprio or None."""
        self._predictor = predictor
        self._z = z[:, None]
        self._proprio = None if proprio is None else proprio[:, None]

    def __call__(self, plans: Tensor) -> Tensor:
        """Latents (B, N, H, P, D) after each block of plans (B, N, H, K, A)."""
        z, proprio = self._z, self._proprio  # one for all plans: broadcast by the first step
        predicted = []
        acted = [part.unbind(2) for part in self._predictor.act(plans)]
        for block in zip(*acted, strict=True):
            z, proprio = self._predictor.step(z, block, proprio)
            predicted.append(z)
        return torch.stack(predicted, dim=2)
